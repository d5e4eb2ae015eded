"""What items are about, and what a list or a history is about: distributions over attributes (genres, categories)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reprise.data.features import Lists
from reprise.data.interactions import Interactions


def attribute_shares(attributes: Lists, dtype: torch.dtype = torch.float32) -> Tensor:
    """p(g | x) of every item x: 1/m on each of its m attributes (Steck, RecSys 2018, Eq. 1); [n_items, G].

    The G columns are the attributes that some item has, in order of their numbers. An item without attributes has a
    row of zeros; one that is listed twice for an item counts twice.
    """
    lengths = attributes.offsets.diff()
    _, column = torch.unique(attributes.values, return_inverse=True)
    owner = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
    columns = int(column.max()) + 1 if len(column) else 0
    shares = torch.zeros((len(lengths), columns), dtype=dtype, device=lengths.device)
    return shares.index_put_((owner, column), 1 / lengths[owner].to(dtype), accumulate=True)


def mean_share(items: Tensor, real: Tensor, shares: Tensor) -> Tensor:
    """p(g | s): the mean of the `shares` [n_items, G] of the items of each row; [B, G].

    `items` is [B, L]; only its `real` [B, L] bool places count, and of these only items that have attributes. A row
    without any is a row of zeros.
    """
    rows = shares[torch.where(real, items, 0)] * real[:, :, None]  # [B, L, G]
    about = (rows.sum(2) > 0).sum(1, keepdim=True)
    return rows.sum(1) / about.clamp(min=1)


def running_shares(items: Tensor, real: Tensor, shares: Tensor, earlier: Tensor | None = None) -> Tensor:
    """p(g | s) after every place of each row, of the items up to and with that place; [B, L, G].

    As `mean_share` of every prefix, by running sums. `earlier` [B, G + 1] holds sums and counts, as `share_sums` gives
    them, of what comes before each row and counts too.
    """
    rows = shares[torch.where(real, items, 0)] * real[:, :, None]  # [B, L, G]
    total, about = rows.cumsum(1), (rows.sum(2, keepdim=True) > 0).cumsum(1)
    if earlier is not None:
        total, about = total + earlier[:, None, :-1], about + earlier[:, None, -1:]
    return total / about.clamp(min=1)


def history_share(history: Interactions, users: Tensor, shares: Tensor, window: int | None = None) -> Tensor:
    """p(g | s) of `users` [B] over the last `window` items of their `history`, all of it by default; [B, G].

    As `mean_share`, repeats counted, without laying the histories out side by side.
    """
    owner, position = history.of_users(users)
    if window is not None:
        recent = position >= (history.offsets[users + 1] - window)[owner]
        owner, position = owner[recent], position[recent]
    return _means(shares[history.items[position]], owner, len(users))


def share_sums(history: Interactions, users: Tensor, ends: Tensor, shares: Tensor) -> Tensor:
    """Of the first `ends` [B] items of `users` [B]: the sum of their shares, and how many are about something.

    [B, G + 1]; the sum over the number is p(g | s) of those items.
    """
    owner, position = history.of_users(users)
    early = position - history.offsets[users][owner] < ends[owner]
    return _sums(shares[history.items[position[early]]], owner[early], len(users))


def change(
    history: Interactions, users: Tensor, shares: Tensor, smoothing: float = 0.01, base: float = math.e
) -> Tensor:
    """How far the two halves of each of `users`' [B] histories are apart: KL(d1 || d2) + KL(d2 || d1), [B].

    d1 is the mean of the `shares` [n_items, G] of the first floor(n / 2) items, d2 that of the rest (DecRS, KDD 2021,
    Eq. 10). 0 where either half is about nothing.
    """
    owner, position = history.of_users(users)
    later = position - history.offsets[users][owner] >= (history.degrees[users] // 2)[owner]
    halves = _means(shares[history.items[position]], owner + later * len(users), 2 * len(users))
    first, second = halves.chunk(2)
    apart = kl(first, second, smoothing, base) + kl(second, first, smoothing, base)
    return torch.where((first.sum(1) > 0) & (second.sum(1) > 0), apart, 0)


def _means(rows: Tensor, owner: Tensor, size: int) -> Tensor:
    """The mean of those of each owner's `rows` [M, G] that are about something, zeros where none is; [size, G]."""
    total = _sums(rows, owner, size)
    return total[:, :-1] / total[:, -1:].clamp(min=1)


def _sums(rows: Tensor, owner: Tensor, size: int) -> Tensor:
    """The sum of each owner's `rows` [M, G], and behind it how many of them are about something; [size, G + 1]."""
    about = (rows.sum(1, keepdim=True) > 0).to(rows.dtype)
    return rows.new_zeros((size, rows.shape[1] + 1)).index_add_(0, owner, torch.cat([rows, about], 1))


def kl(p: Tensor, q: Tensor, smoothing: float = 0.01, base: float = math.e) -> Tensor:
    """KL(p || (1 - a) q + a p) = sum_g p_g log(p_g / ((1 - a) q_g + a p_g)) over the last dimension, a = `smoothing`.

    In nats, or with logarithms to another `base`; between 0 and log(1/a). Attributes that p lacks add nothing (Steck,
    RecSys 2018, Eq. 3-4).
    """
    mixed = (1 - smoothing) * q + smoothing * p
    return torch.where(p > 0, p * (p / mixed).log(), 0).sum(-1) / math.log(base)
