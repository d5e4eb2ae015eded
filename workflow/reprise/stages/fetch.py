"""fetch: the raw files of one source, downloaded (or found where a person put them), verified and unpacked."""

from __future__ import annotations

import argparse
import difflib
import logging
from pathlib import Path
from typing import Any

from reprise.data.catalogue import CATALOGUE, RECEIPT, Source, blocked, load_catalogue
from reprise.data.disk import disk_errors, exclusive, megabytes
from reprise.data.raw import obtain
from reprise.errors import RepriseError
from reprise.failures import noting
from reprise.files import write_json

HELP = "download, verify and unpack the raw files of one source"
logger = logging.getLogger("reprise")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's arguments."""
    parser.add_argument("source", help="a key of workflow/sources.yaml, for example macr-adressa")


def main(args: argparse.Namespace, config: Any) -> None:
    """Fetch `args.source` into `resources/raw/<source>/`; the receipt `source.json` is written last.

    A source that waits for a person (licence, gated page) raises `RepriseError` and leaves no trace: configuration and
    files decide about it anew each time. Any other failure is kept in `failure.json` until a fetch succeeds.
    """
    source = _known(args.source)
    folder = Path(config.resources) / "raw" / source.key
    if reason := blocked(source, config.licences, folder):
        kind, _, what = reason.partition(": ")
        raise RepriseError(what, fix=source.gated.steps if source.gated else f"read {source.page} first", kind=kind)
    with exclusive(folder), noting(folder):
        receipt = obtain(source, folder, config.mirror)
        with disk_errors(folder):
            write_json(folder / RECEIPT, receipt)
    size = megabytes(sum(entry["bytes"] for entry in receipt["files"]))
    logger.info("fetched %s: %d files, %s, %s", source.key, len(receipt["files"]), size, receipt["status"])


def _known(key: str) -> Source:
    catalogue = load_catalogue()
    if key not in catalogue:
        near = difflib.get_close_matches(key, catalogue, n=3, cutoff=0.4)
        fix = f"did you mean {', '.join(near or catalogue)}?"
        raise RepriseError(str(CATALOGUE), expected="a source of the catalogue", found=key, fix=fix)
    return catalogue[key]
