"""`validation_list.npy` and `testing_list.npy`: pairs of user and item that are held out, [N, 2] whole numbers each.

`category_list.npy`, the names of groups, and `confounder_prior.npy`, a number a group, may lie beside them; nobody
needs them here. NumPy's format can hold pickled objects: such a file is refused, never unpickled.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from reprise.data.pairs import codes
from reprise.data.readers import Tables
from reprise.errors import RepriseError

PARTS = {"valid": "validation_list.npy", "test": "testing_list.npy"}
ARRAY = "an array of whole numbers >= 0, [N, 2]: user and item"


def read(folder: Path) -> Tables:
    """Read both files; `interactions` adds the column `part` (`valid` or `test`), without time or rating.

    Raises
    ------
    RepriseError
        A missing, empty or malformed file; one that holds objects; a pair that comes twice.
    """
    parts = {part: _pairs(Path(folder) / name) for part, name in PARTS.items()}
    pairs = np.concatenate(list(parts.values()))
    _, first = np.unique(codes(pairs[:, 0], pairs[:, 1]), return_index=True)
    if len(again := np.delete(pairs, first, axis=0)):
        user, item = again[0]
        raise RepriseError(f"{folder}: {', '.join(PARTS.values())}", expected="every pair once", kind="data",
                           found=f"{len(again)} again, e.g. user {user}, item {item}", fix="fetch the source again")
    interactions = pd.DataFrame({
        "user": pairs[:, 0], "item": pairs[:, 1], "time": pd.array([pd.NA], dtype="Int64").repeat(len(pairs)),
        "rating": pd.array([pd.NA], dtype="Float64").repeat(len(pairs)),
        "part": np.repeat(list(parts), [len(part) for part in parts.values()]),
    })
    return Tables(interactions, None, None, {name: len(part) for name, part in parts.items()}, tuple(PARTS.values()))


def _pairs(path: Path) -> np.ndarray:
    """The pairs of a file, int64 [N, 2]."""
    fix = "fetch the source again; if the file is your own, save plain numbers"
    try:
        with open(path, "rb") as file:
            pairs = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise RepriseError(str(path), expected=ARRAY, found="no such file", fix="fetch the source again") from None
    except (ValueError, EOFError, OSError) as error:
        raise RepriseError(str(path), expected=ARRAY, found=str(error), fix=fix) from None
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs) or pairs.dtype.kind not in "iu" or pairs.min() < 0:
        raise RepriseError(str(path), expected=ARRAY, found=f"{pairs.dtype} of shape {list(pairs.shape)}", fix=fix)
    return pairs.astype(np.int64)
