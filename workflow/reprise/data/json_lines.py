"""Large files of JSON lines, read a block at a time: memory does not grow with the file."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.json

from reprise.errors import RepriseError

BLOCK = 1 << 23  # bytes; a line must fit into it
KINDS = {pa.string(): str, pa.int64(): int, pa.float64(): (int, float)}


def batches(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Read the fields of `schema` from a file of one object a line, plain or `.gz`; other fields are passed over.

    A key given twice in one object is refused, among the fields that are read.

    Raises
    ------
    RepriseError
        No such file; an empty one; one that ends in the middle of a line or of its archive; a malformed line, or one
        that lacks a field of `schema` or has another kind of value in it: with the line's number and what is wrong.
    """
    how = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    rows = 0
    try:
        with pyarrow.json.open_json(path, pyarrow.json.ReadOptions(block_size=BLOCK), how) as blocks:
            for batch in blocks:
                batch.validate(full=True)
                if any(column.null_count for column in batch.columns):
                    raise pa.ArrowInvalid("a field without a value")
                rows += len(batch)
                yield batch
    except FileNotFoundError:
        raise RepriseError(str(path), expected=_expected(schema), found="no such file") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise _malformed(path, schema, str(error)) from None
    if not rows:
        raise RepriseError(str(path), expected=_expected(schema), found="an empty file")


def opened(path: Path) -> IO[bytes]:
    """The lines of a file as bytes, unpacked where its name ends in `.gz`."""
    return gzip.open(path) if path.suffix == ".gz" else open(path, "rb")


def refused(path: Path, number: int, line: bytes, expected: str, problem: str) -> RepriseError:
    """The error for a malformed line, counted from 1: where it is, how it begins and what is wrong with it."""
    begins = line.strip()[:60].decode("utf-8", "backslashreplace")
    return RepriseError(f"{path}, line {number}", expected=expected, found=f"{problem}: {begins!r}",
                        fix="fetch the source again; if the file is your own, mend the line")


def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON from its `pairs` (an `object_pairs_hook`); a key that comes twice is a ValueError."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return found


def _malformed(path: Path, schema: pa.Schema, problem: str) -> RepriseError:
    """Find the first malformed line: only a file that is refused is read line by line."""
    number = 0
    try:
        with opened(path) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip() and (fault := _fault(line, schema)):
                    return refused(path, number, line, _expected(schema), fault)
    except (OSError, EOFError) as error:
        problem = f"{error} after line {number}"
    return RepriseError(str(path), expected=_expected(schema), found=problem, fix="fetch the source again")


def _fault(line: bytes, schema: pa.Schema) -> str | None:
    """What is wrong with a line, or None."""
    try:
        record = json.loads(line.decode(), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        return str(error)
    if not isinstance(record, dict):
        return "no object"
    for field in schema:
        if isinstance(value := record.get(field.name), bool) or not isinstance(value, KINDS[field.type]):
            return f"{field.name} is {'absent' if value is None else repr(value)}"
    return None


def _expected(schema: pa.Schema) -> str:
    return "lines of JSON objects with " + ", ".join(f"{field.name} ({field.type})" for field in schema)
