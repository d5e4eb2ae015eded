"""`100k_a.csv` of LiveRec: one stay of a user in a stream a line, `user,stream,streamer,start,stop`, without a header.

An item is a stream (one broadcast), and `streamer`, the name of its channel, says who provides it. Start and stop are
rounds of ten minutes, counted from the first round of the log, whose date is not published: `time` is 600 times the
start, seconds from there, good for an order and for nothing else. The stop is exclusive (JRappaz/liverec: somebody is
there while start <= t < stop).
"""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from reprise.data.json_lines import refused
from reprise.data.readers import Tables
from reprise.errors import RepriseError

FILE = "100k_a.csv"
COLUMNS = {"user": pa.int64(), "item": pa.int64(), "streamer": pa.dictionary(pa.int32(), pa.string()),
           "start": pa.int64(), "stop": pa.int64()}
LINE = "user,stream,streamer,start,stop (whole numbers, but for the streamer's name; start < stop)"
WELL_FORMED = re.compile(r"\d{1,18},\d{1,18},[^,]*[^,\s][^,]*,(\d{1,9}),(\d{1,9})")
ROUND = 600  # seconds


def read(folder: Path) -> Tables:
    """Read the log of a folder, in the file's order; `items`, ascending, adds `streamer`, a text.

    The fact `repeated` counts the stays beyond a pair's first.

    Raises
    ------
    RepriseError
        No such file; an empty one; a malformed line, or a stay that stops before it starts, with the line's number; a
        stream with two streamers.
    """
    path = Path(folder) / FILE
    try:
        rows = pyarrow.csv.read_csv(
            path, pyarrow.csv.ReadOptions(column_names=list(COLUMNS)),
            pyarrow.csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            pyarrow.csv.ConvertOptions(column_types=COLUMNS, null_values=[""], strings_can_be_null=True),
        ).unify_dictionaries()
        _check(rows)
    except FileNotFoundError:
        raise RepriseError(str(path), expected=f"lines of {LINE}", found="no such file") from None
    except pa.ArrowInvalid as error:
        raise _malformed(path, str(error)) from None
    items = rows.select(["item", "streamer"]).to_pandas().drop_duplicates().sort_values("item", ignore_index=True)
    if (twice := items["item"].duplicated()).any():
        item = items.loc[twice, "item"].iloc[0]
        names = " and ".join(map(repr, items.loc[items["item"] == item, "streamer"]))
        raise RepriseError(str(path), expected="one streamer a stream", kind="data",
                           found=f"{twice.sum()} more, e.g. {names} of stream {item}", fix="fetch the source again")
    pairs = rows.group_by(["user", "item"]).aggregate([]).num_rows
    interactions = pa.table({
        "user": rows["user"], "item": rows["item"], "time": pc.multiply(rows["start"], ROUND),
        "rating": pa.nulls(len(rows), pa.float64()),
    })
    return Tables(interactions.to_reader(), items.astype({"streamer": "str"}), None, {"repeated": len(rows) - pairs},
                  (FILE,))


def _check(rows: pa.Table) -> None:
    """Raise an error of Arrow's if some row cannot be."""
    if any(column.null_count for column in rows.columns):
        raise pa.ArrowInvalid("a field without a value")
    names = rows["streamer"].chunk(0).dictionary
    if not pc.all(pc.match_substring_regex(names, r"\S")).as_py():
        raise pa.ArrowInvalid("a streamer without a name")
    if min(pc.min(rows[name]).as_py() for name in ("user", "item", "start")) < 0:
        raise pa.ArrowInvalid("a negative number")
    if not pc.all(pc.less(rows["start"], rows["stop"])).as_py():
        raise pa.ArrowInvalid("a stop that is not after its start")


def _malformed(path: Path, problem: str) -> RepriseError:
    """Find the first malformed line: only a file that is refused is read line by line."""
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                found = WELL_FORMED.fullmatch(line.rstrip(b"\r\n").decode())
            except UnicodeDecodeError:
                return refused(path, number, line, LINE, "a name that is no UTF-8")
            if not found:
                return refused(path, number, line, LINE, "no such line" if line.strip() else "an empty line")
            if int(found[1]) >= int(found[2]):
                return refused(path, number, line, LINE, "a stop that is not after its start")
    empty = path.stat().st_size == 0
    return RepriseError(str(path), expected=f"lines of {LINE}", found="an empty file" if empty else problem)
