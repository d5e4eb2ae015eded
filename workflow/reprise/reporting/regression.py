"""Do the numbers of record still hold? Record rows against the runs that lie in `results` now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reprise.config import Config
from reprise.data.catalogue import RECEIPT, STATUSES
from reprise.files import read_json
from reprise.papers import TUNED, Paper, Run
from reprise.reporting.finished import load_results
from reprise.reporting.record import ATOL, TIMED, newest, read_runs, summary
from reprise.reporting.results import Results, left_out
from reprise.reporting.shortcuts import CAP
from reprise.reporting.tidy import CELL, MEASURED, RUN, SHORTCUT
from reprise.reporting.wording import metric_label, missing
from reprise.selection import not_prepared

COLUMNS = [*RUN, *MEASURED, "record", "now", "difference", "tolerance", "status", "why"]

FEW_USERS = 0.005  # of the five hundred of the small world, three; of a number beyond 1 that share


def recorded(paper: Paper, config: Config) -> pd.DataFrame:
    """The record rows to check, newest fingerprint of each cell; `why` is not empty for those that are skipped.

    Tuned runs are: they would need a whole search, and what they show is the choice and not the code. So are runs of
    other data than those at hand, and runs that a cap of epochs cut short, unless it is asked for again.
    """
    rows = newest(read_runs(paper.name))
    stand_in = {key: entry.stand_in for key, entry in paper.datasets.items()}
    wanted = rows["dataset"].map(lambda key: stand_in.get(key, False) or config.regression_set == "real")
    rows = rows[wanted.astype(bool) & ~rows["metric"].isin(TIMED)]
    absent = {key: _no_data(paper, key, config) for key in rows["dataset"].unique()}
    capped, here = _capped(rows), {key: _status(paper, key, config) for key in rows["dataset"].unique()}

    def skipped(run: tuple, data: str) -> str:
        dataset, reading, _, method, variant, _ = run
        if absent[dataset]:
            return absent[dataset]
        if here[dataset] and data != here[dataset]:
            return f"recorded on {data} data, these are {here[dataset]}"
        if variant == TUNED:
            return "settings were searched"
        if (cap := capped.get(run)) and cap != str(config.max_epochs):
            return f"recorded with max_epochs={cap}"
        return left_out(config, methods=method, readings=reading)

    runs = rows[RUN].itertuples(index=False, name=None)
    return rows.assign(why=[skipped(*one) for one in zip(runs, rows["data"], strict=True)])


def _capped(rows: pd.DataFrame) -> dict[tuple, str]:
    """The cap of epochs that cut a run short, by run."""
    said = rows["metric"].str.extract(CAP.pattern)[0]
    known = rows[said.notna() & rows["metric"].str.startswith(SHORTCUT)]
    return dict(zip(known[RUN].itertuples(index=False, name=None), said[known.index], strict=True))


def _status(paper: Paper, key: str, config: Config) -> str:
    """What the data at hand are, `official` or `recovered`, say; "" where nothing is at hand yet."""
    entry = paper.datasets.get(key)
    if entry is None:
        return ""
    prepared = Path(config.results, paper.name, key, "data", "stats.json")
    fetched = (Path(config.resources, "raw", source, RECEIPT) for source in entry.readers)
    known = [read_json(path)["status"] for path in (prepared, *fetched) if path.exists()]
    return max(known, key=STATUSES.index, default="")


def recorded_runs(paper: Paper, config: Config) -> list[Run]:
    """The runs that `check` needs, for the workflow to make; of a row that paper.yaml no longer has there is none."""
    rows = recorded(paper, config)
    rows = rows[(rows["why"] == "") & rows["reading"].isin(paper.readings) & rows["method"].isin(paper.methods)]
    rows = rows[RUN].drop_duplicates()
    return [Run(paper.name, *row[:-1], int(row[-1])) for row in rows.to_numpy(object).tolist()]


def check(paper: Paper, config: Config) -> pd.DataFrame:
    """Compare every record row of the regression set with the runs at hand.

    Returns
    -------
    DataFrame
        `COLUMNS`; `status` is `same`, `moved`, `missing` or `skipped`. A run made on the recorded kind of device with
        the recorded threads must agree to 1e-6. Elsewhere sums differ, so there the mean of the cell's seeds must lie
        in the seeds' prediction interval (`atol` of the record), one row a cell.
    """
    rows = recorded(paper, config)
    skipped, rows = rows[rows["why"] != ""], rows[rows["why"] == ""]
    results = _current(paper, config, rows)
    both = rows.merge(results.frame, how="left", on=[*RUN, *MEASURED], suffixes=("", "_now"), indicator="found")
    found = both["found"] == "both"
    alike = (both["device"] == both["device_now"]) & (both["threads"].fillna(0) == both["threads_now"].fillna(0))
    elsewhere = found & ~alike.astype(bool)
    parts = [
        _judged(both[found & ~elsewhere].assign(tolerance=ATOL)),
        _judged(_by_cell(both[elsewhere], summary(rows))),
        both[~found].assign(
            status="missing",
            why=[_absent(results, *run) for run in both[~found][RUN].itertuples(index=False, name=None)],
        ),
        skipped.assign(status="skipped"),
    ]
    parts = [
        part.rename(columns={"value": "record", "value_now": "now"}).reindex(columns=COLUMNS)
        for part in parts
        if len(part)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def _absent(results: Results, dataset: str, reading: str, *which: Any) -> str:
    """Why a recorded run, or count of the data, is not at hand."""
    *_, method, _, seed = which
    run = None if missing(seed) else Run(results.paper.name, dataset, reading, *which[:-1], int(seed))
    return results.absent.get(run) or results.reason(dataset, reading, method)


def _current(paper: Paper, config: Config, rows: pd.DataFrame) -> Results:
    """The runs at hand for exactly the data sets and seeds of the record rows."""
    seeds = sorted({int(seed) for seed in rows["seed"].dropna()}) or [0]
    names = tuple(rows["dataset"].unique()) or ("none",)
    selected = {"datasets": names, "seeds": tuple(seeds), "tuning": "published"}
    return load_results(paper, config.model_copy(update=selected))


def _by_cell(both: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """One row a cell: our mean over the seeds at hand against the record's, with the record's `atol`."""
    both = both.assign(why="recorded on " + _machine(both, "") + ", now on " + _machine(both, "_now"))
    now = (
        both.groupby(CELL, dropna=False, sort=False)
        .agg(value_now=("value_now", "mean"), why=("why", "last"))
        .reset_index()
    )
    merged = now.merge(cells, on=CELL)
    # Elsewhere rounding takes another path: counts of steps and ties may differ, and a few users may change sides.
    merged = merged[~merged["metric"].isin(["epochs", "steps", "ties"])]
    merged["atol"] = np.maximum(merged["atol"], FEW_USERS * merged["mean"].abs().clip(lower=1))
    return merged.rename(columns={"mean": "value", "atol": "tolerance"})


def _machine(rows: pd.DataFrame, side: str) -> pd.Series:
    return rows[f"device{side}"] + " x " + rows[f"threads{side}"].astype(str)


def _judged(rows: pd.DataFrame) -> pd.DataFrame:
    difference = rows["value_now"] - rows["value"]
    # Written so that a number against NaN counts as moved.
    same = (difference.abs() <= rows["tolerance"]) | (rows["value"].isna() & rows["value_now"].isna())
    return rows.assign(difference=difference, status=np.where(same, "same", "moved"))


def _no_data(paper: Paper, key: str, config: Config) -> str:
    """Why a recorded data set cannot be checked here, or nothing. What Reprise generates itself can always be made."""
    entry = paper.datasets.get(key)
    if entry is None:
        return "data set no longer in paper.yaml"
    reason = not_prepared(paper, key, config)
    if reason or entry.stand_in:
        return reason or ""
    places = (
        Path(config.results, paper.name, key, "data", "stats.json"),
        Path(config.resources, "raw", entry.source),
    )
    return "" if any(place.exists() for place in places) else "data not present"


def report(checked: pd.DataFrame, rows: int) -> str:
    """Write what moved or is missing, at most `rows` rows a kind, then the counts and why rows were skipped."""
    lines = []
    for status, heading in (("moved", "moved beyond tolerance"), ("missing", "on record, but no run at hand")):
        found = checked[checked["status"] == status]
        if len(found):
            lines += [f"{len(found)} {heading}:", _listing(found, status).head(rows).to_string(index=False), ""]
            lines += [f"... and {len(found) - rows} more", ""] if len(found) > rows else []
    skipped = checked[checked["status"] == "skipped"]
    lines += [
        f"skipped {count} rows of {dataset}: {why}"
        for (dataset, why), count in skipped.groupby(["dataset", "why"]).size().items()
    ]
    done = checked["status"].isin(["same", "moved"])
    loose = int((done & (checked["why"].fillna("") != "")).sum())
    counts = checked["status"].value_counts()
    lines.append(
        f"checked {int(done.sum())} ({int(counts.get('same', 0))} hold, {int(counts.get('moved', 0))} moved"
        + (f"; {loose} cells against the seeds' spread, made on another device" if loose else "")
        + f"), missing {int(counts.get('missing', 0))}, skipped {len(skipped)}"
    )
    return "\n".join(lines)


def _listing(found: pd.DataFrame, status: str) -> pd.DataFrame:
    """The rows of one status as short columns: the cell in words, then the numbers."""
    names = [
        metric_label(metric, k) + (f" [{group}]" if group else "")
        for metric, k, group in found[MEASURED].to_numpy(object).tolist()
    ]
    seed = found["seed"].map(lambda value: "" if missing(value) else int(value))
    table = found[["dataset", "reading", "method"]].assign(seed=seed, metric=names)
    if status == "missing":
        return table[["dataset", "reading", "method", "seed"]].assign(why=found["why"]).drop_duplicates()
    for name in ("record", "now"):
        table[name] = found[name].map("{:.6f}".format)
    return table.assign(
        difference=found["difference"].map("{:+.2e}".format),
        tolerance=found["tolerance"].map("{:.0e}".format),
        why=found["why"].fillna(""),
    )
