"""`ratings_<Category>.csv` of the Amazon reviews of 2014, `user,item,rating,time` without a header, and its `meta_*`.

Both are gigabytes for books: ratings are read as a stream, and of the metadata, a line a product, only the products
with a rating are kept, item by item. A line of metadata is a dictionary as Python prints it; it is read as a literal
(`amazon_reviews.products`), never evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from reprise.data.json_lines import opened
from reprise.data.readers import Tables, only_file
from reprise.data.readers.amazon_reviews import products
from reprise.errors import RepriseError

COLUMNS = pa.schema({"user": pa.string(), "item": pa.string(), "rating": pa.float64(), "time": pa.int64()})
LINE = "user,item,rating,time (two texts, 1 to 5, unix seconds)"
VALUES = pa.array([1.0, 2.0, 3.0, 4.0, 5.0])
LEVELS = 3  # of a category path; WenjieWWJ/DecRS has no more for all but four books


def read(folder: Path) -> Tables:
    """Read the one `ratings_*.csv` (or `.csv.gz`) of a folder and the `meta_*` of the same category, if it is there.

    `interactions` are a stream; `items` adds `categories` (a list of int64: the levels of the product's first category
    path, at most three, each once; places in the fact `categories`).

    Raises
    ------
    RepriseError
        No such file, or more than one; an empty file; a malformed line, with its number; a rating that is not 1 to 5;
        a line on a rated product that is no literal.
    """
    path = only_file(Path(folder), "ratings_*.csv", "ratings_*.csv.gz")
    schema = pa.schema([COLUMNS.field(name) for name in ("user", "item", "time", "rating")])
    stream = pa.RecordBatchReader.from_batches(schema, _batches(path))
    meta = path.with_name(path.name.replace("ratings_", "meta_").replace(".csv", ".json").removesuffix(".gz"))
    meta = next((one for one in (meta, meta.with_name(meta.name + ".gz")) if one.exists()), None)
    if meta is None:
        return Tables(stream, None, None, {}, (path.name,))
    rated = set()
    for batch in _batches(path):
        rated.update(pc.unique(batch["item"]).to_pylist())
    return Tables(stream, *_items(meta, rated), (path.name, meta.name))


def _items(meta: Path, rated: set[str]) -> tuple[pd.DataFrame, None, dict]:
    """What is known of the `rated` products, every one in order of its name; no table of users; the facts."""
    numbers: dict[str, int] = {}
    paths = {}
    for product in products(meta, rated):
        path = dict.fromkeys((product["paths"] or [[]])[0][:LEVELS])
        paths.setdefault(product["item"], [numbers.setdefault(name, len(numbers)) for name in path])
    items = sorted(rated)
    typed = pd.ArrowDtype(pa.list_(pa.int64()))
    table = pd.DataFrame({"item": items, "categories": pd.array([paths.get(item, []) for item in items], typed)})
    facts = {"items_without_product": len(rated) - len(paths), "categories": tuple(numbers)}
    return table, None, facts


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The ratings of a file, some thousand at a time, in its order."""
    rows = 0
    try:
        stream = pyarrow.csv.open_csv(
            path,
            pyarrow.csv.ReadOptions(column_names=COLUMNS.names),
            pyarrow.csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            pyarrow.csv.ConvertOptions(column_types=dict(zip(COLUMNS.names, COLUMNS.types, strict=True)),
                                       null_values=[""]),
        )
        for batch in stream:
            whole = [not batch[name].null_count for name in ("rating", "time")]
            named = [pc.all(pc.greater(pc.utf8_length(batch[name]), 0)).as_py() for name in ("user", "item")]
            known = [pc.all(pc.is_in(batch["rating"], VALUES)).as_py(), pc.min(batch["time"]).as_py() >= 0]
            if not all(whole + named) or not all(known):
                raise _malformed(path, "a field without a value, a rating that is none, or a time before 1970")
            rows += len(batch)
            yield batch.select(["user", "item", "time", "rating"])
    except (pa.ArrowInvalid, OSError, EOFError) as error:
        if "Empty CSV" in str(error):
            raise RepriseError(str(path), expected=f"lines of {LINE}", found="an empty file") from None
        raise _malformed(path, str(error)) from None


def _malformed(path: Path, problem: str) -> RepriseError:
    """Find the first malformed line: only a file that is refused is read line by line."""
    try:
        with opened(path) as lines:
            for number, line in enumerate(lines, start=1):
                fields = line.decode("utf-8", "backslashreplace").rstrip("\r\n").split(",")
                good = len(fields) == 4 and all(fields) and fields[2] in ("1.0", "2.0", "3.0", "4.0", "5.0", *"12345")
                if not good or not fields[3].isdigit():
                    return RepriseError(f"{path}, line {number}", expected=LINE, found=repr(",".join(fields)[:60]),
                                        fix="fetch the source again; if the file is your own, mend the line")
    except (OSError, EOFError) as error:
        problem = str(error)
    return RepriseError(str(path), expected=f"lines of {LINE}", found=problem, fix="fetch the source again")
