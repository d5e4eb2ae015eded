"""Rules that split interactions into parts."""

from __future__ import annotations

import numpy as np


def last_per_item(user: np.ndarray, item: np.ndarray, k: int, order: np.ndarray | None = None,
                  seed: int | None = None) -> np.ndarray:
    """Mark the last interactions of every item: the held-out part of an item-uniform split.

    An item with n interactions gives its last `min(floor(0.9 n), n - 1, k)`; users are not considered (the rule of the
    official code of Wei et al., KDD 2021). Where no order is known, a seeded random one within each item stands in for
    it; that one depends on the set of interactions and the seed, not on the order of the rows.

    Parameters
    ----------
    user, item : int array [N]
    k : int
        Cap per item.
    order : array [N], optional
        What "last" means, e.g. times; rows of equal order keep the order in which they stand.
    seed : int, optional
        Seed of the random order; exactly one of `order` and `seed` is given.

    Returns
    -------
    bool array [N]
        True where the interaction is held out.

    Raises
    ------
    ValueError
        Both or neither of `order` and `seed`; a negative `k`; arrays of unequal length.
    """
    if (order is None) == (seed is None):
        raise ValueError("give either an order or a seed")
    if k < 0 or len(user) != len(item) or (order is not None and len(order) != len(item)):
        raise ValueError(f"k = {k} and {len(user)} users, {len(item)} items: expected k >= 0 and equal lengths")
    if order is None:
        by_pair = np.lexsort((user, item))
        order = np.empty(len(item))
        order[by_pair] = np.random.default_rng(seed).random(len(item))
    by_item = np.lexsort((order, item))
    _, first, inverse, n = np.unique(item[by_item], return_index=True, return_inverse=True, return_counts=True)
    held = np.minimum(np.minimum(n * 9 // 10, n - 1), k)
    rank = np.arange(len(item)) - first[inverse]
    mask = np.empty(len(item), dtype=bool)
    mask[by_item] = rank >= (n - held)[inverse]
    return mask
