"""Take the runs of an archive into the store. What the store holds already stays as it is."""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from pathlib import Path

from reprise.config import Config
from reprise.data.archives import unpack
from reprise.errors import RepriseError
from reprise.files import read_json
from reprise.training.store import entries, finished, locked

logger = logging.getLogger("reprise")
HELP = "take runs from an archive into the store"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name the archive."""
    parser.add_argument("archive", type=Path, help="file that `export` wrote")


def main(args: argparse.Namespace, config: Config) -> None:
    """Unpack beside the store, check, then move each run in.

    Raises
    ------
    RepriseError
        The archive is unsafe or truncated, holds no run, or a run that is not what its folder says.
    """
    store = Path(config.resources, "store")
    if not args.archive.is_file():
        raise RepriseError(str(args.archive), expected="an archive that export wrote", found="no such file")
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store, prefix=".import-") as beside:
        unpack(args.archive, Path(beside), "tar")
        found = entries(Path(beside))
        if not found:
            raise RepriseError(str(args.archive), expected="finished runs", found="none")
        for name, folder in found.items():
            inside = read_json(folder / "run.json")["fingerprint"]
            if inside != name:
                raise RepriseError(f"{args.archive}: {name}", expected=f"run {name}", found=f"run {inside}")
        new = 0
        for name, folder in found.items():
            target = store / name
            with locked(target, wait=False) as free:
                if not free:
                    logger.info("import: %s is being trained, left alone", name)
                elif not finished(target):
                    # What an unfinished attempt left here, a checkpoint and the lock's file, is worth nothing now.
                    os.replace(target, Path(beside, f"old-{name}"))
                    os.replace(folder, target)
                    new += 1
    logger.info("import: %d runs, %d of them new", len(found), new)
