"""Everything a paper's finished runs have measured, as one tidy frame; and why a run is not among them."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reprise.config import Config
from reprise.data.prepared import Prepared
from reprise.evaluation.drift import drift
from reprise.evaluation.significance import Sample
from reprise.papers import Paper, Run, resolve
from reprise.reporting.sweeps import is_swept
from reprise.reporting.tidy import COLUMNS, MEASURED, ROW
from reprise.selection import not_prepared
from reprise.tuning import row_of, shown_under

# Why a session has no number where nothing but itself stands in the way.
LEFT_OUT, UNFINISHED, STALE = "left out by", "no finished run", "stale: its code or settings have changed since"


@dataclass(frozen=True)
class Results:
    """The runs of one paper that a configuration selects.

    `frame` has a row a run and metric (`SHOWN`); a statistic of a data set is a row without reading,
    method and seed. `runs` gives the `run.json` of every finished run, `absent` why another one is not used. `unrun` is
    said of what nothing but time stands in the way of; of what the selection leaves out, too, if it is the record's.
    Where the record stands in for runs, its rows are in `frame` with an `origin`, which others lack, and `spreads` says
    how users vary in them (`Sample.spread`): a row a run and metric, `users` how many and `spread` an array.
    """

    paper: Paper
    config: Config
    frame: pd.DataFrame
    runs: dict[Run, dict[str, Any]] = field(default_factory=dict)
    absent: dict[Run, str] = field(default_factory=dict)
    unrun: str = UNFINISHED
    spreads: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def metrics(self) -> pd.DataFrame:
        """The tidy frame without provenance: what `results/<paper>/metrics.csv` holds."""
        return self.frame[COLUMNS]

    def under(self, name: str) -> Results:
        """The same as an exhibit shows them: with published settings where its rows are relative to them."""
        exhibit = self.paper.exhibits.get(name)
        config = shown_under(self.paper, exhibit, self.config) if exhibit else self.config
        return self if config == self.config else replace(self, config=config)

    def row(self, label: str, dataset: str, reading: str) -> tuple[str, str]:
        """The method and variant of the runs behind a row."""
        key = label, dataset, reading
        if key not in self._known_rows:
            self._known_rows[key] = row_of(self.paper, label, dataset, reading, self.config)
        return self._known_rows[key]

    @functools.cached_property
    def _known_rows(self) -> dict[tuple[str, str, str], tuple[str, str]]:
        return {}

    def reason(self, dataset: str, reading: str, label: str) -> str:
        """Say why there is no number for a cell of the row `label`."""
        if dataset not in self.paper.datasets:
            return f"{dataset}: no data set of paper.yaml"
        if label and not self.paper.has_row(label):
            return f"{label}: no row of paper.yaml"
        method = self.paper.row(label)[0] if label else ""
        if left := left_out(self.config, datasets=dataset, methods=method, readings=reading):
            return left if self.unrun == UNFINISHED else self.unrun
        if not method:
            return not_prepared(self.paper, dataset, self.config) or "not prepared"
        if self.ran(dataset, reading, label):
            return "not measured of its runs, or of a group of very few users"
        behind = self._absent_by_row.get((dataset, reading, *self.row(label, dataset, reading)))
        return self.absent[behind[0]] if behind else "no run at hand"

    @functools.cached_property
    def _runs_by_row(self) -> dict[tuple, list[Run]]:
        return _by_row(self.runs)

    @functools.cached_property
    def _absent_by_row(self) -> dict[tuple, list[Run]]:
        return _by_row(self.absent)

    def seeds(self, dataset: str, reading: str, label: str) -> list[Run]:
        """The finished runs of one row, in order of their seeds."""
        found = self._runs_by_row.get((dataset, reading, *self.row(label, dataset, reading)), ())
        return sorted(found, key=lambda run: run.seed)

    def ran(self, dataset: str, reading: str, label: str) -> bool:
        """Whether a row has a finished run, here or on record."""
        place = (dataset, reading, *self.row(label, dataset, reading))
        return place in self._runs_by_row or place in self._recorded_rows

    def users(
        self, dataset: str, reading: str, label: str, metric: str, k: int, group: str = ""
    ) -> pd.DataFrame:
        """Per-user values [users x seeds] on the selected list, indexed by user; empty if no run here has them.

        `group`, if given, is one over drift: users of `eta>1` alone.
        """
        runs = self.seeds(dataset, reading, label)
        return of_users(Path(self.config.results), {run: self.runs[run] for run in runs}, f"{metric}@{k}", group)

    def sample(
        self, dataset: str, reading: str, label: str, metric: str, k: int, group: str = ""
    ) -> Sample | None:
        """What the runs of a row tell of a metric: those here or, without any, those of record; None without either."""
        users = self.users(dataset, reading, label, metric, k, group)
        if not users.empty:
            return Sample.of(users)
        place = (dataset, reading, *self.row(label, dataset, reading), metric, k, group)
        means = self._recorded.get(place)
        if means is None:
            return None
        found = Sample.without_users(means)
        known = [self._spreads[*place, seed] for seed in means.index if (*place, seed) in self._spreads]
        counts = {count for count, _ in known}
        if len(counts) != 1:  # none, or of several versions of the data
            return found
        return replace(found, spread=np.stack([one for _, one in known], 1), users=counts.pop())

    @functools.cached_property
    def _recorded(self) -> dict[tuple, pd.Series]:
        """The record's means by seed, of every row, metric, cut-off and group."""
        frame = self.frame
        rows = frame[(frame["origin"] != "") & (frame["method"] != "") & frame["k"].notna() & ~is_swept(frame)]
        names = [*ROW, *MEASURED, "seed"]
        found: dict[tuple, dict[int, float]] = {}
        for *key, seed, value in rows.sort_values(names)[[*names, "value"]].to_numpy(object).tolist():
            found.setdefault(tuple(key), {})[seed] = value
        return {key: pd.Series(values) for key, values in found.items()}

    @functools.cached_property
    def _recorded_rows(self) -> set[tuple]:
        return {key[: len(ROW)] for key in self._recorded}

    @functools.cached_property
    def _spreads(self) -> dict[tuple, tuple[int, np.ndarray]]:
        """How many users a run of record had, and how they vary, by row, metric, cut-off, group and seed."""
        if self.spreads.empty:
            return {}
        names = [*ROW, *MEASURED, "seed", "users", "spread"]
        return {tuple(key): (users, one) for *key, users, one in self.spreads[names].to_numpy(object).tolist()}

    def selects_on_test(self, dataset: str, reading: str, label: str) -> bool:
        """Say whether the test set chose any of a row's finished runs, so that no p-value may be given."""
        if runs := self.seeds(dataset, reading, label):
            return any(self.runs[run]["spec"]["training"]["select_on"] == "test" for run in runs)
        return selects_on_test(self.paper, dataset, reading, label)


def selects_on_test(paper: Paper, dataset: str, reading: str, label: str) -> bool:
    """Say whether the test set chooses what a row shows in a reading."""
    return resolve(paper, dataset, reading, paper.row(label)[0])["training"]["select_on"] == "test"


def of_users(results: Path, runs: dict[Run, dict[str, Any]], column: str, group: str = "") -> pd.DataFrame:
    """A metric such as `hr@20` of every user, [users x seeds], from the selected lists of `runs`, one row's, given
    with their `run.json`; empty without runs or where one lacks it."""
    lists = {run.seed: _users(Path(results, run.folder, record["selected"]["list"])) for run, record in runs.items()}
    if not lists or any(column not in users for users in lists.values()):
        return pd.DataFrame()
    table = pd.DataFrame({seed: users[column] for seed, users in lists.items()})
    if group:
        one = next(iter(runs))
        eta = eta_of(Path(results, one.paper, one.dataset, "data"))
        table = table[eta[table.index] > float(group.removeprefix("eta>"))]
    return table


def under_labels(results: Results, frame: pd.DataFrame, labels: Iterable[str]) -> pd.DataFrame:
    """The rows of `frame` that stand behind the rows `labels` of a table, `method` the label.

    `results` are those that the table shows (`Results.under`). A run stands behind several labels where they come to
    the same settings. Statistics of a data set stay as they are.
    """
    paper = results.paper
    places = frame.loc[frame["method"] != "", ["dataset", "reading"]].drop_duplicates().to_numpy(object).tolist()
    keys = ["dataset", "reading", "method", "variant"]
    names = [
        (dataset, reading, *results.row(label, dataset, reading), label)
        for dataset, reading in places
        if dataset in paper.datasets and reading in paper.readings
        for label in labels
    ]
    runs = frame.merge(pd.DataFrame(names, columns=[*keys, "label"], dtype=object), on=keys)
    runs = runs.assign(method=runs["label"]).drop(columns="label")
    return pd.concat([frame[frame["method"] == ""], runs], ignore_index=True)


def left_out(config: Config, **names: str) -> str:
    """Say which selection of the configuration leaves out one of `names` (`methods="MF"`); "" if none does."""
    for key, name in names.items():
        if name and not config.keeps(key, name):
            return f"{LEFT_OUT} {key}={','.join(getattr(config, key))}"
    return ""


def _by_row(runs: Iterable[Run]) -> dict[tuple, list[Run]]:
    """Runs by data set, reading, method and variant."""
    rows: dict[tuple, list[Run]] = {}
    for run in runs:
        rows.setdefault((run.dataset, run.reading, run.method, run.variant), []).append(run)
    return rows


@functools.cache
def eta_of(folder: Path) -> np.ndarray:
    """eta of every user of prepared data; NaN where nothing is known of the items."""
    data = Prepared.load(folder)
    return drift(data) if "attributes" in data.features else np.full(data.n_users, np.nan)


@functools.cache
def _users(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "users.parquet").set_index("user")
