"""Batches of histories, cut on the device out of the flat array in which they lie."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from reprise.data.interactions import Interactions


class Windows(NamedTuple):
    """What B users did last, oldest first.

    Attributes
    ----------
    users : Tensor [B] int64
    items : Tensor [B, L] int64
        From column 0 on; behind the end of a window stands the padding id `n_items`.
    lengths : Tensor [B] int64
        How many items of each row are real; 0 for a user without history.
    """

    users: Tensor
    items: Tensor
    lengths: Tensor

    def part(self, start: int, stop: int, width: int) -> Windows:
        """Rows `start` to `stop`, of which none is longer than `width`, without the columns behind it."""
        return Windows(self.users[start:stop], self.items[start:stop, :width], self.lengths[start:stop])


def cut(history: Interactions, users: Tensor, ends: Tensor, width: int) -> Windows:
    """The last `width` of the first `ends` [B] items of `users` [B]; `history` keeps its rows in order of time."""
    starts = (ends - width).clamp(min=0)
    lengths = ends - starts
    column = torch.arange(width, device=users.device)
    place = (history.offsets[users] + starts)[:, None] + column
    inside = column < lengths[:, None]
    if not len(history.items):
        return Windows(users, torch.full_like(place, history.n_items), lengths)
    items = history.items[place.clamp(max=len(history.items) - 1)]
    return Windows(users, torch.where(inside, items, history.n_items), lengths)


def latest(history: Interactions, users: Tensor, width: int) -> Windows:
    """The last `width` items of `users` [B]."""
    return cut(history, users, history.degrees[users], width)
