"""`train.txt` and `test.txt` with one line a user: `user item item ...`, ids from 0, separated by spaces.

The format of LightGCN's and MACR's released splits. It carries no time and no rating. A repeated item in a line is a
repeated interaction and stays (Globo counts clicks); how many there are is among the facts.

MACR's ML-10M also has `val/valid.txt`, the part of `train.txt` that its authors validate on, and `val/train.txt`, which
should be the rest of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from reprise.data.pairs import codes, within
from reprise.data.readers import Tables
from reprise.errors import RepriseError

PARTS = ("train", "test")
VALID, REST = "val/valid.txt", "val/train.txt"
LINE = "user item item ... (integers >= 0, separated by single spaces)"
NEWLINE, RETURN, SPACE, ZERO, NINE = b"\n\r 09"


def read(folder: Path) -> Tables:
    """Read a folder's `train.txt` and `test.txt`, and `val/` where it has one.

    `interactions` adds the columns `part` (`train`, `test`, or `valid` for rows of `train.txt` that `val/valid.txt`
    names) and `position` (of the item in its line, from 0). Users and items are those that occur, ascending.

    Raises
    ------
    RepriseError
        A missing or empty file, or a malformed line: with the file, the line's number, and what stands there;
        validation pairs that are not in `train.txt`.
    """
    files = tuple(f"{part}.txt" for part in PARTS)
    frames = [read_lists(Path(folder) / file, f"the {part} part") for file, part in zip(files, PARTS, strict=True)]
    table = pd.concat(frames, ignore_index=True)
    table.insert(2, "time", pd.array([pd.NA], dtype="Int64").repeat(len(table)))
    table.insert(3, "rating", pd.array([pd.NA], dtype="Float64").repeat(len(table)))
    table["part"] = pd.Categorical.from_codes(np.repeat(range(len(PARTS)), [len(frame) for frame in frames]), PARTS)
    facts = {f"repeated_{part}": int(frame.duplicated(["user", "item"]).sum())
             for part, frame in zip(PARTS, frames, strict=True)}
    if (Path(folder) / VALID).exists():
        facts |= _mark_valid(table, Path(folder))
        files += (VALID, REST)
    items, users = (pd.DataFrame({column: np.unique(table[column])}) for column in ("item", "user"))
    return Tables(table[["user", "item", "time", "rating", "part", "position"]], items, users, facts, files)


def _mark_valid(table: pd.DataFrame, folder: Path) -> dict[str, int]:
    """Mark the rows of `train.txt` that are validation; count the pairs by which `val/train.txt` is not the rest."""
    parts = ((VALID, "the validation part"), (REST, "the training part"))
    frames = (table, *(read_lists(folder / file, part) for file, part in parts))
    pairs, valid, rest = (codes(frame["user"], frame["item"]) for frame in frames)
    train = (table["part"] == "train").to_numpy()
    if strange := int((~within(valid, pairs[train])).sum()):
        raise RepriseError(str(folder / VALID), expected="pairs of train.txt", kind="data",
                           found=f"{strange} of {len(valid)} pairs that are not in it",
                           fix="are the files of one release?")
    chosen = train & within(pairs, valid)
    table["part"] = table["part"].cat.add_categories(["valid"]).where(~chosen, "valid")
    left = pairs[train & ~chosen]
    return {"unlike_val_train": int((~within(rest, left)).sum() + (~within(left, rest)).sum())}


def read_lists(path: Path, what: str) -> pd.DataFrame:
    """Read one file into the columns user, item, position [N], in the file's order.

    `what` says in an error what the file should have been. Raises a `RepriseError` as `read` does.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise RepriseError(str(path), expected=f"{what}, lines of {LINE}", found="no such file") from None
    data = np.frombuffer(raw.rstrip(b"\r\n").replace(b"\r\n", b"\n") + b"\n", dtype=np.uint8)
    if len(data) == 1:
        raise RepriseError(str(path), expected=f"lines of {LINE}", found="an empty file")
    digit = (data >= ZERO) & (data <= NINE)
    _check_bytes(path, data, digit)
    # Only single spaces and line ends separate numbers from here on, so that every separator closes exactly one number.
    values = np.fromstring(data.tobytes(), dtype=np.int64, sep=" ")
    ends = np.flatnonzero(~digit)
    last_of_line = np.flatnonzero(data[ends] == NEWLINE)
    lengths = np.diff(last_of_line, prepend=-1)
    return _columns(path, values, last_of_line, lengths)


def _columns(path: Path, values: np.ndarray, last_of_line: np.ndarray, lengths: np.ndarray) -> pd.DataFrame:
    """Lay out numbers [M] as columns; line l holds `lengths[l]` of them, the user first."""
    first = last_of_line - lengths + 1
    if len(short := np.flatnonzero(lengths < 2)):
        raise _malformed(path, short[0], f"user {values[first[short[0]]]} without an item")
    owner = values[first]
    users, line = np.unique(owner, return_index=True)
    if len(users) < len(owner):
        again = np.setdiff1d(np.arange(len(owner)), line)[0]
        raise _malformed(path, again, f"user {owner[again]} for a second time", "one line a user")
    items = np.ones(len(values), dtype=bool)
    items[first] = False
    position = np.arange(len(values)) - np.repeat(first, lengths) - 1
    return pd.DataFrame({"user": np.repeat(owner, lengths - 1), "item": values[items], "position": position[items]})


def _check_bytes(path: Path, data: np.ndarray, digit: np.ndarray) -> None:
    """Refuse anything but numbers of at most 9 digits (they fit 32 bits) between single spaces and line ends."""
    separator = (data == SPACE) | (data == NEWLINE)
    doubled = separator & np.concatenate([[True], separator[:-1]])
    gaps = np.diff(np.flatnonzero(~digit), prepend=-1) - 1
    wide = np.flatnonzero(~digit)[gaps > 9]
    wrong = np.concatenate([np.flatnonzero(~(digit | separator) | doubled), wide])
    if len(wrong):
        at = int(wrong.min())
        number = int((data[:at] == NEWLINE).sum())
        raise _malformed(path, number, _shown(data.tobytes().split(b"\n")[number]))


def _shown(line: bytes) -> str:
    """A line as a person can read it in a terminal, at most 60 characters of it."""
    if not line.strip():
        return "an empty line"
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return f"bytes that are no text: {line[:20].hex(' ')}"
    return repr(text if len(text) <= 60 else text[:60] + "...")


def _malformed(path: Path, number: int, found: str, expected: str = LINE) -> RepriseError:
    return RepriseError(f"{path}, line {number + 1}", expected=expected, found=found,
                        fix="fetch the file again; if it is your own, mend the line")
