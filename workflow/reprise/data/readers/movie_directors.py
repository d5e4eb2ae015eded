"""`movie_directors.dat` of HetRec 2011: a line a movie, `movieID directorID directorName`, parted by tabs, in Latin-1.

It tells of MovieLens's movies, by MovieLens's ids, and of nobody who met one: its interactions are a table without
rows, and a data set takes it as `known` beside a source that has some.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from reprise.data.json_lines import refused
from reprise.data.readers import Tables
from reprise.errors import RepriseError

FILE = "movie_directors.dat"
HEADER = "movieID\tdirectorID\tdirectorName"
LINE = "movieID, directorID, directorName (a whole number and two texts, parted by tabs)"
WELL_FORMED = re.compile(r"(\d{1,9})\t([^\t]*[^\t\s][^\t]*)\t([^\t]*[^\t\s][^\t]*)")


def read(folder: Path) -> Tables:
    """Read the file of a folder; `items` has `director`, an id in letters, and `director_name`, in the file's order.

    Two directors may have one name.

    Raises
    ------
    RepriseError
        No such file; an empty one; another header; a malformed line, or a second one of a movie, with its number.
    """
    path = Path(folder) / FILE
    try:
        header, *lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    except FileNotFoundError:
        raise RepriseError(str(path), expected=f"lines of {LINE}", found="no such file",
                           fix="fetch the source again") from None
    if header.rstrip(b"\r") != HEADER.encode():
        raise RepriseError(f"{path}, line 1", expected=repr(HEADER), fix="is it another edition?",
                           found=repr(header[:60].decode("latin-1")) if header else "an empty file")
    directors: dict[int, tuple[str, str]] = {}
    for number, line in enumerate(lines, start=2):
        found = WELL_FORMED.fullmatch(line.removesuffix(b"\r").decode("latin-1"))
        if not found:
            raise refused(path, number, line, LINE, "no such line")
        if (item := int(found[1])) in directors:
            raise refused(path, number, line, LINE, f"a second line of movie {item}, of {directors[item][0]!r} before")
        directors[item] = found[2], found[3]
    if not directors:
        raise RepriseError(str(path), expected=f"lines of {LINE}", found="no line after the first")
    names, written = zip(*directors.values(), strict=True)
    items = pd.DataFrame({"item": list(directors), "director": names, "director_name": written})
    nobody = pd.DataFrame({"user": pd.array([], "int64"), "item": pd.array([], "int64"),
                           "time": pd.array([], "Int64"), "rating": pd.array([], "Float64")})
    return Tables(nobody, items, None, {"directors": len(set(names))}, (FILE,))
