"""Sets of user-item pairs, as one number a pair."""

from __future__ import annotations

import numpy as np


def codes(user: np.ndarray, item: np.ndarray) -> np.ndarray:
    """One number a pair, in the order of user, then item; [N] int64. Ids fit 31 bits."""
    return np.asarray(user, dtype=np.int64) << 32 | np.asarray(item, dtype=np.int64)


def within(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Mark those of `some` [N] that are among `others` [M]; [N] bool.

    By a binary search: the hash table of `numpy.isin` takes ten times as long on such numbers.
    """
    others = np.sort(others)
    at = np.searchsorted(others, some)
    at[at == len(others)] = 0
    return others[at] == some if len(others) else np.zeros(len(some), dtype=bool)
