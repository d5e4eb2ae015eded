"""The finished runs of a paper as the `Lookup` that the verdict on a claim asks."""

from __future__ import annotations

import pandas as pd

from reprise.evaluation.groups import group_names
from reprise.evaluation.significance import Sample
from reprise.papers import Exhibit, resolve
from reprise.reporting.lookup import TEST_SET, Cell, Missing
from reprise.reporting.printed import printed_numbers
from reprise.reporting.results import Results
from reprise.reporting.sweeps import points
from reprise.reporting.tidy import PASS, ROW, TIMES

# The paper's curves let every setting keep its own best epoch; a search on validation has no such curve on test.
CURVES = ("own_epoch", "fixed_epoch")


class Answers:
    """One paper under one reading, with the runs that some exhibit shows (`Results.under`)."""

    def __init__(self, results: Results, reading: str):
        self.results, self.reading = results, reading
        frame = results.frame[(results.frame["reading"] == reading) & (results.frame["method"] != "")]
        ran = frame[["dataset", "method"]].drop_duplicates().to_numpy(object).tolist()
        self.selects_on_test = any(results.selects_on_test(dataset, reading, method) for dataset, method in ran)
        self._printed: dict[tuple, dict[str, float]] = {}  # by row, the first of a cell that several tables print
        shown = ["dataset", "metric", "k", "group", "method", "printed"]
        for *place, method, value in printed_numbers(results.paper)[shown].to_numpy(object):
            self._printed.setdefault(tuple(place), {}).setdefault(method, value)
        self._sweep = points(results.frame[results.frame["reading"] == reading])

    def sample(self, cell: Cell) -> Sample:
        """What the runs tell of a metric's mean; raises Missing without a run.

        A response time has its passes for seeds, and no users.
        """
        self._check(cell)
        if cell.metric in TIMES:
            return self._times(cell)
        found = self.results.sample(cell.dataset, self.reading, cell.method, cell.metric, cell.k, cell.group)
        if found is None:
            raise Missing(f"no {cell.metric}@{cell.k} of {cell.method} was measured")
        return found

    def _times(self, cell: Cell) -> Sample:
        frame = self.results.frame
        passes = frame[(frame["metric"] == "response_time") & frame["group"].str.startswith(PASS)]
        row = cell.dataset, self.reading, *self.results.row(cell.method, cell.dataset, self.reading)
        passes = passes[(passes[ROW] == pd.Series(row, ROW)).all(axis=1)]
        if passes.empty:
            raise Missing(f"no response time of {cell.method} was measured")
        number = passes["group"].str.removeprefix(PASS).astype(int)
        return Sample.without_users(passes.set_index(number)["value"])

    def curve(self, cell: Cell, parameter: str) -> pd.DataFrame:
        """The metric's test mean along the sweep of `parameter`, [points x seeds]; raises Missing without one.

        A setting that only inference reads has its sweep in every run, one that training reads has a run a point.
        """
        self._check(cell)
        points = self._points(cell, parameter)
        if len(points) > 1:
            runs = {point: self.sample(cell._replace(method=label)).by_seed for point, label in sorted(points.items())}
            return pd.DataFrame(runs).T.dropna(axis=1)
        method, variant = self.results.row(cell.method, cell.dataset, self.reading)
        sweep = self._sweep
        sweep = sweep[
            (sweep["dataset"] == cell.dataset)
            & (sweep["method"] == method)
            & (sweep["variant"] == variant)
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

    def groups(self, cell: Cell) -> pd.DataFrame:
        """The metric's mean in each group of items or users, [groups x seeds], rarest group first.

        The method `the test set` has one column, the data's own. Raises Missing without a run or without the metric.
        """
        frame, paper = self.results.frame, self.results.paper
        if cell.method == TEST_SET:
            rows = frame[(frame["method"] == "") & (frame["metric"] == f"test_{cell.metric}")].assign(seed=0)
        else:
            self._check(cell)
            method, variant = self.results.row(cell.method, cell.dataset, self.reading)
            rows = frame[
                (frame["reading"] == self.reading) & (frame["method"] == method) & (frame["variant"] == variant)
            ]
            rows = rows[(rows["metric"] == cell.metric) & (rows["k"].isna() | (rows["k"] == cell.k))]
        names = [name for kind, edges in paper.groups.items() for name in group_names(kind, edges)]
        rows = rows[(rows["dataset"] == cell.dataset) & rows["group"].isin(names)]
        if rows.empty:
            raise Missing(f"no {cell.metric} over groups was measured of {cell.method}")
        table = rows.pivot(index="group", columns="seed", values="value")
        return table.reindex([name for name in names if name in table.index])

    def _points(self, cell: Cell, parameter: str) -> dict[float, str]:
        """The paper's rows that vary `parameter` of a method and nothing else, by its value."""
        paper, found = self.results.paper, {}
        for label in paper.labels:
            method, settings = paper.row(label)
            if method == cell.method and parameter in settings and "[" in label:
                own = resolve(paper, cell.dataset, self.reading, method)[paper.methods[method].component]
                if all(own[key] == value for key, value in settings.items() if key != parameter):
                    found[float(settings[parameter])] = label
        return found

    def printed(self, cell: Cell) -> float | None:
        """The printed value, None if the paper prints none; of a setting's point that of the same run's row."""
        rows = self._printed.get((cell.dataset, cell.metric, cell.k, cell.group), {})
        if cell.method in rows:
            return rows[cell.method]
        return next((value for label, value in rows.items() if self._same_run(cell, label)), None)

    def datasets(self) -> tuple[str, ...]:
        """All data sets of the paper, those that Reprise generates apart."""
        return tuple(key for key, entry in self.results.paper.datasets.items() if not entry.stand_in)

    def methods(self, dataset: str, beside: str = "") -> tuple[str, ...]:
        """The methods of the paper's largest table on a data set; `beside` one: those of its backbone."""
        paper, table = self.results.paper, self._largest()
        backbone = paper.method(beside).backbone if beside else None
        return tuple(
            name
            for name in table.methods
            if dataset in table.datasets and backbone in (None, paper.method(name).backbone)
        )

    def cutoffs(self) -> tuple[int, ...]:
        """All k that some table or figure shows."""
        return tuple(
            sorted({k for exhibit in self.results.paper.exhibits.values() if exhibit.methods for k in exhibit.ks})
        )

    def _largest(self) -> Exhibit:
        return max(self.results.paper.tables.values(), key=lambda exhibit: len(exhibit.methods) * len(exhibit.datasets))

    def _same_run(self, cell: Cell, label: str) -> bool:
        if not label:
            return False
        one, other = (self.results.row(row, cell.dataset, self.reading) for row in (cell.method, label))
        return one == other

    def _check(self, cell: Cell) -> None:
        if not self.results.paper.has_row(cell.method):
            raise Missing(f"{cell.method}: no row of paper.yaml")
        if not self.results.ran(cell.dataset, self.reading, cell.method):
            raise Missing(self.results.reason(cell.dataset, self.reading, cell.method))
