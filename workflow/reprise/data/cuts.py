"""Which of several ways to cut a log comes nearest to the counts that a paper prints, where it does not say its own."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reprise.data.recipe import Recipe
from reprise.data.rows import NothingLeft, rows_of

Counts = dict[str, float]


def nearest_cut(interactions: Path, recipe: Recipe, where: str, items: Path) -> tuple[Recipe, dict[str, Counts]]:
    """Try all `cuts` of a recipe; return the recipe of the nearest, and of every one its counts and how far it is.

    `distance` is the mean of |ln(found / wanted)| over `nearest_to`: half as many are as far off as twice as many. Of
    none, half of one counts; of equal distances, the first. Raises as `rows_of` does, unless a cut leaves nothing.
    """
    counted = {name: _counts(interactions, recipe.cut(name), where, items) for name in recipe.cuts}
    for found in counted.values():
        off = [abs(math.log((found[name] or 0.5) / wanted)) for name, wanted in recipe.nearest_to.items()]
        found["distance"] = sum(off) / len(off)
    return recipe.cut(min(counted, key=lambda name: counted[name]["distance"])), counted


def _counts(interactions: Path, recipe: Recipe, where: str, items: Path) -> Counts:
    """Users, items, interactions and attributes that a cut leaves."""
    try:
        rows = rows_of(interactions, recipe, where, items)
    except NothingLeft:
        return dict.fromkeys(("users", "items", "interactions", "attributes"), 0)
    known = pq.read_table(items, columns=["item", recipe.attributes])
    place = pd.Index(known["item"].to_pandas()).get_indexer(rows.items)
    about = known[recipe.attributes].take(pa.array(place))
    if not pa.types.is_integer(about.type):
        about = pc.list_flatten(about)
    return {"users": len(rows.users), "items": len(rows.items), "interactions": len(rows.user),
            "attributes": pc.count_distinct(about).as_py()}
