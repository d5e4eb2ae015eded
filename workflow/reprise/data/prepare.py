"""From canonical interactions to a prepared data set, checked against what the paper says of it."""

from __future__ import annotations

import contextlib
import datetime
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from reprise.data.prepared import PARTS, Prepared
from reprise.data.splits import last_per_item
from reprise.errors import RepriseError
from reprise.files import write_json


def prepare(interactions: Path, *, valid_k: int, valid_seed: int, status: str, expect: Mapping[str, float],
            where: str) -> Prepared:
    """Take the released split, cut a validation part out of its training part, and compare the counts.

    The validation part is the last `valid_k` interactions of every item in a seeded order (`last_per_item`): released
    files carry no time.

    Raises
    ------
    RepriseError
        Ids that leave gaps; counts that differ from `expect`: one error that lists each of them.
    """
    table = pq.read_table(interactions, columns=["user", "item", "part"]).to_pandas()
    pairs = table[["user", "item"]].to_numpy()
    released_train = pairs[(table["part"] == "train").to_numpy()]
    test = pairs[(table["part"] == "test").to_numpy()]
    n_users = _count(pairs[:, 0], f"{where}, user ids")
    n_items = _count(pairs[:, 1], f"{where}, item ids")
    held_out = last_per_item(released_train[:, 0], released_train[:, 1], valid_k, seed=valid_seed)
    prepared = Prepared(n_users, n_items, released_train[~held_out], released_train[held_out], test, status)
    if differences := compare(expect, prepared.statistics()):
        raise RepriseError(f"{where}: the data are not those of the paper", kind="data",
                           expected="the counts that paper.yaml states", found="; ".join(differences),
                           fix="nothing was written; is the source another release, or `expect` in paper.yaml wrong?")
    return prepared


@contextlib.contextmanager
def noting_failure(folder: Path, code: str) -> Iterator[None]:
    """Leave `failure.json` in a data set's folder if the block fails, and remove it if it ends well.

    `code` is `papers.data_code`: with other code or another entry in `paper.yaml` the failure is forgotten.
    """
    failure = folder / "failure.json"
    try:
        yield
    except RepriseError as error:
        write_json(failure, {"reason": error.reason(), "code": code, "date": datetime.date.today().isoformat()})
        raise
    failure.unlink(missing_ok=True)


def _count(ids: np.ndarray, where: str) -> int:
    """Number of ids, which run from 0 without a gap: released ids are kept, so that a model's rows are the paper's."""
    distinct = len(np.unique(ids))
    if distinct != ids.max() + 1:
        raise RepriseError(where, expected=f"0 to {ids.max()}, each of them", found=f"{distinct} different ones",
                           fix="look at the source: is a file cut off, or from another release?")
    return distinct


def compare(expect: Mapping[str, float], found: Mapping[str, float]) -> list[str]:
    """List every count that differs, as `train: expected 5, found 4`; a count that nobody made is a difference.

    Whole numbers must be equal, fractions to the six decimals that papers print.
    """
    def same(name: str, value: float) -> bool:
        return name in found and abs(found[name] - value) <= (0.5e-6 if isinstance(value, float) else 0)

    return [f"{name}: expected {value}, found {found.get(name, 'no such count')}"
            for name, value in expect.items() if not same(name, value)]


def leaks(prepared: Prepared) -> list[str]:
    """List what is wrong with prepared data: pairs in two parts, ids out of range, ids that never occur."""
    found = []
    codes = {part: _codes(prepared.parts(part)) for part in PARTS}
    for one, other in itertools.combinations(PARTS, 2):
        if shared := len(np.intersect1d(codes[one], codes[other])):
            found.append(f"{shared} pairs are in {one} and in {other}")
    everything = prepared.parts("+".join(PARTS))
    for name, ids, n in (("user", everything[:, 0], prepared.n_users), ("item", everything[:, 1], prepared.n_items)):
        if outside := int(((ids < 0) | (ids >= n)).sum()):
            found.append(f"{outside} {name} ids are outside 0 to {n - 1}")
        if missing := n - len(np.unique(ids[(ids >= 0) & (ids < n)])):
            found.append(f"{missing} {name} ids between 0 and {n - 1} never occur")
    return found


def _codes(pairs: np.ndarray) -> np.ndarray:
    """One number a pair."""
    return pairs[:, 0].astype(np.int64) << 32 | pairs[:, 1].astype(np.int64)
