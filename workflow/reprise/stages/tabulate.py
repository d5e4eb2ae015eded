"""Render one table of a paper beside the printed one.

Writes results/<paper>/tables/<table>.{csv,md,html,tex} from the runs at hand and significance.csv.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from reprise.config import Config
from reprise.papers import load_paper
from reprise.papers.schema import entry
from reprise.reporting.exhibits import write_table
from reprise.reporting.finished import load_results
from reprise.reporting.pairs import read_pairs

HELP = "render one table: csv, md, html, tex"
logger = logging.getLogger("reprise")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name the table."""
    parser.add_argument("paper")
    parser.add_argument("table", help="as paper.yaml names it: table2")


def main(args: argparse.Namespace, config: Config) -> None:
    """Render it."""
    paper = load_paper(args.paper)
    entry(paper.tables, args.table, f"table of {args.paper}")
    results = load_results(paper, config)
    folder = Path(config.results, paper.name)
    frame, _ = write_table(args.table, results, read_pairs(folder), folder / "tables" / args.table)
    logger.info(
        "tabulate %s %s: %d of %d cells have a run", args.paper, args.table, frame["mean"].notna().sum(), len(frame)
    )
