"""The numbers of record: what was seen, when, on which device. Only `python -m reprise record` writes them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from reprise.config import RECORD, STUDY, Config
from reprise.evaluation.significance import prediction_interval
from reprise.papers import Paper
from reprise.reporting.results import CELL, COLUMNS, PAIR, PROVENANCE, RUN, Results, cells, read_tidy, typed, write_csv

SUMMARY = [*CELL, "mean", "sd", "seeds", "atol", "device", "data"]
ATOL = 1e-6
GROUP = ["dataset", "reading", "method", "variant"]
IDENTITY = [*RUN, "device", "threads", "fingerprint"]


def read_runs(paper: str) -> pd.DataFrame:
    """All recorded rows of a paper, one a run and metric, of every fingerprint."""
    return read_tidy(RECORD / f"{paper}.runs.csv", COLUMNS + PROVENANCE)


def newest(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of each cell's newest fingerprint: numbers of different code or settings do not add up."""
    latest = runs.sort_values("date", kind="stable").groupby(GROUP, dropna=False)["fingerprint"].transform("last")
    return runs[runs["fingerprint"] == latest.reindex(runs.index)]


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Per cell mean, sd, seeds and `atol`, the half width of the interval that one more seed should fall into."""
    table = cells(newest(runs))
    spread = [
        prediction_interval(sd, seeds) if seeds > 1 else 0.0
        for sd, seeds in zip(table["sd"], table["seeds"], strict=True)
    ]
    table["atol"] = pd.Series(spread, index=table.index, dtype=float).clip(lower=ATOL)
    return table[SUMMARY]


def add_runs(paper: str, fresh: pd.DataFrame, force: bool = False) -> tuple[int, int]:
    """Add the runs in `fresh` to the record and rebuild its summary; return how many were added and how many stood.

    A run is known by seed, device, threads and fingerprint. One that is on record already stays as it is, unless
    `force` puts the fresh one in its place.
    """
    standing = read_runs(paper)
    known, offered = (pd.MultiIndex.from_frame(frame[IDENTITY].astype(str)) for frame in (standing, fresh))
    repeated = offered.isin(known)
    count = len(offered[repeated].unique())
    if force:
        standing = standing[~known.isin(offered)]
    else:
        fresh = fresh[~repeated]
    runs = typed(pd.concat([frame for frame in (standing, fresh) if len(frame)] or [standing], ignore_index=True))
    # Dates first: a later session's runs follow the earlier ones, and a diff of the file shows only additions.
    runs = runs.sort_values([*GROUP, "date", "seed"], kind="stable", ignore_index=True)
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
    return frame[~frame["group"].str.contains(";") | pd.Series(selects, index=frame.index, dtype=bool)]


def recorded_claims(paper: str) -> Path:
    """Where the verdicts on claims were put on record: they need the users, whom the record does not hold."""
    return RECORD / "tables" / f"{paper}_claims.csv"


def recorded_significance(paper: str) -> Path:
    """Where the comparisons of methods were put on record, for the same reason."""
    return RECORD / "tables" / f"{paper}_significance.csv"


def keep_judged(paper: Paper, config: Config) -> None:
    """Put this session's claims, comparisons and A/A study on record.

    What a session with fewer runs could not judge does not displace what stands.
    """
    folder = Path(config.results, paper.name)
    claims, pairs = recorded_claims(paper.name), recorded_significance(paper.name)
    _keep(folder / "claims.csv", claims, ["id", "reading"], lambda rows: rows["verdict"] != "not run")
    _keep(folder / "significance.csv", pairs, PAIR, lambda rows: rows["low"] != "")
    if Path(config.results, STUDY).exists():
        shutil.copyfile(Path(config.results, STUDY), RECORD / STUDY)


def _keep(fresh: Path, standing: Path, key: list[str], judged: Callable[[pd.DataFrame], pd.Series]) -> None:
    """Lay the rows of `fresh` over those of `standing`, by `key`; an unjudged row displaces no judged one."""
    if not fresh.exists():
        return
    files = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in (fresh, standing) if path.exists()]
    # Of equal keys the first one stays: judged before unjudged, and among those the fresh before the standing.
    rows = [file[judged(file)] for file in files] + [file[~judged(file)] for file in files]
    write_csv(standing, pd.concat(rows).drop_duplicates(key).sort_values(key, kind="stable", ignore_index=True))


def with_record(results: Results) -> pd.DataFrame:
    """The results' frame, and from the record what has no local run; `origin` says which, with device and date."""
    config, frame = results.config, results.frame.assign(origin="")
    runs = newest(read_runs(results.paper.name))
    selected = [
        config.keeps("datasets", dataset)
        and (not method or config.keeps("methods", method))
        and (not reading or config.keeps("readings", reading))
        for dataset, method, reading in zip(runs["dataset"], runs["method"], runs["reading"], strict=True)
    ]
    local = pd.MultiIndex.from_frame(frame[GROUP])
    runs = runs[pd.Series(selected, index=runs.index, dtype=bool) & ~pd.MultiIndex.from_frame(runs[GROUP]).isin(local)]
    origin = [
        ", ".join(["of record", *filter(None, (device, date[:10]))])
        for device, date in zip(runs["device"], runs["date"], strict=True)
    ]
    runs = runs.assign(origin=origin)
    return typed(pd.concat([part for part in (frame, runs) if len(part)] or [frame], ignore_index=True))
