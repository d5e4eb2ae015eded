"""Write the scorecard: every selected paper, printed beside ours, with verdicts, costs and commands.

Writes results/scorecard.html (one file, nothing fetched) and scorecard.md. A cell without a run at hand is shown from
the record, marked so; it is `not run` only if neither exists.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from reprise.config import Config
from reprise.files import write_text
from reprise.reporting import pages
from reprise.reporting.pairs import significance_of
from reprise.reporting.record import with_record
from reprise.reporting.results import load_results
from reprise.reporting.scorecard import section, study
from reprise.selection import papers

HELP = "write the scorecard: html, md"
logger = logging.getLogger("reprise")


def arguments(parser: argparse.ArgumentParser) -> None:
    """It takes no arguments of its own; the configuration selects the papers."""


def main(args: argparse.Namespace, config: Config) -> None:
    """Write it."""
    every = [load_results(paper, config) for paper in papers(config)]
    sections = [section(results, with_record(results), significance_of(results.paper, config)) for results in every]
    place = Path(config.results, "scorecard.html")
    write_text(place, pages.html(sections, study(config)))
    write_text(place.with_suffix(".md"), pages.markdown(sections, study(config)))
    logger.info("report: %s", place)
