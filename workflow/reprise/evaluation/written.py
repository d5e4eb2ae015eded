"""Lists that a model wrote: what in them is no recommendation is counted, and taken out by a stated rule."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

NOTHING, UNKNOWN = -1, -2
Duplicates = Literal["kept", "first", "last"]
Ranks = Literal["kept", "closed"]


def counted(items: Tensor, met: Tensor) -> dict[str, float]:
    """How many of the outputs `items` [B, N] are `empty`, `unknown` numbers, `duplicate` or `met` before, and all.

    `met` [B, n_items] bool says what each user met. The first of equal items is no duplicate.
    """
    real = items >= 0
    found = {"outputs": torch.ones_like(real), "empty": items == NOTHING, "unknown": items == UNKNOWN,
             "duplicate": again(items), "met": _among(items, met)}
    return {name: float(which.sum()) for name, which in found.items()}


def again(items: Tensor) -> Tensor:
    """Which of `items` [B, N] stood in the list before, [B, N] bool; what is no item does not count."""
    equal = (items[:, :, None] == items[:, None, :]).tril(-1)
    return equal.any(2) & (items >= 0)


def cleaned(
    items: Tensor, scores: Tensor, met: Tensor | None, duplicates: Duplicates, ranks: Ranks, k: int
) -> tuple[Tensor, Tensor]:
    """The first k places of lists [B, N]: items with -1 where there is none, and scores.

    Of equal items the `first` or the `last` is left, or all are `kept`; what `met` [B, n_items] says is taken out, too.
    With `closed` ranks, outputs without digits and what was taken out give up their places, but an item of which the
    last place was left gives up none (P5's evaluation: a dictionary from item to rank). A number that no item has is an
    answer, if a wrong one, and holds its place.
    """
    barred = torch.zeros_like(items, dtype=torch.bool) if met is None else _among(items, met)
    gone = (items == NOTHING) | barred
    if duplicates == "first":
        gone |= again(torch.where(barred, NOTHING, items))
    if ranks == "closed":
        items, scores, gone = _closed(items, scores, gone)
    if duplicates == "last":
        gone |= again(torch.where(gone, NOTHING, items).flip(1)).flip(1)
    items = torch.where(gone | (items < 0), NOTHING, items)
    room = (0, max(0, k - items.shape[1]))
    items, scores = (torch.nn.functional.pad(one, room, value=value)[:, :k]
                     for one, value in ((items, NOTHING), (scores, -torch.inf)))
    return items, torch.where(items >= 0, scores, -torch.inf)


def _closed(items: Tensor, scores: Tensor, gone: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    order = gone.long().argsort(dim=1, stable=True)
    return items.gather(1, order), scores.gather(1, order), gone.gather(1, order)


def _among(items: Tensor, met: Tensor) -> Tensor:
    """Which of `items` [B, N] the user of the row met, [B, N] bool."""
    return met.gather(1, items.clamp(min=0)) & (items >= 0)
