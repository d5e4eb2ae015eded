"""`ratings.dat` of MovieLens: `user::item::rating::time`, one rating a line, time in unix seconds.

The file lies in the folder that the archive names (`ml-10M100K/ratings.dat`). Rows keep the file's order, ids the
file's numbers, which start at 1 and have gaps. Line ends may be Windows', and spaces around a number do no harm.
Ratings alone: what else MovieLens-1M knows of users and movies, `movielens_1m` reads.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from reprise.data.readers import Tables, only_file
from reprise.errors import RepriseError

LINE = "user::item::rating::time (integers, the rating 0.5 to 5 in half steps)"
WELL_FORMED = re.compile(rb"\d{1,9}::\d{1,9}::(0\.5|[1-4](\.[05])?|5(\.0)?)::\d{1,12}")
TYPES = {"user": pa.int64(), "item": pa.int64(), "rating": pa.float64(), "time": pa.int64()}


def read(folder: Path) -> Tables:
    """Read the one `ratings.dat` below a folder; raises as `ratings` does."""
    path, interactions = ratings(Path(folder))
    items, users = (pd.DataFrame({column: np.unique(interactions[column])}) for column in ("item", "user"))
    return Tables(interactions, items, users, {}, (path.relative_to(folder).as_posix(),))


def ratings(folder: Path) -> tuple[Path, pd.DataFrame]:
    """Find the one `ratings.dat` below a folder, and read it into the columns user, item, time, rating.

    Raises
    ------
    RepriseError
        No such file, or more than one; an empty file; a malformed line, with its number and what stands there.
    """
    path = only_file(folder, "*/ratings.dat")
    if path.stat().st_size == 0:
        raise RepriseError(str(path), expected=f"lines of {LINE}", found="an empty file")
    # Arrow knows separators of one character: between two colons stands a column of nothing.
    names = [name for field in TYPES for name in (field, f"after {field}")][:-1]
    gaps = {name: pa.null() for name in names if name not in TYPES}
    try:
        table = pyarrow.csv.read_csv(
            path,
            pyarrow.csv.ReadOptions(column_names=names),
            pyarrow.csv.ParseOptions(delimiter=":", quote_char=False, ignore_empty_lines=False),
            pyarrow.csv.ConvertOptions(column_types={**TYPES, **gaps}, null_values=[""]),
        ).select(list(TYPES))
    except pa.ArrowInvalid as error:
        raise _malformed(path, str(error)) from None
    if any(column.null_count for column in table.columns):
        raise _malformed(path, "a field without a value")
    user, item, rating, time = (column.to_numpy() for column in table.columns)
    if min(user.min(), item.min(), time.min()) < 0 or not np.isin(rating, np.arange(1, 11) / 2).all():
        raise _malformed(path, "a negative number, or a rating that is none")
    return path, pd.DataFrame(
        {"user": user, "item": item, "time": pd.array(time, "Int64"), "rating": pd.array(rating, "Float64")}
    )


def _malformed(path: Path, problem: str) -> RepriseError:
    """Find the first malformed line: only a file that is refused is read line by line."""
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            line = line.rstrip(b"\r\n")
            if not WELL_FORMED.fullmatch(line):
                found = repr(line[:60].decode("utf-8", "backslashreplace")) if line else "an empty line"
                return RepriseError(f"{path}, line {number}", expected=LINE, found=found,
                                    fix="fetch the source again; if the file is your own, mend the line")
    return RepriseError(str(path), expected=f"lines of {LINE}", found=problem)
