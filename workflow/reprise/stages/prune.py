"""Empty the store of what no results folder refers to. Says what it would do; does it with --yes."""

from __future__ import annotations

import argparse
import logging
import shutil
from pathlib import Path

from reprise.config import Config
from reprise.errors import RepriseError
from reprise.training.store import locked, referred

logger = logging.getLogger("reprise")
HELP = "delete stored runs that no results refer to"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name further results folders, and say yes."""
    parser.add_argument(
        "--keep",
        action="append",
        default=[],
        type=Path,
        metavar="RESULTS",
        help="another results folder whose runs stay (the configured one always counts)",
    )
    parser.add_argument("--yes", action="store_true", help="delete; without it only the list is shown")


def main(args: argparse.Namespace, config: Config) -> None:
    """Delete what no results folder refers to. A run in training is held by its lock and left alone.

    Raises RepriseError where one of the folders that say what stays is not there: nothing is deleted for a misspelling.
    """
    folders = [Path(config.results), *args.keep]
    for folder in folders:
        if not folder.is_dir():
            raise RepriseError(f"prune {folder}", expected="a results folder, whose runs stay", found="no such folder",
                               fix="name it as it is called; nothing was deleted")
    kept = set().union(*map(referred, folders))
    stored = sorted(Path(config.resources, "store").glob("*-s*"))
    idle = [path for path in stored if path.name not in kept]
    for path in idle:
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        logger.info("prune: %s, %.1f MB%s", path.name, size / 1e6, "" if args.yes else " (kept: say --yes)")
        if args.yes:
            with locked(path, wait=False) as free:
                if free:
                    shutil.rmtree(path)
                else:
                    logger.info("prune: %s is being trained, left alone", path.name)
    logger.info("prune: %d of the stored runs are referred to, %d are not", len(stored) - len(idle), len(idle))
