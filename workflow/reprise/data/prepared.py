"""A prepared data set: three parts of (user, item) pairs with ids counted from 0, and what is known of both."""

from __future__ import annotations

import functools
import hashlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reprise.errors import RepriseError
from reprise.files import read_json, replacing, write_json

PARTS = ("train", "valid", "test")
RATINGS = "ratings.parquet"
TABLES = {"item": "items.parquet", "user": "users.parquet"}


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
    ordered : bool
        The rows of a user stand in order of time, those of `train` before those of `valid` and `test`, instead of in
        order of the items.
    features : Mapping of str to array [n_items]
        What is known of the items, by name: a whole number each, or a list of them, which may be empty.
    user_features : Mapping of str to array [n_users]
        What is known of the users.
    rated : float array [R, 3] or None
        User, item and rating of every rating, those too low to be an interaction too; nothing is trained on it, so it
        does not count in `content`.
    """

    n_users: int
    n_items: int
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    status: str
    ordered: bool = False
    features: Mapping[str, pa.Array] = field(default_factory=dict)
    user_features: Mapping[str, pa.Array] = field(default_factory=dict)
    rated: np.ndarray | None = None

    def __post_init__(self) -> None:
        for part in PARTS:
            pairs = np.asarray(getattr(self, part), dtype="<i4").reshape(-1, 2)
            keys = (pairs[:, 0],) if self.ordered else (pairs[:, 1], pairs[:, 0])
            object.__setattr__(self, part, pairs[np.lexsort(keys)])

    @functools.cached_property
    def content(self) -> str:
        """SHA-256 over the shapes and the little-endian bytes of the sorted parts: equal data, equal hash.

        Order and features count where there are any, so that data without them keep the hash that they always had.
        """
        digest = hashlib.sha256(f"{self.n_users} {self.n_items}{' ordered' * self.ordered}".encode())
        for part in PARTS:
            pairs = getattr(self, part)
            digest.update(f" {part} {len(pairs)} ".encode())
            digest.update(pairs.tobytes())
        for known, whose in ((self.features, ""), (self.user_features, "user ")):
            for name in sorted(known):
                for numbers in values_and_lengths(known[name]):
                    digest.update(f" {whose}{name} {len(numbers)} ".encode())
                    digest.update(numbers.tobytes())
        return digest.hexdigest()

    def parts(self, name: str) -> np.ndarray:
        """Return the pairs [N, 2] of a part, or of several: `train`, `valid`, `test`, `train+valid`."""
        names = name.split("+")
        if unknown := set(names) - set(PARTS):
            raise RepriseError(f"part {name!r}", expected="one of " + ", ".join(PARTS) + ", or several joined by +",
                               found=", ".join(sorted(unknown)))
        return np.concatenate([getattr(self, one) for one in names])

    def interactions(self, name: str, device: Any = "cpu") -> Any:
        """The pairs of a part, or of several, as `Interactions` on a device, with the features as `Lists` beside.

        Where the data are `ordered`, name the parts in the order of time: `train+valid`.
        """
        # PyTorch comes in by name: whoever prepares or reports has none of it, and its code decides nothing there.
        laid_out = importlib.import_module("reprise.data.interactions")
        pairs = self.parts(name)
        laid = laid_out.Interactions.of(pairs, self.n_users, self.n_items, device, ordered=self.ordered)
        features, user_features = (
            {key: laid_out.Lists.of(*values_and_lengths(one), device) for key, one in known.items()}
            for known in (self.features, self.user_features)
        )
        everything = functools.partial(self.interactions, "+".join(PARTS), device)
        return replace(laid, features=features, user_features=user_features, everything=everything)

    def statistics(self) -> dict[str, int | float]:
        """Count what a paper's table of data sets counts, and what its split promises of every item."""
        both = self.parts("train+valid")
        total = len(both) + len(self.test)
        counts: dict[str, int | float] = {
            "users": self.n_users, "items": self.n_items, "interactions": total,
            "sparsity": total / (self.n_users * self.n_items),
            "train": len(self.train), "valid": len(self.valid), "test": len(self.test), "train+valid": len(both),
            "users_without_train": self.n_users - distinct(self.train[:, 0]),
            "users_without_history": self.n_users - distinct(both[:, 0]),
            "avg_items_per_user": total / self.n_users, "avg_users_per_item": total / self.n_items,
        }
        lengths = np.bincount(np.concatenate([both[:, 0], self.test[:, 0]]), minlength=self.n_users)
        counts |= {"min_sequence_length": int(lengths.min()), "max_sequence_length": int(lengths.max())}
        counts |= self._sequences(both)
        if "provider" in self.features:
            of_items = values_and_lengths(self.features["provider"])[0]
            counts |= {"providers": len(np.unique(of_items)), "provider_interactions": total}  # every item has one
        for part in PARTS:
            pairs = getattr(self, part)
            per_item = np.bincount(pairs[:, 1], minlength=self.n_items)
            counts |= {f"{part}_users": distinct(pairs[:, 0]),
                       f"{part}_per_item_min": int(per_item.min()), f"{part}_per_item_max": int(per_item.max())}
        return counts

    def _sequences(self, both: np.ndarray) -> dict[str, int | float]:
        """Count the sequences that ask for a next item, and what items are about; `both` is train and validation.

        Every training row has what came before it in training as its sequence, but for the first of a user; a test
        row has all of train and validation. `avg_sequence_length` is the mean length of the latter.
        """
        history = np.bincount(both[:, 0], minlength=self.n_users)[self.test[:, 0]]
        about = self.features.get("attributes", pa.array([], pa.int64()))
        return {"train_sequences": len(self.train) - distinct(self.train[:, 0]),
                "test_sequences": int((history > 0).sum()),
                "avg_sequence_length": float(history.sum() / max((history > 0).sum(), 1)),
                "attributes": len(np.unique(values_and_lengths(about)[0]))}

    def save(self, folder: str | Path, stats: Mapping[str, object] | None = None) -> None:
        """Write a table each part, of the items and of the users, and, last, `stats.json`.

        That one holds the statistics, the status, the content and `stats`.
        """
        for part in PARTS:
            pairs = getattr(self, part)
            table = pa.table({"user": pairs[:, 0], "item": pairs[:, 1]})
            with replacing(Path(folder) / f"{part}.parquet") as beside:
                pq.write_table(table, beside)
        for column, n, known in (("item", self.n_items, self.features), ("user", self.n_users, self.user_features)):
            with replacing(Path(folder) / TABLES[column]) as beside:
                pq.write_table(pa.table({column: np.arange(n), **known}), beside)
        if self.rated is not None:
            with replacing(Path(folder) / RATINGS) as beside:
                pq.write_table(pa.table(dict(zip(("user", "item", "rating"), self.rated.T, strict=True))), beside)
        own = self.statistics() | {"status": self.status, "ordered": self.ordered, "content": self.content}
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
        features, user_features = (_read_features(folder / file, column) for column, file in TABLES.items())
        rated = _read(folder / RATINGS).to_pandas().to_numpy() if (folder / RATINGS).exists() else None
        prepared = cls(stats["users"], stats["items"], **pairs, status=stats["status"],
                       ordered=stats.get("ordered", False), features=features, user_features=user_features,
                       rated=rated)
        if prepared.content != stats["content"]:
            raise RepriseError(str(folder), expected=f"content {stats['content']}, as stats.json says",
                               found=prepared.content, fix="run its prepare stage again")
        return prepared


def distinct(ids: np.ndarray) -> int:
    """How many different ids, 0 and up, there are in [N]; on millions several times as fast as `numpy.unique`."""
    return int(np.count_nonzero(np.bincount(ids)))


def is_feature(kind: pa.DataType) -> bool:
    """Whether a column of this type holds whole numbers, one a row or a list a row, or categories."""
    return pa.types.is_integer(kind) or pa.types.is_dictionary(kind) or (
        (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and pa.types.is_integer(kind.value_type)
    )


def values_and_lengths(feature: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """A feature as lists that follow one another: their values [M] and lengths [n_items], little-endian int64."""
    single = pa.types.is_integer(feature.type)
    values, lengths = (feature, np.ones(len(feature))) if single else (feature.flatten(), feature.value_lengths())
    return np.asarray(values, dtype="<i8"), np.asarray(lengths, dtype="<i8")


def _read_features(path: Path, column: str) -> dict[str, pa.Array]:
    table = _read(path)
    return {name: table[name].combine_chunks() for name in table.column_names if name != column}


def _read_pairs(path: Path) -> np.ndarray:
    table = _read(path, "user", "item")
    return np.stack([table[name].to_numpy() for name in ("user", "item")], axis=1)


def _read(path: Path, *columns: str) -> pa.Table:
    """Read some columns of a file, or all of it."""
    try:
        return pq.read_table(path, columns=list(columns) or None)
    except (OSError, pa.ArrowException) as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        expected = f"a parquet file with the columns {' and '.join(columns) or 'item and those of features'}"
        raise RepriseError(str(path), expected=expected, found=found, fix="run its prepare stage again") from None
