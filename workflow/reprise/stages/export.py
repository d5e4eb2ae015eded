"""Pack finished runs of the store into one archive, to be imported on another machine.

Trials of a search stay: where a choice was made they are of no more use than its trials.csv.
"""

from __future__ import annotations

import argparse
import logging
import tarfile
from pathlib import Path

from reprise.config import Config
from reprise.errors import RepriseError
from reprise.files import replacing
from reprise.training.store import entries

logger = logging.getLogger("reprise")
HELP = "pack finished runs into an archive"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name the archive, and the runs if not all."""
    parser.add_argument("archive", type=Path, help="file to write, for instance runs.tar")
    parser.add_argument("fingerprints", nargs="*", help="runs to pack (default: every finished one)")


def main(args: argparse.Namespace, config: Config) -> None:
    """Pack the named runs.

    Raises
    ------
    RepriseError
        A name that the store does not hold, or nothing to pack.
    """
    store = Path(config.resources, "store")
    held = entries(store)
    wanted = args.fingerprints or list(held)
    missing = [name for name in wanted if name not in held]
    if missing or not wanted:
        raise RepriseError(
            str(store),
            expected="finished runs to pack",
            found=f"no {', '.join(missing) or 'run'}",
            fix="python -m reprise run ... first",
        )
    with replacing(args.archive) as beside, tarfile.open(beside, "w") as archive:
        for name in wanted:
            for path in sorted(held[name].rglob("*")):
                if path.is_file() and path.name != "lock":
                    archive.add(path, arcname=str(path.relative_to(store)), recursive=False)
    logger.info("export: %d runs in %s, %.1f MB", len(wanted), args.archive, args.archive.stat().st_size / 1e6)
