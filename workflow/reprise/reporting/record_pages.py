"""The pages of record: tables, figures, verdicts and scorecard as the record alone gives them, whatever ran here."""

from __future__ import annotations

from pathlib import Path

from reprise.config import Config, make_config
from reprise.files import write_text
from reprise.papers import load_paper, paper_names
from reprise.reporting import pages, record
from reprise.reporting.claim_rows import judged_claims
from reprise.reporting.exhibits import write_figure, write_table
from reprise.reporting.finished import load_results
from reprise.reporting.pairs import compare_pairs
from reprise.reporting.scorecard import section, study
from reprise.reporting.tidy import write_csv
from reprise.selection import licences_of


def write_pages() -> None:
    """Render every paper's tables, figures and verdicts, and the scorecard, into the record."""
    papers = [load_paper(name) for name in paper_names()]
    ran = {paper.name: set(record.read_runs(paper.name)["dataset"]) for paper in papers}
    # Each paper's own data sets, and those stand-ins, which need to be named, that have a run on record.
    shown = [key for paper in papers for key, entry in paper.datasets.items()
             if not entry.stand_in or key in ran[paper.name]]
    # The licences that the record's own runs needed do not stand in the way of those that it lacks.
    agreed = set().union(*(licences_of(paper.datasets[key]) for paper in papers
                           for key in ran[paper.name] & paper.datasets.keys()))
    # A folder without results: what is of record is all there is.
    config: Config = make_config({"datasets": ",".join(dict.fromkeys(shown)), "results": str(record.RECORD),
                                  "licences": sorted(agreed)})
    sections = []
    for paper in papers:
        results = record.with_record(load_results(paper, config, record.BUDGET))
        pairs, claims = compare_pairs(results), judged_claims(results)
        write_csv(Path(record.RECORD, "tables", f"{paper.name}_significance.csv"), pairs)
        write_csv(Path(record.RECORD, "tables", f"{paper.name}_claims.csv"), claims)
        sheets = [write_table(name, results, pairs, Path(record.RECORD, "tables", f"{paper.name}_{name}"))[1]
                  for name in paper.tables]
        drawings = [write_figure(name, results, Path(record.RECORD, "figures", f"{paper.name}_{name}"))
                    for name in paper.figures]
        sections.append(section(results, claims, sheets, drawings))
    write_text(record.RECORD / "scorecard.html", pages.html(sections, study(config)))
