"""`reviews_<Category>_5.json.gz` of the Amazon reviews of 2014: one review a line, as strict JSON; rows in file order.

`meta_<Category>.json.gz`, where it is there, says more of the products: brand and categories. Its lines are not JSON
but dictionaries as Python prints them. They are read as literals and never evaluated.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from reprise.data.json_lines import batches, opened, refused, unique
from reprise.data.readers import Tables, only_file
from reprise.errors import RepriseError

READ = pa.schema({"reviewerID": pa.string(), "asin": pa.string(), "unixReviewTime": pa.int64(),
                  "overall": pa.float64()})
LONGEST, DEEPEST = 1 << 20, 32  # bytes of a line, and brackets open at a time
SHARED = {"reviewerID": "user", "asin": "item", "unixReviewTime": "time", "overall": "rating"}
PRODUCT = re.compile(rb"'asin':\s*'([^']*)'")
LINE = "{'asin': text, 'brand': text, 'categories': [[text, ...], ...]}, the last two if known"


def read(folder: Path) -> Tables:
    """Read the one `reviews_*_5.json.gz` (or `.json`) of a folder, and the `meta_*` of the same category.

    `items` adds `brand` (text or null) and `categories` (a list of texts, each once, the top one left out).

    Raises
    ------
    RepriseError
        No such file, or more than one; as `json_lines.batches`; a line on a reviewed product that is no literal.
    """
    path = only_file(Path(folder), "reviews_*_5.json.gz", "reviews_*_5.json")
    table = pa.Table.from_batches(batches(path, READ)).rename_columns(SHARED)
    interactions = table.to_pandas().astype({"time": "Int64", "rating": "Float64"})
    items, users = (pd.DataFrame({column: np.sort(interactions[column].unique())}) for column in ("item", "user"))
    files, facts = [path.name], {}
    meta = path.with_name(path.name.replace("reviews_", "meta_").replace("_5.json", ".json"))
    if meta.exists():
        items = items.merge(_table(meta, set(items["item"])), how="left", on="item")
        facts = {"items_without_product": int(items["categories"].isna().sum())}
        files.append(meta.name)
    return Tables(interactions, items, users, facts, tuple(files))


def _table(meta: Path, wanted: Collection[str]) -> pd.DataFrame:
    """Brand and categories of the `wanted` products, the first line of each."""
    rows = {}
    for product in products(meta, wanted):
        names = dict.fromkeys(name for path in product["paths"] for name in path[1:])
        rows.setdefault(product["item"], (product["item"], product["brand"], list(names)))
    return pd.DataFrame(list(rows.values()), columns=["item", "brand", "categories"])


def products(path: Path, wanted: Collection[str]) -> Iterator[dict[str, Any]]:
    """Item, brand and category paths of the `wanted` products of a file; lines that name only others are not parsed.

    Raises a `RepriseError` for a line that names no product, that is no literal or gives a key twice, that is longer
    than `LONGEST` or nested deeper than `DEEPEST`: Python's parser takes memory by the one and may fall by the other.
    """
    try:
        with opened(path) as lines:
            for number, line in enumerate(lines, start=1):
                named = PRODUCT.findall(line)
                if line.strip() and not named:
                    raise refused(path, number, line, LINE, "no asin")
                if not any(name.decode("utf-8", "replace") in wanted for name in named):
                    continue
                try:
                    product = _product(literal(line))
                except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
                    raise refused(path, number, line, LINE, str(error)) from None
                if product["item"] in wanted:
                    yield product
    except (OSError, EOFError) as error:
        raise RepriseError(str(path), expected="a whole file", found=str(error), fix="fetch the source again") from None


def literal(line: bytes) -> Any:
    """The value of a line that is a Python literal; else, or with a key twice, too long or too deep, a ValueError."""
    if len(line) > LONGEST:
        raise ValueError(f"a line of {len(line)} bytes")
    characters = np.frombuffer(line, np.uint8)
    opening, closing = (np.isin(characters, list(some)) for some in (b"[{(", b"]})"))
    # Brackets inside texts count too: those of a real line close there as well, or are few.
    if np.cumsum(opening.astype(int) - closing).max(initial=0) > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST}")
    tree = ast.parse(line.decode().strip(), mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            unique([(ast.unparse(key) if key else "**", None) for key in node.keys])
    return ast.literal_eval(tree)


def _product(record: Any) -> dict[str, Any]:
    """What is kept of a line; another kind of value than is expected is a ValueError."""
    if not isinstance(record, dict) or not isinstance(record.get("asin"), str):
        raise ValueError("no dictionary with an asin")
    paths = record.get("categories", [])
    # A text is no path, although its letters are texts.
    whole = isinstance(paths, list) and all(isinstance(path, list) for path in paths)
    if not whole or not all(isinstance(name, str) for path in paths for name in path):
        raise ValueError("categories that are no lists of texts")
    brand = record.get("brand")
    if brand is not None and not isinstance(brand, str):
        raise ValueError("a brand that is no text")
    return {"item": record["asin"], "brand": brand, "paths": paths}
