"""Write the scorecard: every selected paper, printed beside ours, with verdicts, costs and commands.

Writes results/scorecard.html (one file, nothing fetched) and scorecard.md. A cell without a run at hand is shown from
the record, marked so; it is `not run` only if neither exists.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import pandas as pd

from reprise.config import Config
from reprise.files import write_text
from reprise.reporting import pages
from reprise.reporting.claim_rows import COLUMNS, judged_claims
from reprise.reporting.finished import load_results
from reprise.reporting.pairs import compare_pairs
from reprise.reporting.plots import draw
from reprise.reporting.record import with_record
from reprise.reporting.results import Results
from reprise.reporting.scorecard import Section, section, study
from reprise.reporting.tables import lay_out, table_frame
from reprise.reporting.tidy import read_tidy
from reprise.selection import papers

HELP = "write the scorecard: html, md"
logger = logging.getLogger("reprise")


def arguments(parser: argparse.ArgumentParser) -> None:
    """It takes no arguments of its own; the configuration selects the papers."""


def main(args: argparse.Namespace, config: Config) -> None:
    """Write it."""
    every = [with_record(load_results(paper, config)) for paper in papers(config)]
    sections = [_section(results) for results in every]
    place = Path(config.results, "scorecard.html")
    write_text(place, pages.html(sections, study(config)))
    write_text(place.with_suffix(".md"), pages.markdown(sections, study(config)))
    logger.info("report: %s", place)


def _section(results: Results) -> Section:
    paper, pairs = results.paper, compare_pairs(results)
    sheets = [lay_out(name, paper, table_frame(name, results, pairs)) for name in paper.tables]
    return section(results, _claims(results), sheets, [draw(name, results) for name in paper.figures])


def _claims(results: Results) -> pd.DataFrame:
    """The verdicts on claims; of those that the runs at hand leave open, the reason says that the record has them."""
    every = judged_claims(results)
    here = read_tidy(Path(results.config.results, results.paper.name, "claims.csv"), COLUMNS)
    key = ["id", "reading"]
    open_here = ~pd.MultiIndex.from_frame(every[key]).isin(
        pd.MultiIndex.from_frame(here.loc[here["verdict"] != "not run", key]))
    helped = open_here & (every["verdict"] != "not run")
    return every.assign(reason=every["reason"].mask(helped, "of record; " + every["reason"]).str.removesuffix("; "))
