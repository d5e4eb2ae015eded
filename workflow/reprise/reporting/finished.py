"""Reads what a paper's finished runs have measured, out of the files that its stages left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reprise.config import Config
from reprise.data.prepared import Prepared
from reprise.evaluation.groups import group_names, groups_of, shares_of
from reprise.files import read_json
from reprise.papers import MAIN, Paper, Run
from reprise.reporting.results import STALE, UNFINISHED, Results, eta_of
from reprise.reporting.shortcuts import shortcuts_of
from reprise.reporting.tidy import (
    COLUMNS,
    COSTS,
    MEASURED,
    PASS,
    PROVENANCE,
    RUN,
    SHORTCUT,
    SHORTCUTS,
    STATISTICS,
    empty,
    read_text,
    typed,
)
from reprise.selection import plan


def load_results(paper: Paper, config: Config, unrun: str = UNFINISHED) -> Results:
    """Read the finished runs of `paper` that `config` selects; one of other code or settings is stale and not used."""
    runs, absent, parts = {}, {}, [_statistics(paper, config)]
    for planned in plan(paper, paper.exhibits, config):
        if planned.run.seed not in config.seeds:  # made for others to be ranked anew, and shown nowhere
            continue
        folder = Path(config.results, planned.run.folder)
        if planned.reason:
            absent[planned.run] = planned.reason
        elif not (folder / "run.json").exists():
            absent[planned.run] = unrun
        elif (record := read_json(folder / "run.json"))["code"] != planned.code:
            absent[planned.run] = STALE
        else:
            runs[planned.run] = record
            parts.append(_measured(planned.run, record, folder))
            parts.append(_shortcuts(paper, config, planned.run, record))
    parts += [_timed(paper, config, run, record) for run, record in runs.items() if paper.timed]
    parts = [part for part in parts if len(part)]
    frame = typed(pd.concat(parts, ignore_index=True).assign(origin="")) if parts else empty()
    return Results(paper, config, frame, runs, absent, unrun)


def _statistics(paper: Paper, config: Config) -> pd.DataFrame:
    """Rows for what `stats.json` says of every prepared data set, as far as a table shows it."""
    shown = {name for table in paper.tables.values() if table.kind == "statistics" for name in table.metrics}
    rows = []
    for key in paper.datasets:
        path = Path(config.results, paper.name, key, "data", "stats.json")
        if config.keeps("datasets", key) and path.exists():
            stats = read_json(path)
            shared = {"dataset": key, "data": stats["status"], "fingerprint": stats["content"]}
            rows += [{**shared, "metric": name, "value": stats[name]} for name in STATISTICS if name in shown]
            if "drift" in paper.groups:
                eta, edges = eta_of(path.parent), paper.groups["drift"]
                rows += [{**shared, "metric": "users", "group": name, "value": int((eta > edge).sum())}
                         for name, edge in zip(group_names("drift", edges), edges, strict=True)]
            if "items" in paper.groups and path.with_name("train.parquet").exists():
                names = (*MEASURED, "value")
                rows += [{**shared, **dict(zip(names, row, strict=True))} for row in _groups(paper, path)]
    return pd.DataFrame(rows, columns=COLUMNS + PROVENANCE)


def _groups(paper: Paper, stats: Path) -> list[tuple]:
    """The share of items and users in each group, and `test_frequency`, an item's mean share of the test set."""
    data = Prepared.load(stats.parent)
    items, users = groups_of(data, paper.groups)
    tested = shares_of(np.bincount(data.parts("test")[:, 1], minlength=data.n_items))
    return [*items.shares(), *users.shares(), *items.means("test_frequency", None, tested)]


def _measured(run: Run, record: dict[str, Any], folder: Path) -> pd.DataFrame:
    """Rows of one run: the selected list's metrics, the sweep, the costs."""
    parts = [read_text(folder / record["selected"]["list"] / "metrics.csv")]
    if (folder / "sweep.csv").exists():
        parts.append(_sweep(folder / "sweep.csv"))
    if (folder / "groups.csv").exists():
        parts.append(read_text(folder / "groups.csv"))
    cost = read_json(folder / "cost.json")
    parts.append(pd.DataFrame({"metric": COSTS, "value": [cost[name] for name in COSTS]}))
    frame = pd.concat(parts, ignore_index=True).reindex(columns=[*MEASURED, "value"])
    return frame.assign(**_known(run, record))[COLUMNS + PROVENANCE]


def _shortcuts(paper: Paper, config: Config, run: Run, record: dict[str, Any]) -> pd.DataFrame:
    """What made a run cheaper than the paper's: as many rows, and their number, as nobody else may know it later."""
    taken = shortcuts_of(paper, run.dataset, run.reading, run.label, config.max_epochs)
    named = [(SHORTCUTS, len(taken)), *((f"{SHORTCUT}{text}", 1) for text in taken)]
    frame = pd.DataFrame(named, columns=["metric", "value"]).reindex(columns=[*MEASURED, "value"])
    return frame.assign(**_known(run, record))[COLUMNS + PROVENANCE]


def _known(run: Run, record: dict[str, Any]) -> dict[str, Any]:
    """What stands beside every number of a run."""
    return {name: getattr(run, name) for name in RUN} | {
        "device": record["device"],
        "threads": record["threads"],
        "data": record["data"]["status"],
        "fingerprint": record["cell"],
        "commit": record["commit"],
        "date": record["date"],
    }


def _timed(paper: Paper, config: Config, run: Run, record: dict[str, Any]) -> pd.DataFrame:
    """Rows for how long a run takes to make a list, where a stopwatch was held to it: the median of the passes, and
    each of them. Their device is the stopwatch's, whatever trained the run."""
    parts = []
    timed = paper.timed if run.seed == config.seeds[0] and run.variant == MAIN else {}
    for name, table in timed.items():
        path = Path(config.results, paper.name, run.dataset, "times", name, f"{run.reading}.csv")
        if not path.exists():
            continue
        times = pd.read_csv(path)
        mine, first = times[times["method"] == run.method], times[times["method"] == table.methods[0]]
        if mine.empty:
            continue
        median = mine["seconds"].median()
        rows = [("response_time", "", median * 1e4)]
        if len(first):
            rows.append(("response_ratio", "", median / first["seconds"].median()))
        rows += [("response_time", f"{PASS}{number}", seconds * 1e4)
                 for number, seconds in mine[["pass", "seconds"]].itertuples(index=False, name=None)]
        clock = {"device": mine["device"].iloc[0], "threads": mine["threads"].iloc[0]}
        parts.append(pd.DataFrame(rows, columns=["metric", "group", "value"]).assign(**_known(run, record) | clock))
    return (pd.concat(parts) if parts else pd.DataFrame()).reindex(columns=COLUMNS + PROVENANCE)


def _sweep(path: Path) -> pd.DataFrame:
    """Rows of a sweep over one inference setting, its points in the group: `c=12;own_epoch;test`."""
    sweep = read_text(path)
    (setting,) = set(sweep.columns) - {"split", "curve", "epoch", "metric", "k", "value"}
    group = [
        f"{setting}={float(point):g};{curve};{split}"
        for point, curve, split in zip(sweep[setting], sweep["curve"], sweep["split"], strict=True)
    ]
    return sweep.assign(group=group)[[*MEASURED, "value"]]
