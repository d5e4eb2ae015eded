"""The numbers of record: what was seen, when, on which device. Only `python -m reprise record` writes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reprise.config import RECORD, STUDY
from reprise.evaluation.groups import group_names
from reprise.evaluation.significance import Sample, prediction_interval
from reprise.files import write_text
from reprise.papers import Paper, Run
from reprise.reporting.results import Results, of_users
from reprise.reporting.tidy import (
    CELL,
    COLUMNS,
    MEASURED,
    OF_USERS,
    PROVENANCE,
    ROW,
    RUN,
    TIMES,
    cells,
    read_tidy,
    typed,
    write_csv,
)

SUMMARY = [*CELL, "mean", "sd", "seeds", "atol", "device", "data"]
ATOL = 1e-6
BUDGET = "budget: no run of it is on record yet"
UNPREPARED = "data: no session of record has prepared them"
IDENTITY = [*RUN, "device", "threads", "fingerprint"]
PLACE = ["seed", "device", "threads"]  # of two runs of one cell: who must agree
TIMED = ("wall_s", "peak_bytes", *TIMES)  # what moves with the weather
SPREADS = [*IDENTITY, *MEASURED, "users", "spread"]
UNIT = 1e-6  # of a spread's numbers


def read_runs(paper: str) -> pd.DataFrame:
    """All recorded rows of a paper, one a run and metric, of every fingerprint."""
    return read_tidy(RECORD / f"{paper}.runs.csv", COLUMNS + PROVENANCE)


def newest(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of each cell that add up: its newest fingerprint's, and those of older ones shown to give the same.

    Numbers of different code or settings do not add up, but most edits change no number. An older fingerprint counts
    where a run of it was made again under the newest (same seed, device and threads) and every number agrees to `ATOL`;
    of a run made twice, the newer stands.
    """
    kept: list[int] = []
    for _, cell in runs.sort_values("date", kind="stable").groupby(ROW, dropna=False, sort=False):
        parts = [cell[cell["fingerprint"] == one] for one in cell["fingerprint"].drop_duplicates(keep="last")[::-1]]
        rows = pd.concat([parts[0], *(part for part in parts[1:] if _same_numbers(part, parts[0]))])
        kept += rows.index[~rows.duplicated([*PLACE, *MEASURED])].tolist()
    return runs.loc[sorted(kept)]


def _same_numbers(older: pd.DataFrame, newer: pd.DataFrame) -> bool:
    """Whether some run is in both, and every number that both measured agrees; what a stopwatch says apart."""
    both = older[~older["metric"].isin(TIMED)].merge(newer, on=[*PLACE, *MEASURED], suffixes=("", "_newer"))
    return len(both) > 0 and bool(((both["value"] - both["value_newer"]).abs() <= ATOL).all())


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Per cell mean, sd, seeds and `atol`, the half width of the interval that one more seed should fall into."""
    table = cells(_with_devices(_one_a_seed(newest(runs))).assign(origin=""))
    spread = [
        prediction_interval(sd, seeds) if seeds > 1 else 0.0
        for sd, seeds in zip(table["sd"], table["seeds"], strict=True)
    ]
    table["atol"] = pd.Series(spread, index=table.index, dtype=float).clip(lower=ATOL)
    return table[SUMMARY]


def _one_a_seed(runs: pd.DataFrame) -> pd.DataFrame:
    """What a mean over seeds is of: of a seed that ran on two devices the later run alone."""
    return runs[~runs.duplicated([*ROW, *MEASURED, "seed"], keep="last")]


def _with_devices(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs, each with the devices of all runs of its row and the date of the last, as their mean shows them."""
    rows = runs.groupby(ROW, dropna=False, sort=False)
    devices = rows["device"].transform(lambda names: " and ".join(sorted(set(names) - {""})))
    return runs.assign(device=devices, date=rows["date"].transform("max"))


def add_runs(paper: str, fresh: pd.DataFrame, force: bool = False) -> tuple[int, int]:
    """Add the runs in `fresh` to the record and rebuild its summary; return how many were added and how many stood.

    A run is known by seed, device, threads and fingerprint. What is on record of it stays as it is, and what was not
    measured then is added, unless `force` puts the fresh run in its place.
    """
    standing = read_runs(paper)
    known, offered = (pd.MultiIndex.from_frame(frame[IDENTITY].astype(str)) for frame in (standing, fresh))
    count = len(offered[offered.isin(known)].unique())
    if force:
        standing = standing[~known.isin(offered)]
    else:
        rows, others = (pd.MultiIndex.from_frame(one[IDENTITY + MEASURED].astype(str)) for one in (fresh, standing))
        fresh = fresh[~rows.isin(others)]
    runs = typed(pd.concat([frame for frame in (standing, fresh) if len(frame)] or [standing], ignore_index=True))
    # Dates first: a later session's runs follow the earlier ones, and a diff of the file shows only additions.
    runs = runs.sort_values([*ROW, "date", "seed"], kind="stable", ignore_index=True)
    write_csv(RECORD / f"{paper}.runs.csv", runs)
    write_csv(RECORD / f"{paper}.csv", summary(runs))
    return len(offered.unique()) - (0 if force else count), count


def recordable(results: Results) -> pd.DataFrame:
    """The rows worth committing: all, but a sweep only in the metric that its run selects by."""
    frame = results.frame
    chosen = {
        (run.method, run.reading, run.dataset): record["spec"]["training"] for run, record in results.runs.items()
    }
    options = [chosen.get(key, {}) for key in zip(frame["method"], frame["reading"], frame["dataset"], strict=True)]
    selects = [
        option.get("metric") == metric and option.get("k") == k
        for option, metric, k in zip(options, frame["metric"], frame["k"], strict=True)
    ]
    kept = ~frame["group"].str.contains(";") | pd.Series(selects, index=frame.index, dtype=bool)
    return frame.loc[kept, COLUMNS + PROVENANCE]


def spreads_of(paper: Paper, results: Path, run: Run, record: dict[str, Any]) -> pd.DataFrame:
    """How users vary in one run, with its `run.json`: `SPREADS`, a row for what some exhibit shows of every user.

    `spread` is `Sample.spread` of that run alone, `SKETCH` random sums over all users, in units of `UNIT`.
    """
    shown = {(metric, k) for exhibit in paper.exhibits.values() for metric in exhibit.metrics if metric in OF_USERS
             for k in exhibit.ks}
    groups = ["", *(group_names("drift", paper.groups["drift"]) if "drift" in paper.groups else [])]
    rows = []
    for metric, k in sorted(shown):
        for group in groups:
            users = of_users(results, {run: record}, f"{metric}@{k}", group)
            if len(users):
                spread = np.rint(Sample.of(users).sketched().spread[:, 0] / UNIT).astype(int)
                rows.append((metric, k, group, len(users), " ".join(map(str, spread))))
    known = {name: getattr(run, name) for name in RUN} | {
        "device": record["device"], "threads": record["threads"], "fingerprint": record["cell"]}
    return pd.DataFrame(rows, columns=[*MEASURED, "users", "spread"]).assign(**known)[SPREADS]


def add_spreads(paper: str, fresh: pd.DataFrame, force: bool = False) -> None:
    """Add rows of `spreads_of` to the record; what stands stays, unless `force` puts the fresh row in its place."""
    standing = read_spreads(paper)
    rows = pd.concat([part for part in (standing, fresh) if len(part)] or [standing], ignore_index=True)
    rows = typed(rows).drop_duplicates([*IDENTITY, *MEASURED], keep="last" if force else "first")
    write_csv(RECORD / f"{paper}.spreads.csv", rows.sort_values([*ROW, "seed", *MEASURED], kind="stable"))


def read_spreads(paper: str) -> pd.DataFrame:
    """All recorded spreads of a paper, `SPREADS`, of every fingerprint."""
    return read_tidy(RECORD / f"{paper}.spreads.csv", SPREADS)


def keep_study(results: Path, force: bool = False) -> None:
    """Put this session's A/A study on record, if it made one; one that stands there stays, unless `force`."""
    if (results / STUDY).exists() and (force or not (RECORD / STUDY).exists()):
        write_text(RECORD / STUDY, (results / STUDY).read_text(encoding="utf-8"))


def with_record(results: Results) -> Results:
    """The results, and from the record what has no local run; `origin` in their frame says which, with device and date.

    Of a run that the record's pages lack, `absent` says whether its data were missing, too.
    """
    config, frame = results.config, results.frame
    runs = _one_a_seed(newest(read_runs(results.paper.name)))
    selected = [
        config.keeps("datasets", dataset)
        and (not method or config.keeps("methods", method))
        and (not reading or config.keeps("readings", reading))
        for dataset, method, reading in zip(runs["dataset"], runs["method"], runs["reading"], strict=True)
    ]
    seen = set(runs["dataset"])
    absent = {run: UNPREPARED if reason == BUDGET and run.dataset not in seen else reason
              for run, reason in results.absent.items()}
    local = pd.MultiIndex.from_frame(frame[ROW])
    runs = runs[pd.Series(selected, index=runs.index, dtype=bool) & ~pd.MultiIndex.from_frame(runs[ROW]).isin(local)]
    shown = _with_devices(runs)
    shown["origin"] = [
        ", ".join(["of record", *filter(None, (device, date[:10]))])
        for device, date in zip(shown["device"], shown["date"], strict=True)
    ]
    frame = typed(pd.concat([part for part in (frame, shown) if len(part)] or [frame], ignore_index=True))
    spreads = read_spreads(results.paper.name).merge(runs[[*IDENTITY, *MEASURED]], on=[*IDENTITY, *MEASURED])
    numbers = [np.array(text.split(), dtype=float) * UNIT for text in spreads["spread"]]
    spreads = spreads.assign(users=spreads["users"].astype(int), spread=pd.Series(numbers, spreads.index, dtype=object))
    return replace(results, frame=frame, absent=absent, spreads=spreads)
