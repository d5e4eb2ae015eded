"""Say, number by number and claim by claim, what reproduced.

Writes results/<paper>/verdict.csv (every printed number in every reading), claims.csv (every claim in every reading)
and order.csv (how well the printed order of the methods holds). What was not run says so, and why.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from reprise.config import Config
from reprise.papers import load_paper
from reprise.reporting.claim_rows import judged_claims
from reprise.reporting.finished import load_results
from reprise.reporting.tidy import write_csv
from reprise.reporting.verdict_rows import COLUMNS, judged, orders
from reprise.selection import check_names

HELP = "verdicts: verdict.csv, claims.csv, order.csv"
logger = logging.getLogger("reprise")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name the paper."""
    parser.add_argument("paper")


def main(args: argparse.Namespace, config: Config) -> None:
    """Judge it."""
    check_names(config)
    results = load_results(load_paper(args.paper), config)
    folder = Path(config.results, args.paper)
    numbers, claims = judged(results), judged_claims(results)
    write_csv(folder / "verdict.csv", numbers[COLUMNS])
    write_csv(folder / "claims.csv", claims)
    write_csv(folder / "order.csv", orders(results))
    counts = ", ".join(f"{count} {word}" for word, count in numbers["verdict"].value_counts().items())
    said = ", ".join(f"{count} {word}" for word, count in claims["verdict"].value_counts().items())
    logger.info("compare %s: numbers: %s; claims: %s", args.paper, counts, said)
