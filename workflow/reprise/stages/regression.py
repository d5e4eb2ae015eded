"""Check the runs at hand against the numbers of record.

On the recorded kind of device and threads a number must agree to 1e-6; elsewhere the mean of a cell's seeds must lie in
their prediction interval. Exits non-zero when a number moved, a recorded run is missing, or nothing was checked.
"""

from __future__ import annotations

import argparse

import pandas as pd

from reprise.config import Config
from reprise.errors import RepriseError
from reprise.reporting.regression import check, report
from reprise.selection import papers

HELP = "compare the runs at hand with the record; fails when a number moved"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say how much of the difference to print."""
    parser.add_argument(
        "--rows", type=int, default=40, metavar="N", help="rows of the difference table to print (default 40)"
    )


def main(args: argparse.Namespace, config: Config) -> None:
    """Check, print, and raise RepriseError unless something was checked and everything held."""
    checked = pd.concat([check(paper, config).assign(paper=paper.name) for paper in papers(config)], ignore_index=True)
    print(report(checked, args.rows), flush=True)
    count = checked["status"].value_counts()
    moved, missing, same = (int(count.get(status, 0)) for status in ("moved", "missing", "same"))
    if moved or missing:
        raise RepriseError(
            "numbers of record",
            expected="every recorded number again",
            found=f"{moved} moved, {missing} missing",
            fix="find what changed them; if it is meant, `python -m reprise record <paper>`, with --force if no code "
                "of ours has changed",
            kind="moved",
        )
    if not same:
        raise RepriseError(
            "numbers of record",
            expected="at least one number to check",
            found="nothing was checked",
            fix="put runs on record first, or choose another regression_set",
            kind="empty",
        )
