"""Rules that split interactions into parts."""

from __future__ import annotations

import numpy as np
import pandas as pd


def k_core(user: np.ndarray, item: np.ndarray, k: int, most: int | None = None) -> np.ndarray:
    """Mark the rows of the k-core: what is left once no user and no item has fewer than `k` rows.

    Which of the two is dropped first does not matter: the k-core is the largest such set, and there is only one.
    Repeated rows count each time. With `most`, nobody may have more rows either; then it does matter, and users and
    items are counted before either is dropped, again and again (RecBole's `user_inter_num_interval`).

    Parameters
    ----------
    user, item : array [N]

    Returns
    -------
    bool array [N]
    """
    ids = [pd.factorize(column)[0] for column in (user, item)]
    kept = np.arange(len(user))
    while True:
        enough = np.ones(len(kept), dtype=bool)
        for column in ids:
            counts = np.bincount(column)[column]
            enough &= (counts >= k) & (counts <= (most or len(counts)))
        if enough.all():
            break
        kept, ids = kept[enough], [column[enough] for column in ids]
    mask = np.zeros(len(user), dtype=bool)
    mask[kept] = True
    return mask


def often(ids: np.ndarray, k: int) -> np.ndarray:
    """Mark the rows whose id comes at least `k` times among `ids` [N]; [N] bool."""
    number = pd.factorize(ids)[0]
    return np.bincount(number)[number] >= k


def as_text(time: np.ndarray) -> np.ndarray:
    """Keys [N] that order times as their decimal texts do: `1000000000` comes before `999999999`.

    Parameters
    ----------
    time : int array [N]
        At least 0, at most 17 digits.
    """
    time = np.asarray(time, dtype=np.int64)
    missing = 17 - np.searchsorted(10 ** np.arange(1, 17), time, side="right") - 1
    # Zeros on the right make all texts equally long. Where two are equal then, the shorter one comes first, being the
    # other's beginning; it misses at most 16 digits, and one more decimal cannot say that: sort by both, keep the rank.
    by_text = np.lexsort((-missing, time * 10**missing))
    ranked = np.stack([time, missing])[:, by_text]
    steps = (ranked[:, 1:] != ranked[:, :-1]).any(axis=0)
    keys = np.empty(len(time), dtype=np.int64)
    keys[by_text] = np.concatenate([[0], np.cumsum(steps)])[: len(time)]
    return keys


def item_uniform(user: np.ndarray, item: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Draw `size` rows without replacement, each with a chance in proportion to 1 / (rows of its item).

    This is how the paper of Wei et al. (KDD 2021, section 4.1) describes its test part. Nothing is emptied: the row of
    every item, and of every user, that would be drawn last of all is passed over. The draw depends on the set of
    interactions and the seed, not on the order of the rows.

    Drawing row after row with chances in proportion to w is the same as taking the smallest of independent exponential
    variables of rate w (Efraimidis and Spirakis, Information Processing Letters 97, 2006).

    Parameters
    ----------
    user, item : int array [N]

    Returns
    -------
    bool array [N]
        True where the row is drawn.

    Raises
    ------
    ValueError
        More rows are wanted than can be drawn.
    """
    by_pair = np.lexsort((user, item))
    _, inverse, rows = np.unique(item, return_inverse=True, return_counts=True)
    turn = np.empty(len(item))
    turn[by_pair] = np.random.default_rng(seed).standard_exponential(len(item))
    by_turn = np.argsort(turn * rows[inverse], kind="stable")
    passed = np.zeros(len(item), dtype=bool)
    for column in (user, item):
        _, last = np.unique(column[by_turn[::-1]], return_index=True)
        passed[by_turn[::-1][last]] = True
    free = by_turn[~passed[by_turn]]
    if not 0 <= size <= len(free):
        raise ValueError(f"{size} of {len(item)} rows wanted, and only {len(free)} can go without emptying anything")
    mask = np.zeros(len(item), dtype=bool)
    mask[free[:size]] = True
    return mask


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
    ordered = item[by_item]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    n = np.diff(np.append(first, len(item)))
    held = np.minimum(np.minimum(n * 9 // 10, n - 1), k)
    mask = np.empty(len(item), dtype=bool)
    mask[by_item] = np.arange(len(item)) >= np.repeat(first + n - held, n)
    return mask


def leave_one_out(user: np.ndarray, valid_from: int = 3) -> np.ndarray:
    """Tell each interaction's part: the last of every user is test, the last but one validation, the rest training.

    A user with fewer than three interactions has nothing to give: all of them are training.

    Parameters
    ----------
    user : int array [N]
        The rows of a user stand together, in order of time.
    valid_from : int
        At least 3: a user with fewer interactions gives none to validation. With 4, whoever gives to test keeps two
        for training, so that there is a next item to learn (RUCAIBox/RecBole: leave-one-out over samples, of which n
        interactions make n - 1).

    Returns
    -------
    int8 array [N]
        0 training, 1 validation, 2 test.
    """
    n, before_end = _from_end(user)
    valid, test = (n >= valid_from) & (before_end == 2), (n >= 3) & (before_end == 1)
    return valid.astype(np.int8) + 2 * test.astype(np.int8)


def user_tenths(user: np.ndarray) -> np.ndarray:
    """Tell each interaction's part: of a user's n rows the last max(1, floor(n / 10)) are test, as many validation.

    Parameters
    ----------
    user : int array [N]
        The rows of a user stand together, in order of time.

    Returns
    -------
    int8 array [N]
        0 training, 1 validation, 2 test, -1 for all rows of a user with fewer than three.
    """
    n, before_end = _from_end(user)
    held = np.maximum(n // 10, 1)
    part = (before_end <= 2 * held).astype(np.int8) + (before_end <= held)
    return np.where(n < 3, -1, part).astype(np.int8)


def _from_end(user: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each row of `user` [N], whose rows stand together: how many that user has, and its place, 1 for the last."""
    last = np.append(user[1:] != user[:-1], True)[: len(user)]
    lengths = np.diff(np.flatnonzero(last), prepend=-1)
    return np.repeat(lengths, lengths), np.repeat(np.cumsum(lengths), lengths) - np.arange(len(user))


def first_seen(ids: np.ndarray) -> np.ndarray:
    """Number ids [N] from 0 in the order in which they first appear; int array [N]."""
    return pd.factorize(ids)[0]


def id_schemes(items: np.ndarray, training: np.ndarray, n_items: int, seed: int) -> dict[str, np.ndarray]:
    """Three ways to number the items from 1, for models that read an id as digits.

    `appearance` is the number under which an item is known everywhere else, plus one: the order of first appearance,
    held-out interactions included, which gives some of them away. `shuffled` is a seeded permutation. In
    `train_appearance` the order is that of the first appearance in training (Hua et al., How to Index Item IDs,
    SIGIR-AP 2023); items that training never shows come last, in a seeded order, so that nothing of the held-out parts
    is left in it.

    Parameters
    ----------
    items : int array [N]
        Items from 0 to `n_items` - 1, user after user, each user's in order of time.
    training : bool array [N]
        Which of the rows are training.

    Returns
    -------
    dict of str to int array [n_items]
    """
    rng = np.random.default_rng(seed)
    appearance, shuffled = np.arange(1, n_items + 1), rng.permutation(n_items) + 1
    distinct, first = np.unique(items[training], return_index=True)
    unseen = np.setdiff1d(np.arange(n_items), distinct)
    walked = np.concatenate([distinct[np.argsort(first)], rng.permutation(unseen)])
    numbers = np.empty(n_items, dtype=np.int64)
    numbers[walked] = appearance
    return {"appearance": appearance, "shuffled": shuffled, "train_appearance": numbers}
