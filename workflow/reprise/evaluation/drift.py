"""How far a user's interest moved: eta, between the first and the second half of what the user did.

A property of the data, whatever the method; free of PyTorch, because tables are made by groups of users over it.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from reprise.data.prepared import Prepared, values_and_lengths

SMOOTHING = 0.01


def drift(data: Prepared, part: str = "train+valid") -> np.ndarray:
    """eta = KL(d1 || d2) + KL(d2 || d1) of every user, [n_users], in nats, between 0 and 2 ln(1 / smoothing).

    d1 and d2 are the mean shares of groups over the first floor(n / 2) and the other items of the user's `part`, in
    order of time (Wang et al.: DecRS, KDD 2021, Eq. 9 and 10; smoothed as its code has it, since a group that one half
    lacks would make eta infinite). As in `data.profiles.change`, items without a group do not count, and a user has no
    drift, 0, where either half is about nothing.
    """
    pairs = data.parts(part)
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]  # parts stand in order of time
    users, items = pairs.T
    counts = np.bincount(users, minlength=data.n_users)
    place = np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)
    late = place >= (counts // 2)[users]
    shares, has = _shares(data)
    halves = []
    for half in (~late, late):
        rows = sparse.csr_array((np.ones(half.sum()), (users[half], items[half])), shape=(data.n_users, data.n_items))
        halves.append((rows @ shares).toarray() / np.maximum(rows @ has, 1)[:, None])
    first, second = halves
    both = first.any(1) & second.any(1)
    return np.where(both, divergence(first, second) + divergence(second, first), 0.0)


def divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """KL(p || (1 - a) q + a p) over the last axis, a = `SMOOTHING`, over groups of which p has a share at all."""
    there = p > 0
    mixed = np.where(there, (1 - SMOOTHING) * q + SMOOTHING * p, 1.0)
    return np.where(there, p * np.log(np.where(there, p, 1.0) / mixed), 0.0).sum(-1)


def _shares(data: Prepared) -> tuple[sparse.csr_array, np.ndarray]:
    """1/m on each of the m groups of an item, [n_items, G], and whether it has any, 1 or 0, [n_items]."""
    values, lengths = values_and_lengths(data.features["attributes"])
    _, column = np.unique(values, return_inverse=True)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    shape, has = (data.n_items, column.max(initial=0) + 1), (lengths > 0).astype(float)
    return sparse.csr_array((1 / np.repeat(lengths, lengths), column, offsets), shape=shape), has
