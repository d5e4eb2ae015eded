"""Gather a paper's finished runs into one tidy table, and compare its methods.

Writes results/<paper>/metrics.csv and significance.csv. A run of other code or settings than today's is not used.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from reprise.config import Config
from reprise.papers import load_paper
from reprise.reporting.finished import load_results
from reprise.reporting.pairs import compare_pairs
from reprise.reporting.tidy import write_csv
from reprise.selection import check_names

HELP = "gather a paper's runs: metrics.csv, significance.csv"
logger = logging.getLogger("reprise")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name the paper."""
    parser.add_argument("paper")


def main(args: argparse.Namespace, config: Config) -> None:
    """Collect it."""
    check_names(config)
    results = load_results(load_paper(args.paper), config)
    folder = Path(config.results, args.paper)
    write_csv(folder / "metrics.csv", results.metrics)
    significance = compare_pairs(results)
    write_csv(folder / "significance.csv", significance)
    logger.info(
        "collect %s: %d runs, %d not run, %d comparisons",
        args.paper,
        len(results.runs),
        len(results.absent),
        len(significance),
    )
