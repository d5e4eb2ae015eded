"""Draw one figure of a paper from the runs at hand.

Writes results/<paper>/figures/<figure>.{pdf,svg,png} and the .csv of what it plots.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from reprise.config import Config
from reprise.papers import load_paper
from reprise.papers.schema import entry
from reprise.reporting.exhibits import write_figure
from reprise.reporting.finished import load_results

HELP = "draw one figure: pdf, svg, png, csv"
logger = logging.getLogger("reprise")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name the figure."""
    parser.add_argument("paper")
    parser.add_argument("figure", help="as paper.yaml names it: figure7")


def main(args: argparse.Namespace, config: Config) -> None:
    """Draw it."""
    paper = load_paper(args.paper)
    entry(paper.figures, args.figure, f"figure of {args.paper}")
    results = load_results(paper, config)
    place = Path(config.results, paper.name, "figures", args.figure)
    plotted = write_figure(args.figure, results, place).plotted
    logger.info("plot %s %s: %d points", args.paper, args.figure, len(plotted))
