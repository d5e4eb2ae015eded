"""The numbers of record: what was seen, when, on which device. Only `python -m reprise record` writes them."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pandas as pd

from reprise.config import RECORD, STUDY
from reprise.evaluation.significance import prediction_interval
from reprise.reporting.results import (
    CELL,
    COLUMNS,
    LEFT_OUT,
    MEASURED,
    PAIR,
    PROVENANCE,
    RUN,
    STALE,
    TIMES,
    UNFINISHED,
    Results,
    cells,
    read_tidy,
    typed,
    write_csv,
)

SUMMARY = [*CELL, "mean", "sd", "seeds", "atol", "device", "data"]
ATOL = 1e-6
BUDGET = "budget: no run of it is on record yet"
UNRUN = rf"{LEFT_OUT} .*$|{UNFINISHED}$|{STALE}$"  # how a session that lacks a run ends its reason
GROUP = ["dataset", "reading", "method", "variant"]
IDENTITY = [*RUN, "device", "threads", "fingerprint"]
PLACE = ["seed", "device", "threads"]  # of two runs of one cell: who must agree
TIMED = ("wall_s", "peak_bytes", *TIMES)  # what moves with the weather


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
    for _, cell in runs.sort_values("date", kind="stable").groupby(GROUP, dropna=False, sort=False):
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
    table = cells(newest(runs))
    spread = [
        prediction_interval(sd, seeds) if seeds > 1 else 0.0
        for sd, seeds in zip(table["sd"], table["seeds"], strict=True)
    ]
    table["atol"] = pd.Series(spread, index=table.index, dtype=float).clip(lower=ATOL)
    return table[SUMMARY]


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


def keep_judged(results: Results) -> None:
    """Put this session's claims, comparisons and A/A study on record.

    What a session with fewer seeds judged, or could not judge, does not displace what stands. What a session with
    searched settings judged is left out: its rows would not be told apart from published ones.
    """
    paper, config = results.paper, results.config
    folder = Path(config.results, paper.name)
    ran = str(len({run.seed for run in results.runs}))  # however many were selected
    for name, standing, key in (
        ("claims.csv", recorded_claims(paper.name), ["id", "reading"]),
        ("significance.csv", recorded_significance(paper.name), PAIR),
    ):
        if (folder / name).exists() and config.tuning == "published":
            fresh = _texts(folder / name).assign(of_seeds=ran)
            if "seeds_lhs" in fresh:
                seeds = fresh[["seeds_lhs", "seeds_rhs"]].replace("", "0").astype(int)
                fresh["of_seeds"] = seeds.min(axis=1).astype(str)
            write_csv(standing, _laid_over(fresh, _texts(standing), key))
    if Path(config.results, STUDY).exists():
        shutil.copyfile(Path(config.results, STUDY), RECORD / STUDY)


def renew_reasons(paper: str, unjudged: pd.DataFrame) -> None:
    """Say anew why claims of record have no verdict, as the record alone gives it: an old reason may have gone."""
    path = recorded_claims(paper)
    fresh = pd.read_csv(io.StringIO(unjudged.to_csv(index=False)), dtype=str, keep_default_na=False)
    write_csv(path, _laid_over(fresh.assign(of_seeds="0"), _texts(path), ["id", "reading"]))


def read_judged(path: Path, columns: list[str]) -> pd.DataFrame:
    """What `keep_judged` put on record, with `columns`; no file is no rows."""
    return read_tidy(path, [*columns, "of_seeds"])[columns]


def _texts(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False) if path.exists() else pd.DataFrame()


def _laid_over(fresh: pd.DataFrame, standing: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """One row a `key`: judged before unjudged, of these those of more seeds before fewer, then fresh before standing.

    What a session selected is no reason why the record lacks something.
    """
    rows = pd.concat([part for part in (fresh, standing) if len(part)] or [fresh], ignore_index=True)
    unjudged = rows["verdict"] == "not run" if "verdict" in rows else rows["low"] == ""
    if "reason" in rows:
        rows["reason"] = rows["reason"].str.replace(UNRUN, BUDGET, regex=True)
    rows = rows.assign(unjudged=unjudged, fewer=(-rows["of_seeds"].astype(int)).mask(unjudged, 0))
    rows = rows.sort_values(["unjudged", "fewer"], kind="stable").drop(columns=["unjudged", "fewer"])
    return rows.drop_duplicates(key).sort_values(key, kind="stable", ignore_index=True)


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
