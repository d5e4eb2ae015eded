"""From canonical interactions to a prepared data set, checked against what the paper says of it."""

from __future__ import annotations

import contextlib
import datetime
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from reprise.data.pairs import codes, within
from reprise.data.prepared import PARTS, Prepared, is_feature
from reprise.data.recipe import Recipe
from reprise.data.splits import (
    as_text,
    first_seen,
    id_schemes,
    item_uniform,
    k_core,
    last_per_item,
    leave_one_out,
)
from reprise.errors import RepriseError
from reprise.files import write_json

Expected = Mapping[str, float | Mapping[int, int]]
Details = dict[str, int | dict[int, int]]
REPEATED = (*(f"repeated_{part}" for part in PARTS), "valid_in_train", "test_in_train")


def prepare(interactions: Path, recipe: Recipe, *, status: str, expect: Expected, where: str,
            items: Path | None = None) -> tuple[Prepared, Details]:
    """Filter and split canonical interactions as `recipe` says, and compare the counts with `expect`.

    Of the canonical `items`, what is known of them in numbers becomes features.

    Returns
    -------
    Prepared, Details
        The data, and what there is to say of them beyond `Prepared.statistics` (see `details`).

    Raises
    ------
    RepriseError
        Ids that leave gaps; repeated pairs where none are allowed; no part of the name that the recipe asks for; counts
        that differ from `expect`: one error that lists each of them.
    """
    rows = _rows(interactions, recipe, where)
    user, item = rows["user"].to_numpy(), rows["item"].to_numpy()
    n_users, n_items = _count(user, f"{where}, user ids"), _count(item, f"{where}, item ids")
    ordered = recipe.split == "leave_one_out"
    valid, test = _parts(rows, recipe, where)
    train = ~valid & ~test
    features = _features(items, rows, where) if items else {}
    if ordered:
        features |= {name: pa.array(ids) for name, ids in id_schemes(item, train, n_items, recipe.id_seed).items()}
    pairs = np.stack([user, item], axis=1)
    prepared = Prepared(n_users, n_items, pairs[train], pairs[valid], pairs[test], status, ordered, features)
    facts = details(prepared)
    if recipe.repeats == "refused" and (repeated := [name for name in REPEATED if facts[name]]):
        raise RepriseError(f"{where}: repeated interactions", kind="data", expected="every pair once",
                           found=", ".join(f"{name}: {facts[name]}" for name in repeated),
                           fix="mend the source, or say `repeats: kept` in paper.yaml if the paper counts them")
    if differences := compare(expect, prepared.statistics() | facts):
        raise RepriseError(f"{where}: the data are not those of the paper", kind="data",
                           expected="the counts that paper.yaml states", found="; ".join(differences),
                           fix="nothing was written; is the source another release, or `expect` in paper.yaml wrong?")
    return prepared, facts


def _rows(interactions: Path, recipe: Recipe, where: str) -> pd.DataFrame:
    """Read the columns user, item, part and, where an order is known, order; filter, and count ids from 0.

    The ids of the source are kept as `raw_item` where it is numbered anew.
    """
    rows = _read(interactions, recipe, where)
    if recipe.split == "released":
        return rows
    if recipe.split == "leave_one_out":
        return _walked(rows, recipe, where)
    kept = _core(rows, recipe, where)
    for column in ("user", "item"):
        # The numbers of the official code: order of first appearance, counted before the core is taken.
        first = first_seen(rows[column])
        rows[column] = np.searchsorted(np.unique(first[kept]), first)
    return rows[kept]


def _read(interactions: Path, recipe: Recipe, where: str) -> pd.DataFrame:
    """The rows inside the recipe's window and above its least rating, in the order of the file."""
    lists = recipe.order == "position" and recipe.split != "leave_one_out"  # a list is parted in train and test
    wanted = {"part"} if recipe.split == "released" else {"time"} if recipe.order else set()
    wanted = {"part", "position"} if lists else {"position"} if recipe.order == "position" else wanted
    needed = wanted | ({"date"} if recipe.window else set())
    if absent := needed - set(pq.read_schema(interactions).names):
        raise RepriseError(f"{where}, split {recipe.split}", expected=f"a source with {', '.join(sorted(needed))}",
                           found=f"none of {', '.join(sorted(absent))}", fix="give it another source, split or order")
    conditions = [] if recipe.min_rating is None else [("rating", ">=", recipe.min_rating)]
    if recipe.window:
        conditions += [("date", ">=", recipe.window[0]), ("date", "<=", recipe.window[1])]
    table = pq.read_table(interactions, columns=["user", "item", *sorted(wanted)], filters=conditions or None)
    rows = table.to_pandas()
    if len(rows) == 0:
        raise RepriseError(where, expected="interactions", found="none",
                           fix="is min_rating above every rating, or no date within the window?")
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
    return rows


def _core(rows: pd.DataFrame, recipe: Recipe, where: str) -> np.ndarray:
    """Mark the rows of the recipe's k-core, [N] bool."""
    kept = k_core(rows["user"].to_numpy(), rows["item"].to_numpy(), recipe.core or 1)
    if not kept.any():
        raise RepriseError(where, expected=f"a {recipe.core}-core", found="no user or item has enough rows")
    return kept


def _walked(rows: pd.DataFrame, recipe: Recipe, where: str) -> pd.DataFrame:
    """Numbers and rows as S3-Rec's `data_process.py` has them: user after user, each one's rows in order of time.

    Users stand in order of their first row in the file, dropped rows included; equal times in the order of the file.
    """
    rows["user"] = first_seen(rows["user"])
    rows = rows.iloc[np.lexsort((rows["order"], rows["user"]))]
    rows = rows[_core(rows, recipe, where)]
    numbers = {"user": first_seen(rows["user"]), "item": first_seen(rows["item"])}
    return rows.assign(raw_item=rows["item"], **numbers).reset_index(drop=True)


def _features(items: Path, rows: pd.DataFrame, where: str) -> dict[str, pa.Array]:
    """What the source knows of the items of `rows` in whole numbers, one each or a list each, by name."""
    table = pq.read_table(items)
    known = [field.name for field in table.schema if field.name != "item" and is_feature(field.type)]
    if not known:
        return {}
    raw = rows["raw_item" if "raw_item" in rows else "item"].to_numpy()
    _, first = np.unique(rows["item"], return_index=True)
    place = pd.Index(table["item"].to_pandas()).get_indexer(raw[first])
    if (unknown := place < 0).any():
        raise RepriseError(f"{where}, {items.name}", expected="a row for every item", kind="data",
                           found=f"none for {unknown.sum()} of {len(place)}, e.g. {raw[first][unknown][0]}",
                           fix="canonicalise the source again")
    features = {name: table[name].combine_chunks().take(pa.array(place)) for name in known}
    for name, feature in features.items():
        if feature.null_count or (not pa.types.is_integer(feature.type) and feature.flatten().null_count):
            raise RepriseError(f"{where}, {items.name}, {name}", expected="a value for every item", kind="data",
                               found="nulls", fix="an empty list says that nothing is known")
    return features


def _parts(rows: pd.DataFrame, recipe: Recipe, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Mark the rows of the validation and of the test part, [N] bool each."""
    if recipe.split == "leave_one_out":
        part = leave_one_out(rows["user"].to_numpy())
        return part == 1, part == 2
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


def details(prepared: Prepared) -> Details:
    """Count what the paper's table does not show, but the metrics feel.

    `<part>_per_item` is a histogram: how many items have that many rows in the part. `test_in_train` are test rows
    whose pair train or validation hold too: where a ranking masks what a user has seen, they can never be hit.
    `users_with_repeats` have a pair twice, in whatever parts. `cold_items` are items of the test part that train and
    validation never show.
    """
    both = prepared.parts("train+valid")
    counts: Details = {}
    for part in PARTS:
        pairs = getattr(prepared, part)
        _, first = np.unique(_codes(pairs), return_index=True)
        again = np.delete(pairs[:, 0], first)
        counts |= {f"repeated_{part}": len(again), f"repeated_{part}_users": len(np.unique(again)),
                   f"{part}_per_user_max": int(np.bincount(pairs[:, 0], minlength=1).max())}
    for part in ("valid", "test"):
        per_item = np.bincount(getattr(prepared, part)[:, 1], minlength=prepared.n_items)
        counts[f"{part}_per_item"] = {n: int(items) for n, items in enumerate(np.bincount(per_item)) if items}
    counts["valid_in_train"] = int(within(_codes(prepared.valid), _codes(prepared.train)).sum())
    counts["test_in_train"] = int(within(_codes(prepared.test), _codes(both)).sum())
    everything = prepared.parts("+".join(PARTS))
    _, first = np.unique(_codes(everything), return_index=True)
    counts["users_with_repeats"] = len(np.unique(np.delete(everything[:, 0], first)))
    counts["cold_items"] = len(np.setdiff1d(prepared.test[:, 1], both[:, 1]))
    return counts


@contextlib.contextmanager
def noting_failure(folder: Path, code: str) -> Iterator[None]:
    """Leave `failure.json` in a data set's folder if the block fails, and remove it if it ends well.

    `code` is `papers.data_code`: with other code or another entry in `paper.yaml` the failure is forgotten.
    """
    failure = folder / "failure.json"
    try:
        yield
    except RepriseError as error:
        write_json(failure, {"reason": error.reason(), "code": code, "date": datetime.date.today().isoformat()})
        raise
    failure.unlink(missing_ok=True)


def _count(ids: np.ndarray, where: str) -> int:
    """Number of ids, which run from 0 without a gap: released ids are kept, so that a model's rows are the paper's."""
    distinct = len(np.unique(ids))
    if distinct != ids.max() + 1:
        raise RepriseError(where, expected=f"0 to {ids.max()}, each of them", found=f"{distinct} different ones",
                           fix="look at the source: is a file cut off, or from another release?")
    return distinct


def compare(expect: Expected, found: Expected) -> list[str]:
    """List every count that differs, as `train: expected 5, found 4`; a count that nobody made is a difference.

    Whole numbers and histograms must be equal, fractions to the six decimals that papers print.
    """
    def same(name: str, value: float | Mapping[int, int]) -> bool:
        if isinstance(value, float):
            return name in found and abs(found[name] - value) <= 0.5e-6
        return found.get(name) == value

    return [f"{name}: expected {value}, found {found.get(name, 'no such count')}"
            for name, value in expect.items() if not same(name, value)]


def leaks(prepared: Prepared, repeats: str = "refused") -> list[str]:
    """List what is wrong with prepared data: pairs in two parts, ids out of range, ids that never occur.

    Where `repeats` are `kept`, a pair may be in two parts; `stats.json` counts how often.
    """
    found = []
    of = {part: _codes(prepared.parts(part)) for part in PARTS}
    for one, other in itertools.combinations(PARTS, 2) if repeats == "refused" else ():
        if shared := int(within(of[other], of[one]).sum()):
            found.append(f"{shared} pairs are in {one} and in {other}")
    everything = prepared.parts("+".join(PARTS))
    for name, ids, n in (("user", everything[:, 0], prepared.n_users), ("item", everything[:, 1], prepared.n_items)):
        if outside := int(((ids < 0) | (ids >= n)).sum()):
            found.append(f"{outside} {name} ids are outside 0 to {n - 1}")
        if missing := n - len(np.unique(ids[(ids >= 0) & (ids < n)])):
            found.append(f"{missing} {name} ids between 0 and {n - 1} never occur")
    return found


def _codes(pairs: np.ndarray) -> np.ndarray:
    """One number a pair of [N, 2]."""
    return codes(pairs[:, 0], pairs[:, 1])
