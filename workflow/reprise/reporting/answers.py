"""The finished runs of a paper as the `Lookup` that the verdict on a claim asks."""

from __future__ import annotations

import pandas as pd

from reprise.papers import Exhibit
from reprise.reporting.lookup import Cell, Missing
from reprise.reporting.printed import printed_numbers
from reprise.reporting.results import Results
from reprise.reporting.sweeps import points

# The paper's curves let every setting keep its own best epoch; a search on validation has no such curve on test.
CURVES = ("own_epoch", "fixed_epoch")


class Answers:
    """One paper under one reading."""

    def __init__(self, results: Results, reading: str):
        self.results, self.reading = results, reading
        runs = [run for run in results.runs if run.reading == reading]
        self.selects_on_test = any(results.selects_on_test(run.dataset, reading, run.method) for run in runs)
        self._printed = printed_numbers(results.paper)
        self._sweep = points(results.frame[results.frame["reading"] == reading])

    def users(self, cell: Cell) -> pd.DataFrame:
        """The metric per user, [users x seeds]; raises Missing without a run."""
        self._check(cell)
        return self.results.users(cell.dataset, self.reading, cell.method, cell.metric, cell.k)

    def curve(self, cell: Cell, parameter: str) -> pd.DataFrame:
        """The metric's test mean along the sweep of `parameter`, [points x seeds]; raises Missing without one."""
        self._check(cell)
        sweep = self._sweep
        sweep = sweep[
            (sweep["dataset"] == cell.dataset)
            & (sweep["method"] == cell.method)
            & (sweep["metric"] == cell.metric)
            & (sweep["k"] == cell.k)
            & (sweep["setting"] == parameter)
            & (sweep["split"] == "test")
        ]
        for curve in CURVES:
            found = sweep[sweep["curve"] == curve]
            if len(found):
                return found.pivot(index="point", columns="seed", values="value").dropna()
        raise Missing(f"no sweep over {parameter} on the test set")

    def printed(self, cell: Cell) -> float | None:
        """The printed value, None if the paper prints none."""
        rows = self._printed
        rows = rows[
            (rows["dataset"] == cell.dataset)
            & (rows["method"] == cell.method)
            & (rows["metric"] == cell.metric)
            & (rows["k"] == cell.k)
        ]
        return float(rows["printed"].iloc[0]) if len(rows) else None

    def datasets(self) -> tuple[str, ...]:
        """All data sets of the paper, those that Reprise generates apart."""
        return tuple(key for key, entry in self.results.paper.datasets.items() if not entry.stand_in)

    def methods(self, dataset: str, beside: str = "") -> tuple[str, ...]:
        """The methods of the paper's largest table on a data set; `beside` one: those of its backbone."""
        paper, table = self.results.paper, self._largest()
        backbone = paper.methods[beside].backbone if beside in paper.methods else None
        return tuple(
            name
            for name in table.methods
            if dataset in table.datasets and backbone in (None, paper.methods[name].backbone)
        )

    def cutoffs(self) -> tuple[int, ...]:
        """All k that some table or figure shows."""
        return tuple(
            sorted({k for exhibit in self.results.paper.exhibits.values() if exhibit.methods for k in exhibit.ks})
        )

    def _largest(self) -> Exhibit:
        return max(self.results.paper.tables.values(), key=lambda exhibit: len(exhibit.methods) * len(exhibit.datasets))

    def _check(self, cell: Cell) -> None:
        if not self.results.seeds(cell.dataset, self.reading, cell.method):
            raise Missing(self.results.reason(cell.dataset, self.reading, cell.method))
