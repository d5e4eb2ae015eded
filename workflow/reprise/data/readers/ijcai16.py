"""`ijcai2016_taobao.csv`, the online log of IJCAI-16 that papers call Tmall: one action a line, 45 million of them.

The columns are user, seller, item, category, action (0 click, 1 buy) and the day, `YYYYMMDD`. The file is read a block
at a time: rows pass through in its order, and only what is known of items stays in memory. `time` is the day's midnight
in UTC, in unix seconds; within a day the order is that of the file.

Nothing promises that an item has one category and one seller: those of its first row count, and the facts say how many
items have more.
"""

from __future__ import annotations

import calendar
import datetime
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from reprise.data.json_lines import refused
from reprise.data.readers import Tables
from reprise.errors import RepriseError

FILE = "ijcai2016_taobao.csv"
HEADER = "use_ID,sel_ID,ite_ID,cat_ID,act_ID,time"
COLUMNS = ("user", "seller", "item", "category", "action", "day")
ACTIONS = ("click", "buy")  # by code
LINE = f"{HEADER} (whole numbers, the action 0 or 1, the time YYYYMMDD)"
WELL_FORMED = re.compile(rb"\d{1,18},\d{1,18},\d{1,18},\d{1,18},[01],(\d{8})")
ROWS = pa.schema({"user": pa.int64(), "item": pa.int64(), "time": pa.int64(), "rating": pa.float64(),
                  "action": pa.string()})
BLOCK = 1 << 26  # bytes


def read(folder: Path) -> Tables:
    """Read the log of a folder as a stream, with the column `action` (`click`, `buy`) beside the shared ones.

    `items` adds `category` and `seller`.

    Raises
    ------
    RepriseError
        No such file; an empty one; another header; a malformed line, an unknown action or a date that is none, with the
        line's number. Raised while the stream is read, but for the first three.
    """
    path = Path(folder) / FILE
    try:
        with open(path, "rb") as file:
            header = file.readline().strip()
    except FileNotFoundError:
        raise RepriseError(str(path), expected=f"lines of {LINE}", found="no such file") from None
    if header != HEADER.encode():
        raise RepriseError(f"{path}, line 1", expected=HEADER, fix="is it another edition?",
                           found=repr(header[:60].decode("utf-8", "backslashreplace")) if header else "an empty file")
    items = _Items()
    return Tables(pa.RecordBatchReader.from_batches(ROWS, _rows(path, items)), items.table, None, items.facts, (FILE,))


class _Items:
    """What the rows so far say of items: each combination of item, category and seller once, in order of appearance."""

    def __init__(self) -> None:
        self.known: pa.Table | None = None
        self.facts: dict[str, int] = {}

    def add(self, rows: pa.Table) -> None:
        new = _distinct(rows.select(["item", "category", "seller"]))
        self.known = new if self.known is None else _distinct(pa.concat_tables([self.known, new]))

    def table(self) -> pd.DataFrame:
        """Items, ascending, with the category and seller of the first row; the others are counted in `facts`."""
        known = self.known.to_pandas()
        for column, name in (("category", "categories"), ("seller", "sellers")):
            more = known.drop_duplicates(["item", column]).groupby("item").size() > 1
            self.facts[f"items_with_several_{name}"] = int(more.sum())
        return known.drop_duplicates("item").sort_values("item", ignore_index=True)


def _distinct(table: pa.Table) -> pa.Table:
    # One thread: the groups keep the order in which they appear.
    return table.group_by(table.column_names, use_threads=False).aggregate([])


def _rows(path: Path, items: _Items) -> Iterator[pa.RecordBatch]:
    names = dict(zip(COLUMNS, HEADER.split(","), strict=True))
    types = {name: pa.int8() if column == "action" else pa.int64() for column, name in names.items()}
    how = (pyarrow.csv.ReadOptions(block_size=BLOCK), pyarrow.csv.ParseOptions(quote_char=False),
           pyarrow.csv.ConvertOptions(column_types=types, null_values=[""]))
    seen = 0
    try:
        with pyarrow.csv.open_csv(path, *how) as blocks:
            for block in blocks:
                rows = pa.Table.from_batches([block]).rename_columns(COLUMNS)
                time, action = _times(rows["day"]), rows["action"].combine_chunks()
                if any(column.null_count for column in rows.columns) or not pc.all(pc.is_in(action, pa.array([0, 1]))):
                    raise pa.ArrowInvalid("a field without a value, or an unknown action")
                if any(pc.min(rows[name]).as_py() < 0 for name in ("user", "seller", "item", "category")):
                    raise pa.ArrowInvalid("a negative number")
                items.add(rows)
                seen += len(rows)
                whole = [rows["user"].combine_chunks(), rows["item"].combine_chunks(), time]
                whole += [pa.nulls(len(rows), pa.float64()), pa.array(ACTIONS).take(action)]
                yield pa.record_batch(whole, schema=ROWS)
    except (pa.ArrowInvalid, ValueError) as error:
        raise _malformed(path, str(error)) from None
    if not seen:
        raise RepriseError(str(path), expected=f"lines of {LINE}", found="no line after the first")


def _times(day: pa.ChunkedArray) -> pa.Array:
    """Midnights of days, unix seconds; there are few different ones. A day that is none is a ValueError."""
    coded = day.combine_chunks().dictionary_encode()
    return pa.array([_midnight(one) for one in coded.dictionary.to_pylist()], pa.int64()).take(coded.indices)


def _midnight(day: int) -> int:
    return calendar.timegm(datetime.date.fromisoformat(str(day)).timetuple())  # eight digits, or a ValueError


def _malformed(path: Path, problem: str) -> RepriseError:
    """Find the first malformed line: only a file that is refused is read line by line."""
    with open(path, "rb") as lines:
        next(lines)
        for number, line in enumerate(lines, start=2):
            found = WELL_FORMED.fullmatch(line.rstrip(b"\r\n"))
            try:
                _midnight(int(found[1])) if found else None
            except ValueError:
                return refused(path, number, line, LINE, "a date that is none")
            if not found:
                return refused(path, number, line, LINE, "no such line")
    return RepriseError(str(path), expected=f"lines of {LINE}", found=problem)
