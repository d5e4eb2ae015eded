"""Canonical interactions filtered, put in order, numbered from 0 and parted, as a recipe says."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from reprise.data.pairs import codes, within
from reprise.data.recipe import Recipe
from reprise.data.splits import (
    as_text,
    first_seen,
    item_uniform,
    k_core,
    last_per_item,
    leave_one_out,
    often,
    user_tenths,
)
from reprise.errors import RepriseError

PAIR = ["user", "item"]
RATED = ("user_tenths", "listed")  # splits that take their core over ratings of every value


class NothingLeft(RepriseError):
    """A recipe leaves no interaction."""


class Rows(NamedTuple):
    """N interactions of numbered users and items.

    Attributes
    ----------
    user, item : int array [N]
    valid, test : bool array [N]
        What is held out; the rest is training.
    users, items : array [n_users], [n_items]
        The source's id of each number. An item may have no row.
    described : array [M]
        The source's ids of the users that the core left: all that a model was told of, `users` among them.
    rated : float array [R, 3] or None
        Number of user and item, and rating, of all ratings that the core left, if a least one is asked for.
    stars : int array [N] or None
        The rating of each interaction, if the recipe has a `review_seed`.
    """

    user: np.ndarray
    item: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    users: np.ndarray
    items: np.ndarray
    described: np.ndarray
    rated: np.ndarray | None = None
    stars: np.ndarray | None = None


def rows_of(
    interactions: Path, recipe: Recipe, where: str, items: Path | None = None, lists: Path | None = None
) -> Rows:
    """Make the rows of a data set.

    `items` is the canonical table of the items, for `candidates: catalogue`; `lists` the canonical interactions that
    the split `listed` holds out.

    Raises
    ------
    RepriseError
        A source without what the recipe reads; nothing left; released ids that leave gaps; lists with other pairs.
    """
    rows, described, rated = _read(interactions, recipe, where), None, None
    met = rows["item"].unique() if recipe.candidates == "met" else ()
    if recipe.split == "released":
        names = {column: np.arange(_count(rows[column], f"{where}, {column} ids")) for column in ("user", "item")}
    elif recipe.split == "leave_one_out":
        rows = _walked(rows, recipe, where)
        rows, names = _numbered(rows, np.ones(len(rows), dtype=bool))
    elif recipe.split in RATED:
        rows = rows[_core(rows, recipe, where)]
        described, rated = rows["user"].unique(), rows if recipe.min_rating is not None else None
        rows = _by_user(rows, recipe, where, lists)
        rows, names = _numbered(rows, np.ones(len(rows), dtype=bool))
    else:
        rows, names = _numbered(rows, _core(rows, recipe, where))
    if recipe.candidates == "catalogue":
        if items is None:
            raise RepriseError(where, expected="a source with a table of items", found="none")
        met = pq.read_table(items, columns=["item"])["item"].to_numpy()
    beyond = pd.Index(met).difference(pd.Index(names["item"]), sort=False)
    known = np.concatenate([names["item"], beyond.to_numpy()]) if len(beyond) else names["item"]
    valid, test = _parts(rows, recipe, where)
    described = names["user"] if described is None else described
    if rated is not None:
        numbers = (("user", names["user"]), ("item", known))
        user, item = (pd.Index(ids).get_indexer(rated[column]) for column, ids in numbers)
        there = (user >= 0) & (item >= 0)
        rated = np.stack([user, item, rated["rating"].to_numpy(float)], axis=1)[there]
    return Rows(
        rows["user"].to_numpy(), rows["item"].to_numpy(), valid, test, names["user"], known, described, rated,
        None if recipe.review_seed is None else _stars(rows, where),
    )


def _stars(rows: pd.DataFrame, where: str) -> np.ndarray:
    """The ratings [N], which must be whole stars from 1 to 5."""
    rating = rows["rating"].to_numpy(float)
    if (wrong := ~np.isin(rating, np.arange(1, 6))).any():
        raise RepriseError(f"{where}, review_seed", expected="whole stars from 1 to 5 of every interaction",
                           kind="data", found=f"{wrong.sum()} others, e.g. {rating[wrong][0]:g}",
                           fix="give it another source, or no review_seed")
    return rating.astype(np.int64)


def _read(interactions: Path, recipe: Recipe, where: str) -> pd.DataFrame:
    """The columns user, item, part and, where an order is known, order, in the order of the file.

    Of the rows inside the recipe's window, above its least rating and of its actions; splits of `RATED` have ratings of
    every value, with their rating.
    """
    lists = recipe.order == "position" and recipe.split != "leave_one_out"  # a list is parted in train and test
    wanted = {"part"} if recipe.split == "released" else {"time"} if recipe.order else set()
    wanted = {"part", "position"} if lists else {"position"} if recipe.order == "position" else wanted
    rated = recipe.split in RATED and recipe.min_rating is not None
    wanted |= {"rating"} if rated or recipe.review_seed is not None else set()
    needed = wanted | ({"date"} if recipe.window else set()) | ({"action"} if recipe.actions else set())
    if absent := needed - set(pq.read_schema(interactions).names):
        raise RepriseError(f"{where}, split {recipe.split}", expected=f"a source with {', '.join(sorted(needed))}",
                           found=f"none of {', '.join(sorted(absent))}", fix="give it another source, split or order")
    conditions = [] if recipe.min_rating is None or rated else [("rating", ">=", recipe.min_rating)]
    if recipe.window:
        conditions += [("date", ">=", recipe.window[0]), ("date", "<=", recipe.window[1])]
    if recipe.actions:
        conditions.append(("action", "in", recipe.actions))
    table = pq.read_table(interactions, columns=["user", "item", *sorted(wanted)], filters=conditions or None)
    rows = table.to_pandas()
    if len(rows) == 0:
        raise NothingLeft(where, expected="interactions", found="none",
                          fix="is min_rating above every rating, no date within the window, or no such action?")
    if recipe.repeats == "merged" and not recipe.merged_time:
        kept = "first" if recipe.split == "released" else "last"  # train.txt comes before test.txt
        rows = rows[~rows.duplicated(PAIR, keep=kept)].reset_index(drop=True)
    if lists:
        # A user's list is its line of train.txt, then its line of test.txt.
        later = rows["part"] == "test"
        rows["order"] = rows["position"] + rows["user"].map(rows["user"][~later].value_counts()).fillna(0) * later
    elif recipe.order:
        order = rows.pop("position" if recipe.order == "position" else "time")
        if missing := int(order.isna().sum()):
            raise RepriseError(f"{where}, order {recipe.order}", expected="a value for every interaction",
                               found=f"{missing} without one", fix="give it another source or order")
        order = order.to_numpy(dtype=np.int64)
        rows["order"] = as_text(order) if recipe.order == "time_text" else order
    return _merged(rows, recipe.merged_time) if recipe.merged_time else rows


def _merged(rows: pd.DataFrame, time: str) -> pd.DataFrame:
    """One row a pair, where its first one stands, with the `time` (see `Recipe.merged_time`) of one of them.

    So a dictionary from pair to time does that is filled as the file is read (RUCAIBox/RecSysDatasets).
    """
    how = {"last": "last", "latest": "max", "first": "first"}[time]
    once = rows[~rows.duplicated(PAIR)]
    return once.assign(order=rows.groupby(PAIR, sort=False)["order"].agg(how).to_numpy()).reset_index(drop=True)


def _core(rows: pd.DataFrame, recipe: Recipe, where: str) -> np.ndarray:
    """Mark the rows that the recipe's core keeps, [N] bool."""
    user, item, k = rows["user"].to_numpy(), rows["item"].to_numpy(), recipe.core or 1
    if recipe.core_rule == "repeated":
        kept = k_core(user, item, k, recipe.core_most)
    else:
        kept = often(item, k)
        if recipe.core_rule == "once":
            kept &= often(user, k)
        elif recipe.core_rule == "train_items":
            kept |= rows["held"].to_numpy() > 0
    if not kept.any():
        raise NothingLeft(where, expected=f"a {recipe.core}-core", found="no user or item has enough rows")
    return kept


def _walked(rows: pd.DataFrame, recipe: Recipe, where: str) -> pd.DataFrame:
    """The rows left, as S3-Rec's `data_process.py` has them: user after user, each one's in order of time.

    Users stand in order of their first row in the file, dropped rows included; equal times in the order of the file,
    or, with `ties: random`, in a seeded one. `held` is the part that a row belongs to, as `leave_one_out` numbers them.
    """
    rows["user_rank"] = first_seen(rows["user"])
    if recipe.core_rule != "train_items":
        rows = rows[_core(rows, recipe, where)]
    keys = [rows["order"], rows["user_rank"]]
    if recipe.ties == "random":
        keys.insert(0, np.random.default_rng(recipe.tie_seed).permutation(len(rows)))
    rows = rows.iloc[np.lexsort(keys)]
    rows = rows.assign(held=leave_one_out(rows["user_rank"].to_numpy(), recipe.valid_from))
    return rows[_core(rows, recipe, where)] if recipe.core_rule == "train_items" else rows


def _by_user(rows: pd.DataFrame, recipe: Recipe, where: str, lists: Path | None) -> pd.DataFrame:
    """The rows of at least the recipe's rating, user after user in order of time, with `held`, the part of each.

    Users from whom nothing can be held out are dropped, and so are, where `lists` say what is, users that they lack.
    """
    if recipe.min_rating is not None:
        rows = rows[rows["rating"] >= recipe.min_rating]
    rows = rows.iloc[np.lexsort((rows["order"], first_seen(rows["user"])))]
    if recipe.split == "user_tenths":
        held = user_tenths(rows["user"].to_numpy())
    else:
        held = _listed(rows, lists, where)
    if not (held >= 0).any():
        raise RepriseError(where, expected="a user with three interactions or more", found="none")
    return rows[held >= 0].assign(held=held[held >= 0])


def _listed(rows: pd.DataFrame, lists: Path | None, where: str) -> np.ndarray:
    """Each row's part by the `lists`, as `user_tenths` numbers them, -1 for users that no list has."""
    if lists is None:
        raise RepriseError(f"{where}, split listed", expected="lists: the source of what is held out", found="none")
    listed = pq.read_table(lists, columns=["user", "item", "part"]).to_pandas()
    mine, theirs = codes(rows["user"], rows["item"]), codes(listed["user"], listed["item"])
    if len(strange := listed[~within(theirs, mine)]):
        user, item = strange[["user", "item"]].to_numpy()[0]
        raise RepriseError(f"{where}, {lists.parent.name}", expected="pairs of the source, above its least rating",
                           kind="data", found=f"{len(strange)} others, e.g. user {user}, item {item}",
                           fix="are both sources of one release?")
    held = np.zeros(len(rows), dtype=np.int8)
    for number, part in enumerate(("valid", "test"), start=1):
        held[within(mine, theirs[(listed["part"] == part).to_numpy()])] = number
    return np.where(rows["user"].isin(listed["user"]), held, -1)


def _numbered(rows: pd.DataFrame, kept: np.ndarray) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The `kept` [N] rows, and the source's ids by number: numbers follow the first appearance among all rows."""
    numbers, names = {}, {}
    for column in ("user", "item"):
        first, distinct = pd.factorize(rows[column])
        first, alive = first[kept], np.zeros(len(distinct), dtype=bool)
        alive[first] = True
        numbers[column], names[column] = (np.cumsum(alive) - 1)[first], np.asarray(distinct)[alive]
    return rows[kept].assign(**numbers), names


def _count(ids: pd.Series, where: str) -> int:
    """Number of ids, which run from 0 without a gap: released ids are kept, so that a model's rows are the paper's."""
    distinct = ids.nunique()
    if distinct != ids.max() + 1:
        raise RepriseError(where, expected=f"0 to {ids.max()}, each of them", found=f"{distinct} different ones",
                           fix="look at the source: is a file cut off, or from another release?")
    return distinct


def _parts(rows: pd.DataFrame, recipe: Recipe, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Mark the rows of the validation and of the test part, [N] bool each."""
    if "held" in rows:
        return (rows["held"] == 1).to_numpy(), (rows["held"] == 2).to_numpy()
    tenth = round(0.1 * len(rows))
    test = _held_out(rows, recipe, "test", tenth, where)
    valid = np.zeros(len(rows), dtype=bool)
    valid[~test] = _held_out(rows[~test], recipe, "valid", tenth, where)
    return valid, test


def _held_out(rows: pd.DataFrame, recipe: Recipe, part: str, tenth: int, where: str) -> np.ndarray:
    """Mark the rows of the test part, or, among the rows that are not of it, those of the validation part; [N] bool.

    `tenth` is the size of either in the split `paper`.
    """
    user, item = rows["user"].to_numpy(), rows["item"].to_numpy()
    if recipe.split == "paper":
        try:
            return item_uniform(user, item, tenth, recipe.split_seed + (part == "valid"))
        except ValueError as error:
            raise RepriseError(f"{where}, {part} part", expected="rows enough for an item-uniform draw",
                               found=str(error)) from None
    if part == "test" and recipe.split == "official_rule":
        return last_per_item(user, item, recipe.test_k, order=rows["order"].to_numpy())
    if part == "valid" and recipe.valid_k is not None:
        order = rows["order"].to_numpy() if "order" in rows else None
        return last_per_item(user, item, recipe.valid_k, order, None if "order" in rows else recipe.valid_seed)
    held = (rows["part"] == part).to_numpy()
    if not held.any():
        raise RepriseError(where, expected=f"a source with a {part} part", found="none",
                           fix="set valid_k in paper.yaml, or choose another split")
    return held
