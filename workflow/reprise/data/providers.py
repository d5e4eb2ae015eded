"""Who offers an item: one provider each, which models learn beside the item."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from reprise.errors import RepriseError


def joined(items: pa.Table, known: pa.Table, where: str) -> pa.Table:
    """A table of items with the columns that another one knows of the same items; null for items that it lacks.

    Raises
    ------
    RepriseError
        A column that both have; no item that both have.
    """
    columns = known.drop_columns("item")
    if both := sorted(set(columns.column_names) & set(items.column_names)):
        raise RepriseError(f"{where}, known", expected="columns that the source does not have",
                           found=", ".join(both), fix="leave `known` out, or name its columns otherwise")
    place = _places(known, items["item"].to_pandas())
    if place.null_count == len(place):
        raise RepriseError(f"{where}, known", expected="a source that knows some of the items", found="none of them",
                           fix="are the ids of both those of one catalogue?")
    for name in columns.column_names:
        items = items.append_column(name, columns[name].take(place))
    return items


def providers(items: pa.Table, column: str, ids: np.ndarray, missing: str, where: str) -> tuple[pa.Array, int]:
    """Number the providers of the items `ids` [n], which `column` of a table of items names in whatever type.

    Numbers run from 0 without a gap, in the order of the items that first have them. `missing`: `refused`, or `own`:
    an item without a provider has one to itself.

    Returns
    -------
    int64 array [n], int
        The provider of each item, and how many items have none of the table.

    Raises
    ------
    RepriseError
        No such column; one that holds something else than one name or number an item; an item without a provider, or
        without a row, where that is refused.
    """
    if column not in items.column_names or column == "item":
        others = [name for name in items.column_names if name != "item"]
        raise RepriseError(f"{where}, provider", expected="one of " + (", ".join(others) or "no column at all"),
                           found=column, fix="is another source to say it (`known` in paper.yaml)?")
    who = items[column].take(_places(items, ids))
    if pa.types.is_dictionary(who.type):
        who = who.cast(who.type.value_type)
    if not (pa.types.is_integer(who.type) or pa.types.is_string(who.type) or pa.types.is_large_string(who.type)):
        raise RepriseError(f"{where}, provider {column}", expected="a whole number, a text or a category an item",
                           found=str(who.type))
    named = who.combine_chunks().dictionary_encode()
    numbers = named.indices.fill_null(-1).to_numpy().astype(np.int64)
    absent = np.flatnonzero(numbers < 0)
    if len(absent) and missing == "refused":
        raise RepriseError(f"{where}, provider {column}", kind="data", expected="a provider for every item",
                           found=f"none for {len(absent)} of {len(ids)} items, e.g. item {ids[absent[0]]}",
                           fix="mend the source, or say `provider_missing: own` in paper.yaml")
    numbers[absent] = len(named.dictionary) + np.arange(len(absent))
    return pa.array(pd.factorize(numbers)[0].astype(np.int64)), len(absent)


def _places(table: pa.Table, ids: np.ndarray | pd.Series) -> pa.Array:
    """The row of each of the items `ids` [n] in a table of items, null for those without one."""
    place = pd.Index(table["item"].to_pandas()).get_indexer(ids)
    return pa.array(place, mask=place < 0)
