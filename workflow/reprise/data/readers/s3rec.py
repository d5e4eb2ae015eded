"""`<Name>.txt` and `<Name>_item2attributes.json`, the format of S3-Rec's prepared data.

The first has one line a user, `user item item ...`, oldest item first, without times or ratings; users and items are
numbered from 1. The second is one object, `{"item": [attribute, ...]}`, with attributes numbered from 1; an item may
have none, and every item has its list.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from reprise.data.json_lines import unique
from reprise.data.readers import Tables, only_file
from reprise.data.readers.user_lists import read_lists
from reprise.errors import RepriseError

NUMBER = re.compile("[1-9][0-9]{0,8}")
ENDING = "_item2attributes.json"
OBJECT = '{"item": [attribute, ...], ...} (numbers from 1)'


def read(folder: Path) -> Tables:
    """Read a folder's sequences and attributes.

    `interactions` adds the column `position` (of the item in its line, from 0), `items` the column `attributes` (a list
    of int64). A repeated item in a line is a repeated interaction and stays.

    Raises
    ------
    RepriseError
        A missing, empty or malformed file, with the line at fault; a number below 1; a key that comes twice; attributes
        of an item that no line has, or an item of a line without a list of attributes.
    """
    attributes = only_file(Path(folder), f"*{ENDING}")
    path = attributes.with_name(attributes.name.removesuffix(ENDING) + ".txt")
    rows = read_lists(path, "the sequences")
    for column in ("user", "item"):
        if rows[column].min() < 1:
            raise RepriseError(str(path), expected="users and items numbered from 1", found=f"{column} 0",
                               fix="is it another format?")
    items = np.unique(rows["item"])
    lists = _attributes(attributes)
    if beyond := sorted(set(items.tolist()) - set(lists)):
        raise RepriseError(str(path), expected=f"items of {attributes.name}", kind="data",
                           found=f"{len(beyond)} others, e.g. item {beyond[0]}", fix="are the files of one release?")
    if unknown := sorted(set(lists) - set(items.tolist())):
        raise RepriseError(str(attributes), expected=f"attributes of items of {path.name}", kind="data",
                           found=f"{len(unknown)} others, e.g. item {unknown[0]}", fix="are the files of one release?")
    interactions = pd.DataFrame({
        "user": rows["user"], "item": rows["item"], "time": pd.array([pd.NA], dtype="Int64").repeat(len(rows)),
        "rating": pd.array([pd.NA], dtype="Float64").repeat(len(rows)), "position": rows["position"],
    })
    typed = pd.ArrowDtype(pa.list_(pa.int64()))
    table = pd.DataFrame({"item": items, "attributes": pd.array([lists[item] for item in items.tolist()], typed)})
    facts = {"repeated": int(rows.duplicated(["user", "item"]).sum()),
             "items_without_attributes": sum(not lists[item] for item in lists)}
    return Tables(interactions, table, pd.DataFrame({"user": np.unique(rows["user"])}), facts,
                  (path.name, attributes.name))


def _attributes(path: Path) -> dict[int, list[int]]:
    """The attributes of every item."""
    try:
        record = json.loads(path.read_bytes().decode(), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise RepriseError(str(path), expected=OBJECT, found=str(error), fix="fetch the file again") from None
    if not isinstance(record, dict):
        raise RepriseError(str(path), expected=OBJECT, found=type(record).__name__)
    for item, numbers in record.items():
        # A number written in two ways (7 and 07) would be two keys of one item.
        if not NUMBER.fullmatch(item) or not isinstance(numbers, list) or not all(
            type(number) is int and number >= 1 for number in numbers
        ):
            raise RepriseError(f"{path}, item {item!r}", expected=OBJECT, found=f"{str(numbers)[:60]}",
                               fix="fetch the file again; if it is your own, mend the entry")
    return {int(item): numbers for item, numbers in record.items()}
