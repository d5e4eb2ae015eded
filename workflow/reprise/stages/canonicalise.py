"""Turn a raw source into the schema that all sources share: interactions, items, users.

Reads resources/raw/<source>/, writes resources/canonical/<source>/{interactions,items,users}.parquet and, last,
canonical.json with the status of the data, the number of rows and the SHA-256 of every file that was read.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reprise.config import Config
from reprise.data.catalogue import load_catalogue
from reprise.data.readers import reader
from reprise.errors import RepriseError
from reprise.failures import noting
from reprise.files import read_json, replacing, sha256, write_json
from reprise.sourcecode import reader_code

HELP = "turn a raw source into interactions, items and users"
logger = logging.getLogger("reprise")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the source and its raw format."""
    parser.add_argument("source", help="name of a fetched source, e.g. macr-adressa")
    parser.add_argument("--reader", required=True, help="its raw format, a module of data/readers, e.g. user_lists")


def main(args: argparse.Namespace, config: Config) -> None:
    """Read one source and write its canonical tables."""
    raw = Path(config.resources) / "raw" / args.source
    folder = Path(config.resources) / "canonical" / args.source
    with noting(folder, reader_code(args.reader)):
        rows = _canonicalise(args.source, args.reader, raw, folder)
    logger.info("canonicalise %s: %s interactions, %s items, %s users", args.source,
                *(f"{rows[name]:,}" for name in ("interactions", "items", "users")))


def _canonicalise(source: str, form: str, raw: Path, folder: Path) -> dict[str, int]:
    """Write the tables of one source, whose raw format is `form`; the number of rows of each."""
    receipt = read_json(raw / "source.json")
    tables = reader(form)(raw)
    rows = {}
    for name in ("interactions", "items", "users"):
        table = getattr(tables, name)
        if callable(table):
            table = table()
        elif table is None:
            table = _occurring(folder / "interactions.parquet", name.removesuffix("s"))
        with replacing(folder / f"{name}.parquet") as beside:
            rows[name] = _write(table, beside)
            if name == "interactions":
                _check(source, rows[name], raw)
    write_json(folder / "canonical.json", {
        "source": source, "reader": form, "status": receipt["status"], "rows": rows, "facts": tables.facts,
        "inputs": {file: sha256(raw / file) for file in tables.files},
    })
    return rows


def _check(source: str, rows: int, raw: Path) -> None:
    """Refuse a source that holds another number of interactions than is known of it: no checksum is published of some
    that a person places."""
    known = load_catalogue().get(source)
    if known and known.rows not in (None, rows):
        raise RepriseError(str(raw), kind="data", expected=f"{known.rows:,} interactions, as {source} is known to have",
                           found=f"{rows:,}", fix="is the file another release, or cut short? Nothing was replaced")


def _write(table: pd.DataFrame | pa.RecordBatchReader, path: Path) -> int:
    """Write a table, or a stream as it comes; return the number of its rows."""
    if isinstance(table, pd.DataFrame):
        table.to_parquet(path, index=False)
        return len(table)
    rows = 0
    with pq.ParquetWriter(path, table.schema) as writer:
        for batch in table:
            writer.write_batch(batch)
            rows += len(batch)
    return rows


def _occurring(interactions: Path, column: str) -> pd.DataFrame:
    """The users or items of a file, ascending; in memory are only these."""
    distinct = pa.array([], pq.read_schema(interactions).field(column).type)
    for batch in pq.ParquetFile(interactions).iter_batches(1 << 20, columns=[column]):
        distinct = pc.unique(pa.concat_arrays([distinct, pc.unique(batch.column(0))]))
    return pd.DataFrame({column: distinct.sort().to_numpy(zero_copy_only=False)})
