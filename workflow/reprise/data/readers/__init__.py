"""One module a raw format. Each has `read(folder) -> Tables`.

`Tables.interactions` has the columns `user`, `item` (int64 or text), `time` (Int64, unix seconds, or null), `rating`
(Float64 or null), then the source's own columns; `Tables.items` and `Tables.users` have a row an item and a user, and
what is known of them: whole numbers, lists of these and categories are features that models may read.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from reprise.errors import RepriseError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class Tables(NamedTuple):
    """What a reader makes of a raw source.

    `interactions` of a file that is larger than memory are a stream, written as it is read. `items` or `users` that are
    None are those that occur in the interactions; `items` of a stream may be a function, to be called at its end.
    `facts` are counts and names worth keeping; `files` are the names of the files that were read.
    """

    interactions: pd.DataFrame | pa.RecordBatchReader
    items: pd.DataFrame | Callable[[], pd.DataFrame] | None
    users: pd.DataFrame | None
    facts: dict[str, int | tuple[str, ...]]
    files: tuple[str, ...]


def reader(name: str) -> Callable[[Path], Tables]:
    """Return the `read` function of the raw format `name`; raise a `RepriseError` that lists the formats there are."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if name not in names:
        raise RepriseError(f"reader {name!r}", expected="one of " + ", ".join(names), found=name)
    return importlib.import_module(f"{__name__}.{name}").read


def only_file(folder: Path, *patterns: str) -> Path:
    """The one file of `folder` that fits one of the `patterns`; raises a `RepriseError` where it is not just one."""
    found = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    if len(found) != 1:
        raise RepriseError(f"{folder}/{patterns[0]}", expected="one file",
                           found=", ".join(map(str, found)) or "no such file", fix="fetch the source again")
    return found[0]
