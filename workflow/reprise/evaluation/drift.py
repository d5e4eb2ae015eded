"""How far a user's interest moved: eta, between the first and the second half of what the user did.

A property of the data, whatever the method; free of PyTorch, because tables are made by groups of users over it.
"""

from __future__ import annotations

import numpy as np

from reprise.data.prepared import Prepared, values_and_lengths

SMOOTHING = 0.01
LEAST = 1e-5  # share below which a group adds nothing; WenjieWWJ/DecRS


def drift(data: Prepared, part: str = "train+valid") -> np.ndarray:
    """eta = KL(d1 || d2) + KL(d2 || d1) of every user, [n_users], in nats, between 0 and 2 ln(1 / smoothing).

    d1 and d2 are the mean shares of groups over the first floor(n / 2) and the other items of the user's `part`, in
    order of time (Wang et al.: DecRS, KDD 2021, Eq. 9 and 10; smoothed as its code has it, since a group that one half
    lacks would make eta infinite). A user with fewer than two items has no drift: 0.
    """
    pairs = data.parts(part)
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]  # parts stand in order of time
    users, items = pairs.T
    counts = np.bincount(users, minlength=data.n_users)
    place = np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)
    late = place >= (counts // 2)[users]
    shares = _shares(data)
    halves = []
    for half in (~late, late):
        total = np.zeros((data.n_users, shares.shape[1]))
        np.add.at(total, users[half], shares[items[half]])
        halves.append(total / np.maximum(np.bincount(users[half], minlength=data.n_users), 1)[:, None])
    first, second = halves
    return np.where(counts >= 2, divergence(first, second) + divergence(second, first), 0.0)


def divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """KL(p || (1 - a) q + a p) over the last axis, a = `SMOOTHING`, over groups of which p has a share at all."""
    there = p >= LEAST
    mixed = np.where(there, (1 - SMOOTHING) * q + SMOOTHING * p, 1.0)
    return np.where(there, p * np.log(np.where(there, p, 1.0) / mixed), 0.0).sum(-1)


def _shares(data: Prepared) -> np.ndarray:
    """1/m on each of the m groups of an item, [n_items, G]."""
    values, lengths = values_and_lengths(data.features["attributes"])
    _, column = np.unique(values, return_inverse=True)
    shares = np.zeros((data.n_items, column.max(initial=0) + 1))
    owner = np.repeat(np.arange(data.n_items), lengths)
    np.add.at(shares, (owner, column), 1 / lengths[owner])
    return shares
