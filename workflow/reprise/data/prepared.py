"""A prepared data set: three disjoint parts of (user, item) pairs with ids counted from 0."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reprise.errors import RepriseError
from reprise.files import read_json, replacing, write_json

PARTS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a run trains and is evaluated on.

    Attributes
    ----------
    n_users, n_items : int
        Ids run from 0 to these, exclusive.
    train, valid, test : int32 array [N, 2]
        Columns user and item, sorted; the released training file is `train` and `valid` together. A repeated
        interaction is a repeated row.
    status : str
        `official`, `rebuilt`, `recovered` or `small-world`.
    """

    n_users: int
    n_items: int
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    status: str

    def __post_init__(self) -> None:
        for part in PARTS:
            pairs = np.asarray(getattr(self, part), dtype="<i4").reshape(-1, 2)
            object.__setattr__(self, part, pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))])

    @functools.cached_property
    def content(self) -> str:
        """SHA-256 over the shapes and the little-endian bytes of the sorted parts: equal data, equal hash."""
        digest = hashlib.sha256(f"{self.n_users} {self.n_items}".encode())
        for part in PARTS:
            pairs = getattr(self, part)
            digest.update(f" {part} {len(pairs)} ".encode())
            digest.update(pairs.tobytes())
        return digest.hexdigest()

    def parts(self, name: str) -> np.ndarray:
        """Return the pairs [N, 2] of a part, or of several: `train`, `valid`, `test`, `train+valid`."""
        names = name.split("+")
        if unknown := set(names) - set(PARTS):
            raise RepriseError(f"part {name!r}", expected="one of " + ", ".join(PARTS) + ", or several joined by +",
                               found=", ".join(sorted(unknown)))
        return np.concatenate([getattr(self, one) for one in names])

    def statistics(self) -> dict[str, int | float]:
        """Count what a paper's table of data sets counts, and what its split promises of every item."""
        both = self.parts("train+valid")
        total = len(both) + len(self.test)
        counts: dict[str, int | float] = {
            "users": self.n_users, "items": self.n_items, "interactions": total,
            "sparsity": total / (self.n_users * self.n_items),
            "train": len(self.train), "valid": len(self.valid), "test": len(self.test), "train+valid": len(both),
            "users_without_train": self.n_users - len(np.unique(both[:, 0])),
        }
        for part in PARTS:
            pairs = getattr(self, part)
            per_item = np.bincount(pairs[:, 1], minlength=self.n_items)
            counts |= {f"{part}_users": len(np.unique(pairs[:, 0])),
                       f"{part}_per_item_min": int(per_item.min()), f"{part}_per_item_max": int(per_item.max())}
        return counts

    def save(self, folder: str | Path, stats: Mapping[str, object] | None = None) -> None:
        """Write `<part>.parquet` and, last, `stats.json` with the statistics, status, content hash and `stats`."""
        for part in PARTS:
            pairs = getattr(self, part)
            table = pa.table({"user": pairs[:, 0], "item": pairs[:, 1]})
            with replacing(Path(folder) / f"{part}.parquet") as beside:
                pq.write_table(table, beside)
        own = self.statistics() | {"status": self.status, "content": self.content}
        write_json(Path(folder) / "stats.json", {**(stats or {}), **own})

    @classmethod
    def load(cls, folder: str | Path) -> Prepared:
        """Read a folder that `save` wrote.

        Raises
        ------
        RepriseError
            A file is missing or unreadable, or the pairs are not those that `stats.json` was written for.
        """
        folder = Path(folder)
        stats = read_json(folder / "stats.json")
        pairs = {part: _read_pairs(folder / f"{part}.parquet") for part in PARTS}
        prepared = cls(stats["users"], stats["items"], **pairs, status=stats["status"])
        if prepared.content != stats["content"]:
            raise RepriseError(str(folder), expected=f"content {stats['content']}, as stats.json says",
                               found=prepared.content, fix="run its prepare stage again")
        return prepared


def _read_pairs(path: Path) -> np.ndarray:
    try:
        table = pq.read_table(path, columns=["user", "item"])
    except (OSError, pa.ArrowException) as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise RepriseError(str(path), expected="a parquet file with the columns user and item", found=found,
                           fix="run its prepare stage again") from None
    return np.stack([table[name].to_numpy() for name in ("user", "item")], axis=1)
