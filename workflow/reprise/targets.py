"""What a command line may ask for, and which exhibits stand behind it."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from reprise.papers import Paper

TABLE_FORMATS = ("csv", "md", "html", "tex")
FIGURE_FORMATS = ("pdf", "svg", "png", "csv")
TIDY = ("metrics.csv", "significance.csv", "verdict.csv", "claims.csv", "order.csv")
SCORECARD = ("scorecard.html", "scorecard.md")
Exhibits = tuple[tuple[str, str], ...]  # (paper, table or figure)


class Targets:
    """The targets of some papers: `all`, `scorecard`, each paper, each exhibit.

    Parameters
    ----------
    papers : Mapping
        The selected papers by name.
    results : Path
        The folder that they write to.
    """

    def __init__(self, papers: Mapping[str, Paper], results: Path):
        self.papers, self.results = papers, results

    @functools.cached_property
    def exhibits(self) -> dict[str, Exhibits]:
        """The exhibits behind every target's name."""
        papers = {name: tuple((name, exhibit) for exhibit in paper.exhibits) for name, paper in self.papers.items()}
        everything = sum(papers.values(), ())
        single = {"_".join(exhibit): (exhibit,) for exhibit in everything}
        return {"all": everything, "scorecard": everything, **papers, **single}

    def files(self, exhibits: Exhibits) -> list[str]:
        """What a target makes: its tables and figures, its papers' tidy files, and the scorecard."""
        papers = dict.fromkeys(paper for paper, _ in exhibits)
        return [
            *self.rendered(exhibits),
            *(file for paper in papers for file in self._in(paper, *TIDY)),
            *self._in("", *SCORECARD),
        ]

    def rendered(self, exhibits: Exhibits) -> list[str]:
        """The files of some tables and figures."""
        return [file for exhibit in exhibits for file in self._of_one(*exhibit)]

    def _of_one(self, paper: str, name: str) -> list[str]:
        folder, formats = (
            ("tables", TABLE_FORMATS) if name in self.papers[paper].tables else ("figures", FIGURE_FORMATS)
        )
        return self._in(f"{paper}/{folder}", *(f"{name}.{suffix}" for suffix in formats))

    def _in(self, folder: str, *files: str) -> list[str]:
        return [str(self.results / folder / file) for file in files]

    def behind(self, asked: Iterable[str]) -> Exhibits:
        """The exhibits behind names and files: a table's file stands for that table, a paper's for all of it."""
        shown = dict(self.exhibits)
        shown |= {file: (exhibit,) for exhibit in shown["all"] for file in self._of_one(*exhibit)}
        shown |= {file: shown[paper] for paper in self.papers for file in self._in(paper, *TIDY)}
        shown |= dict.fromkeys(self._in("", *SCORECARD), shown["all"])
        return tuple(dict.fromkeys(exhibit for one in asked for exhibit in shown.get(os.path.normpath(one), ())))
