"""Put this machine's finished runs of a paper on record.

Adds them to results/record/<paper>.runs.csv, and how their users vary to <paper>.spreads.csv; rebuilds <paper>.csv; and
renders tables, figures, verdicts, the scorecard and the README's results from the record alone, so that a session with
few runs takes nothing away. A run that is on record already is left as it is, unless --force. Nothing else ever writes
there.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import pandas as pd

from reprise.config import Config
from reprise.errors import RepriseError
from reprise.files import write_text
from reprise.papers import load_paper
from reprise.reporting.finished import load_results
from reprise.reporting.readme import readme, refreshed
from reprise.reporting.record import add_runs, add_spreads, keep_study, recordable, spreads_of
from reprise.reporting.record_pages import write_pages
from reprise.selection import check_names

HELP = "put finished runs on record (never replaces one without --force)"
logger = logging.getLogger("reprise")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name the paper, and say whether to replace."""
    parser.add_argument("paper")
    parser.add_argument(
        "--force", action="store_true", help="replace a run, or the A/A study, that is on record by the one at hand"
    )


def main(args: argparse.Namespace, config: Config) -> None:
    """Put it on record; raises RepriseError where there is no finished run."""
    check_names(config)
    paper = load_paper(args.paper)
    results = load_results(paper, config)
    if not results.runs:
        raise RepriseError(
            f"record {paper.name}",
            expected="a finished run to put on record",
            found="none",
            fix=f".venv/bin/snakemake --cores all {paper.name}, with the same configuration",
        )
    added, standing = add_runs(paper.name, recordable(results), args.force)
    spreads = [spreads_of(paper, Path(config.results), run, found) for run, found in results.runs.items()]
    add_spreads(paper.name, pd.concat(spreads, ignore_index=True), args.force)
    keep_study(Path(config.results), args.force)
    write_pages()
    if readme().exists():
        write_text(readme(), refreshed(readme().read_text(encoding="utf-8")))
    word = "replaced" if args.force else "left as they were"
    logger.info(
        "record %s: %d runs and data sets written, %d that were on record already %s", paper.name, added, standing, word
    )
