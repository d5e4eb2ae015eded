"""Contrastive losses between two summaries of the same thing, with the rest of a batch as what it is not."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def nt_xent(first: Tensor, second: Tensor, temperature: float, groups: Tensor | None = None) -> Tensor:
    """Mean over all 2T rows of `first` and `second` [T, D] of -log softmax(<row, others> / temperature) at its partner.

    The partner of `first[t]` is `second[t]` and the other way round; the others are all 2T - 1 rows but itself, so both
    kinds (SimCLR, Chen et al. 2020, Eq. 1, without the norm). Rows of one group [T] are no negatives of each other, if
    groups are given. Returns a scalar, 0 for T = 1. Products reach tens, so it is computed in full also under autocast.
    """
    count = len(first)
    with torch.autocast(first.device.type, enabled=False):
        rows = full(torch.cat([first, second]))
        partner = torch.arange(2 * count, device=rows.device).roll(count)
        apart = torch.eye(2 * count, dtype=torch.bool, device=rows.device)
        if groups is not None:
            apart = alike(groups).repeat(2, 2) & ~apart[partner] | apart
        return nn.functional.cross_entropy((rows @ rows.T / temperature).masked_fill(apart, -torch.inf), partner)


def one_way(first: Tensor, second: Tensor, temperature: float, groups: Tensor | None = None) -> Tensor:
    """Mean over t of -log softmax_s(<first[t], second[s]> / temperature) at s = t, for rows [T, D]; returns a scalar.

    Negatives are the T - 1 other rows of `second` (IPSRec, Eq. 12), less those of one group [T], if groups are given.
    """
    with torch.autocast(first.device.type, enabled=False):
        products = full(first) @ full(second).T / temperature
        own = torch.arange(len(first), device=first.device)
        if groups is not None:
            products = products.masked_fill(alike(groups) & (own[:, None] != own), -torch.inf)
        return nn.functional.cross_entropy(products, own)


def full(rows: Tensor) -> Tensor:
    """The same rows, not in narrow numbers."""
    return rows.to(torch.promote_types(rows.dtype, torch.float32))


def alike(groups: Tensor) -> Tensor:
    """Which pairs of `groups` [T] are of one group, [T, T] bool."""
    return groups[:, None] == groups
