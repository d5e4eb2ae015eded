"""Render one table of a paper beside the printed one.

Writes results/<paper>/tables/<table>.{csv,md,html,tex} from the runs at hand and significance.csv.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from reprise.config import Config
from reprise.errors import RepriseError
from reprise.files import write_text
from reprise.papers import load_paper
from reprise.reporting import rendering
from reprise.reporting.pairs import read_pairs
from reprise.reporting.results import load_results, write_csv
from reprise.reporting.tables import lay_out, table_frame

HELP = "render one table: csv, md, html, tex"
logger = logging.getLogger("reprise")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name the table."""
    parser.add_argument("paper")
    parser.add_argument("table", help="as paper.yaml names it: table2")


def main(args: argparse.Namespace, config: Config) -> None:
    """Render it."""
    paper = load_paper(args.paper)
    if args.table not in paper.tables:
        raise RepriseError(
            f"tabulate {args.paper} {args.table}", expected="one of " + ", ".join(paper.tables), found=args.table
        )
    results = load_results(paper, config)
    frame = table_frame(args.table, results, results.frame, read_pairs(Path(config.results, paper.name)))
    sheet = lay_out(args.table, paper, frame)
    place = Path(config.results, paper.name, "tables", args.table)
    write_csv(place.with_suffix(".csv"), frame.drop(columns="decimals"))
    for suffix, render in ((".md", rendering.markdown), (".html", rendering.html), (".tex", rendering.tex)):
        write_text(place.with_suffix(suffix), render(sheet))
    logger.info(
        "tabulate %s %s: %d of %d cells have a run", args.paper, args.table, frame["mean"].notna().sum(), len(frame)
    )
