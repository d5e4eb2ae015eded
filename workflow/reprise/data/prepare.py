"""From canonical interactions to a prepared data set, checked against what the paper says of it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reprise.data.cuts import Counts, nearest_cut
from reprise.data.pairs import codes, within
from reprise.data.prepared import PARTS, Prepared, is_feature
from reprise.data.providers import joined, providers
from reprise.data.recipe import Recipe
from reprise.data.reviews import Reviews, random_parts
from reprise.data.rows import Rows, rows_of
from reprise.data.splits import id_schemes
from reprise.errors import RepriseError

Expected = Mapping[str, float | tuple[int, int] | Mapping[int, int]]
Details = dict[str, int | str | dict[int, int] | dict[str, Counts]]
ORDERED = ("leave_one_out", "user_tenths", "listed")  # splits that keep a user's rows in order of time
REPEATED = (*(f"repeated_{part}" for part in PARTS), "valid_in_train", "test_in_train")


def prepare(interactions: Path, recipe: Recipe, *, status: str, expect: Expected, where: str,
            items: Path | None = None, users: Path | None = None, lists: Path | None = None,
            known: Path | None = None) -> tuple[Prepared, Details]:
    """Filter and split canonical interactions as `recipe` says, and compare the counts with `expect`.

    Of the canonical `items` and `users`, what is known of them in numbers and categories becomes features. `lists` are
    the canonical interactions that the split `listed` holds out, `known` the canonical items of another source, which
    knows more of them.

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
    tried: Details = {}
    if recipe.cuts:
        recipe, counted = nearest_cut(interactions, recipe, where, items)
        tried = {"cut": min(counted, key=lambda name: counted[name]["distance"]), "cuts": counted}
    rows = rows_of(interactions, recipe, where, items, lists)
    ordered = recipe.split in ORDERED
    train = ~rows.valid & ~rows.test
    features, lacking = _of_items(items, known, rows.items, recipe, where)
    if recipe.split == "leave_one_out":
        features |= {name: pa.array(ids) for name, ids in
                     id_schemes(rows.item, train, len(rows.items), recipe.id_seed).items()}
    of_users = _features(pq.read_table(users), "user", rows.users, f"{where}, users.parquet") if users else {}
    of_reviews, review_counts = _reviews(rows, recipe) if rows.stars is not None else ({}, {})
    pairs = np.stack([rows.user, rows.item], axis=1)
    parts = (pairs[part] for part in (train, rows.valid, rows.test))
    prepared = Prepared(len(rows.users), len(rows.items), *parts, status, ordered, features,
                        of_users | of_reviews, rows.rated)
    facts = details(prepared) | lacking | review_counts
    facts |= _feature_counts(users, rows.described, prepared) if users else {}
    if recipe.repeats != "kept" and (repeated := [name for name in REPEATED if facts[name]]):
        raise RepriseError(f"{where}: repeated interactions", kind="data", expected="every pair once",
                           found=", ".join(f"{name}: {facts[name]}" for name in repeated),
                           fix="mend the source; where the paper counts them, and its split reads `repeats`, say"
                               " `repeats: kept` in paper.yaml")
    if differences := compare(expect, prepared.statistics() | facts):
        raise RepriseError(f"{where}: the data are not those of the paper", kind="data",
                           expected="the counts that paper.yaml states", found="; ".join(differences),
                           fix="nothing was written; is the source another release, or `expect` in paper.yaml wrong?")
    return prepared, facts | tried


def _of_items(items: Path | None, known: Path | None, ids: np.ndarray, recipe: Recipe,
              where: str) -> tuple[dict[str, pa.Array], Details]:
    """What is known of the items `ids` [n], by name; where they have providers, how many lack one in the sources."""
    table = pq.read_table(items) if items else pa.table({"item": ids})
    lacking: Details = {}
    provider = {}
    if known:
        table = joined(table, pq.read_table(known), where)
    if recipe.provider:
        numbers, absent = providers(table, recipe.provider, ids, recipe.provider_missing, where)
        provider, lacking = {"provider": numbers}, {"items_without_provider": absent}
        table = table.drop_columns(recipe.provider)  # numbered anew, it is no second feature
    features = _features(table, "item", ids, f"{where}, items.parquet")
    if recipe.attributes:
        features = _renamed(features, recipe.attributes, where)
    return features | provider, lacking


def _reviews(rows: Rows, recipe: Recipe) -> tuple[dict[str, pa.Array], Details]:
    """What each user said of which item, as columns of the users, and how much of what is held out that tells.

    `test_in_reviews` are test rows whose pair is among the reviews that are trained on (`reviews_train`).
    """
    part = random_parts(rows.user, rows.item, recipe.review_seed)
    reviews = Reviews(rows.user, rows.item, rows.stars, part, rows.valid + 2 * rows.test)
    trained = reviews.trained()
    counts = {f"{part}_in_reviews": told for part, (told, _) in reviews.leaked(trained).items()}
    return reviews.columns(len(rows.users)), {"reviews": len(part), "reviews_train": int(trained.sum()), **counts}


def _features(known: pa.Table, column: str, ids: np.ndarray, where: str) -> dict[str, pa.Array]:
    """What the source knows of the users or items `ids` [n] in whole numbers, one each or a list each, by name.

    A category becomes the place of its name among all of its names, in the order of the alphabet.
    """
    names = [field.name for field in known.schema if field.name != column and is_feature(field.type)]
    place = pd.Index(known[column].to_pandas()).get_indexer(ids)
    if names and (unknown := place < 0).any():
        raise RepriseError(where, expected=f"a row for every {column}", kind="data",
                           found=f"none for {unknown.sum()} of {len(place)}, e.g. {ids[unknown][0]}",
                           fix="canonicalise the source again")
    features = {name: _whole(known[name].combine_chunks()).take(pa.array(place)) for name in names}
    for name, feature in features.items():
        if feature.null_count or (not pa.types.is_integer(feature.type) and feature.flatten().null_count):
            raise RepriseError(f"{where}, {name}", expected=f"a value for every {column}", kind="data",
                               found="nulls", fix="an empty list says that nothing is known")
    return features


def _feature_counts(users: Path, described: np.ndarray, prepared: Prepared) -> Details:
    """How many features a model of users and items reads: ids, values of the users' columns, and attributes.

    Of the users that are `described`. Without the columns' names before them (`features_unprefixed`), values of two
    columns that look alike are one.
    """
    table = pq.read_table(users).to_pandas()
    table = table[table["user"].isin(described)].drop(columns="user").astype(str)
    ids = len(described) + prepared.n_items + prepared.statistics()["attributes"]
    return {"features": ids + sum(table[name].nunique() for name in table),
            "features_unprefixed": ids + len(np.unique(table.to_numpy()))}


def _renamed(features: dict[str, pa.Array], attributes: str, where: str) -> dict[str, pa.Array]:
    """The features, of which one is called `attributes` from here on."""
    if attributes not in features:
        raise RepriseError(f"{where}, attributes", expected="one of " + ", ".join(features), found=attributes)
    return {"attributes" if name == attributes else name: feature for name, feature in features.items()}


def _whole(feature: pa.Array) -> pa.Array:
    """A feature in whole numbers; only a category is not yet."""
    if not pa.types.is_dictionary(feature.type):
        return feature
    texts = feature.cast(feature.type.value_type)
    return pc.index_in(texts, texts.unique().drop_null().sort())


def details(prepared: Prepared) -> Details:
    """Count what the paper's table does not show, but the metrics feel.

    `<part>_per_item` is a histogram: how many items have that many rows in the part. `test_in_train` are test rows
    whose pair train or validation hold too: where a ranking masks what a user has seen, they can never be hit.
    `users_with_repeats` have a pair twice, in whatever parts. `cold_items` are items of the test part that train and
    validation never show; `unmet_items` are candidates that no part shows.
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
    tested, met = (np.bincount(pairs[:, 1], minlength=prepared.n_items) > 0 for pairs in (prepared.test, both))
    counts |= {"unmet_items": int((~tested & ~met).sum()), "cold_items": int((tested & ~met).sum())}
    return counts


def compare(expect: Expected, found: Expected) -> list[str]:
    """List every count that differs, as `train: expected 5, found 4`; a count that nobody made is a difference.

    Whole numbers and histograms must be equal, fractions to the six decimals that papers print; of two numbers, the
    count must lie between them, ends included.
    """
    def same(name: str, value: float | tuple[int, int] | Mapping[int, int]) -> bool:
        if isinstance(value, tuple):
            return name in found and value[0] <= found[name] <= value[1]
        if isinstance(value, float):
            return name in found and abs(found[name] - value) <= 0.5e-6
        return found.get(name) == value

    return [f"{name}: expected {_range(value)}, found {found.get(name, 'no such count')}"
            for name, value in expect.items() if not same(name, value)]


def _range(value: object) -> str:
    return " to ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def leaks(prepared: Prepared, recipe: Recipe) -> list[str]:
    """List what is wrong with prepared data: pairs in two parts, ids out of range, ids that never occur.

    Where `repeats` are `kept`, a pair may be in two parts, and where `candidates` are more than those `kept`, an item
    in none; `stats.json` counts how often.
    """
    found = []
    of = {part: _codes(prepared.parts(part)) for part in PARTS}
    for one, other in itertools.combinations(PARTS, 2) if recipe.repeats != "kept" else ():
        if shared := int(within(of[other], of[one]).sum()):
            found.append(f"{shared} pairs are in {one} and in {other}")
    everything = prepared.parts("+".join(PARTS))
    for name, ids, n in (("user", everything[:, 0], prepared.n_users), ("item", everything[:, 1], prepared.n_items)):
        if outside := int(((ids < 0) | (ids >= n)).sum()):
            found.append(f"{outside} {name} ids are outside 0 to {n - 1}")
        unmet = name == "item" and recipe.candidates != "kept"
        if not unmet and (missing := n - len(np.unique(ids[(ids >= 0) & (ids < n)]))):
            found.append(f"{missing} {name} ids between 0 and {n - 1} never occur")
    return found


def _codes(pairs: np.ndarray) -> np.ndarray:
    """One number a pair of [N, 2]."""
    return codes(pairs[:, 0], pairs[:, 1])
