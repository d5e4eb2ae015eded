"""The results that the README shows, made from the record so that no number is ever typed there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from reprise.config import make_config
from reprise.errors import RepriseError
from reprise.papers import load_paper
from reprise.reporting import record, rendering
from reprise.reporting.finished import load_results
from reprise.reporting.pairs import compare_pairs
from reprise.reporting.tables import lay_out, table_frame

# The opening mark names what is shown: <!-- results:start PAPER TABLE DATASET FIGURE -->
BLOCK = re.compile(r"(<!-- results:start (\S+) (\S+) (\S+) (\S+) -->\n).*?(<!-- results:end -->)", re.DOTALL)


def shown(paper_name: str, table: str, dataset: str, figure: str) -> str:
    """Render what is on record of one table and data set, beside the print, and one figure, in Markdown."""
    paper = load_paper(paper_name)
    # A folder without results: what is of record is all there is.
    config = make_config({"datasets": dataset, "results": str(record.RECORD)})
    results = record.with_record(load_results(paper, config, record.BUDGET))
    frame = table_frame(table, results, compare_pairs(results))
    sheet = lay_out(table, paper, frame[frame["dataset"] == dataset])
    sheet = replace(sheet, title=f"{paper.name}, {table}: {sheet.title}")
    picture = record.RECORD / "figures" / f"{paper_name}_{figure}.png"
    return f"{rendering.markdown(sheet)}\n![{paper.name}, {figure}: {paper.figures[figure].title}]({picture})\n"


def readme() -> Path:
    """The README of the checkout whose record it is."""
    return record.RECORD.parents[1] / "README.md"


def refreshed(text: str) -> str:
    """A README's text with its results made anew.

    Raises
    ------
    RepriseError
        The marks are not there.
    """
    if not BLOCK.search(text):
        raise RepriseError(
            str(readme()),
            expected="<!-- results:start PAPER TABLE DATASET FIGURE --> and <!-- results:end -->",
            found="no such marks",
        )
    return BLOCK.sub(lambda found: f"{found[1]}{shown(*found.groups()[1:5])}{found[6]}", text)
