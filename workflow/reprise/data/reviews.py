"""Who gave which item how many stars, and how P5 parts that: at random, whatever the sequences hold out.

In prepared data it is three lists of each user in `users.parquet`, one entry for every row of all parts in order of
time, so that it counts in their content and reaches a model like all else that is known of users.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from reprise.data.pairs import codes, within
from reprise.errors import RepriseError

ITEM, STARS, PART = "reviewed", "stars", "review_part"  # columns of `users.parquet`
HELD_OUT = {"valid": 1, "test": 2}  # a part by number; 0 is training


class Reviews(NamedTuple):
    """R reviews, user after user, each one's in order of time.

    Attributes
    ----------
    user, item, stars : int array [R]
        Stars are 1 to 5.
    part : int array [R]
        The part of the random split: 0 training, 1 validation, 2 test.
    held : int array [R]
        The part of the sequences that it belongs to as an event, numbered alike.
    """

    user: np.ndarray
    item: np.ndarray
    stars: np.ndarray
    part: np.ndarray
    held: np.ndarray

    @classmethod
    def of(cls, interactions: Any) -> Reviews:
        """The reviews beside `Interactions`; what those lack is held out: a user's last row is test, others validation.

        Raises a `RepriseError` where the data were prepared without reviews.
        """
        if not known(interactions):
            raise RepriseError("reviews", expected="prepared data with stars, and a split of the reviews", kind="data",
                               found="who met whom alone",
                               fix="choose a data set that has review_seed in paper.yaml, or families: sequential")
        lists = [interactions.user_features[name] for name in (ITEM, STARS, PART)]
        item, stars, part = (one.values.cpu().numpy() for one in lists)
        offsets, fitted = lists[0].offsets.cpu().numpy(), interactions.degrees.cpu().numpy()
        user = np.repeat(np.arange(len(fitted)), np.diff(offsets))
        place = np.arange(len(user)) - offsets[user]
        held = np.where(place < fitted[user], 0, np.where(np.arange(len(user)) == offsets[user + 1] - 1, 2, 1))
        return cls(user, item, stars, part, held)

    def columns(self, n_users: int) -> dict[str, pa.Array]:
        """The columns of `users.parquet`: a list for each of `n_users`."""
        offsets = np.searchsorted(self.user, np.arange(n_users + 1)).astype(np.int32)
        return {name: pa.ListArray.from_arrays(offsets, values.astype(kind)) for name, values, kind in
                ((ITEM, self.item, np.int32), (STARS, self.stars, np.int8), (PART, self.part, np.int8))}

    def trained(self, removed: bool = False) -> np.ndarray:
        """Mark the reviews that are trained on, [R] bool; `removed`: but for pairs that the sequences hold out."""
        pairs = codes(self.user, self.item)
        return (self.part == 0) & ~(removed & within(pairs, pairs[self.held > 0]))

    def leaked(self, trained: np.ndarray) -> dict[str, tuple[int, int]]:
        """How many pairs of each held-out part of the sequences the `trained` [R] reviews tell, and of how many."""
        pairs = codes(self.user, self.item)
        told = within(pairs, pairs[trained])
        return {name: (int(told[self.held == number].sum()), int((self.held == number).sum()))
                for name, number in HELD_OUT.items()}


def known(interactions: Any) -> bool:
    """Whether there are reviews beside `Interactions`."""
    return ITEM in interactions.user_features


def random_parts(user: np.ndarray, item: np.ndarray, seed: int) -> np.ndarray:
    """The part of each of R reviews as P5 draws it: 0, 1 and 2 for 80, 10 and 10 of a hundred; [R] int.

    One review of every user and one of every item, drawn at random, are training first, as far as there is room.
    """
    rng = np.random.default_rng(seed)
    turn = rng.permutation(len(user))
    # In a random order, the first of each user or item is a random one of its reviews.
    first = np.zeros(len(user), dtype=bool)
    for ids in (user, item):
        order = rng.permutation(len(user))
        first[order[~pd.Series(ids[order]).duplicated().to_numpy()]] = True
    order = np.lexsort((turn, ~first))
    part = np.empty(len(user), dtype=np.int64)
    train, tenth = round(0.8 * len(user)), round(0.1 * len(user))
    part[order] = (np.arange(len(user)) >= train) + (np.arange(len(user)) >= train + tenth).astype(np.int64)
    return part
