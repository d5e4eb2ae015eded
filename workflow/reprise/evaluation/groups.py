"""Means over groups: of items or users by how often they occur in training, of users by drift, of single attributes
and ratings.

Only means over a group leave this file, never a user's list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from reprise.data.prepared import Prepared

COLUMNS = ["metric", "k", "group", "value"]
SIDES = ("majority", "minority")
FEWEST_USERS = 5  # a mean over fewer says too much of each


def group_names(kind: str, edges: Sequence[float]) -> list[str]:
    """Name the groups that `edges` part, rarest first: `items<=10`, `items11-50`, ..., `items>500`.

    Groups of attributes are single ranks, `attribute1`, `attribute2`, ... Those of drift are nested: `eta>0`, `eta>1`,
    ... Of ratings there are two a value, of items of the user's largest group, and of others: `majority1`, ...
    """
    if kind == "attributes":
        return [f"attribute{rank:g}" for rank in edges]
    if kind == "drift":
        return [f"eta>{edge:g}" for edge in edges]
    if kind == "ratings":
        return [f"{side}{value:g}" for side in SIDES for value in edges]
    edges = [int(edge) for edge in edges]
    between = [f"{kind}{low + 1}-{high}" for low, high in zip(edges[:-1], edges[1:], strict=True)]
    return [f"{kind}<={edges[0]}", *between, f"{kind}>{edges[-1]}"]


def group_of(counts: np.ndarray, edges: Sequence[int]) -> np.ndarray:
    """The group, counted from 0, of each training count [N]; an edge belongs to the group below it."""
    return np.searchsorted(np.asarray(edges), counts, side="left")


class Groups:
    """The groups of one kind in a data set.

    Parameters
    ----------
    kind : str
        `items` or `users`.
    edges : sequence of int
        Last training count of each group but the last.
    counts : int array [N]
        Training rows of each item or user. A user without any stands in no group; an item without any in the first.
    """

    def __init__(self, kind: str, edges: Sequence[int], counts: np.ndarray):
        self.kind, self.names = kind, group_names(kind, edges)
        self.member = group_of(counts, edges)
        if kind == "users":
            self.member = np.where(counts > 0, self.member, -1)

    @property
    def sizes(self) -> np.ndarray:
        """Members of each group, [G]."""
        return np.bincount(self.member[self.member >= 0], minlength=len(self.names))

    def means(self, metric: str, k: int | None, values: np.ndarray) -> list[tuple]:
        """Rows `COLUMNS` with the mean of `values` [N] over each group, NaN left out.

        There is no row for a group without a value, nor for one of very few users.
        """
        fewest = FEWEST_USERS if self.kind == "users" else 1
        there = (self.member >= 0) & ~np.isnan(values)
        number = np.bincount(self.member[there], minlength=len(self.names))
        total = np.bincount(self.member[there], values[there], minlength=len(self.names))
        rows = zip(self.names, total, number, strict=True)
        return [(metric, k, name, value / count) for name, value, count in rows if count >= fewest]

    def shares(self) -> list[tuple]:
        """Rows `COLUMNS`: the share of all items, or of all users with a training row, in each group."""
        sizes = self.sizes
        rows = zip(self.names, sizes / sizes.sum(), strict=True)
        return [(f"{self.kind.removesuffix('s')}_share", None, name, share) for name, share in rows]


def groups_of(data: Prepared, edges: Mapping[str, Sequence[int]]) -> tuple[Groups, Groups]:
    """The groups of items and those of users, by their rows in train and validation together."""
    rows = data.parts("train+valid")
    items = Groups("items", edges["items"], np.bincount(rows[:, 1], minlength=data.n_items))
    return items, Groups("users", edges["users"], np.bincount(rows[:, 0], minlength=data.n_users))


def over_drift(eta: np.ndarray, edges: Sequence[float], metric: str, k: int | None, values: np.ndarray) -> list[tuple]:
    """Rows `COLUMNS`: means of `values` [U] over users whose `eta` [U] is strictly greater than each edge.

    There is no row for a group of very few users.
    """
    members = [eta > edge for edge in edges]
    named = zip(group_names("drift", edges), members, strict=True)
    return [(metric, k, name, values[some].mean()) for name, some in named if some.sum() >= FEWEST_USERS]


def shares_of(counts: np.ndarray) -> np.ndarray:
    """What one item takes of all: `counts` [n_items] over their sum; 1 / n_items where all are equal."""
    return counts / counts.sum()


def item_recall(lists: pd.DataFrame, test: np.ndarray, n_items: int) -> np.ndarray:
    """Of each item's test interactions the share whose user has the item on the list; NaN for an item without any.

    Parameters
    ----------
    lists : DataFrame
        Columns `user` and `item`, cut at k.
    test : int array [T, 2]
        User and item.
    """
    listed = lists["user"].to_numpy("int64") * n_items + lists["item"].to_numpy("int64")
    found = np.isin(test[:, 0].astype("int64") * n_items + test[:, 1], listed)
    sought, hit = (np.bincount(test[rows, 1], minlength=n_items) for rows in (slice(None), found))
    with np.errstate(invalid="ignore"):
        return hit / np.where(sought, sought, np.nan)
