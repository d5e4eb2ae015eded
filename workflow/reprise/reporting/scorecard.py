"""What the scorecard says of a paper: what was printed, what came out, the verdict, the cost, the way back."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from reprise.config import STUDY, Config
from reprise.files import read_json
from reprise.papers import MAIN, TUNED, Paper
from reprise.reporting import record, wording
from reprise.reporting.plots import Drawing
from reprise.reporting.printed import printed_claims
from reprise.reporting.results import Results
from reprise.reporting.tables import Sheet
from reprise.reporting.tidy import COSTS, STATISTICS, cells
from reprise.reporting.verdict_rows import judged, orders

NUMBER_WORDS = ("reproduced", "close", "off (high)", "off (low)", "trend", "unresolved", "not run")
CLAIM_WORDS = ("holds", "contradicted", "undecided", "not run")
BY_METHOD = ["dataset", "reading", "method"]


@dataclass(frozen=True)
class Picture:
    """A figure as a data URI, with what stands below it."""

    title: str
    caption: str
    uri: str


@dataclass(frozen=True)
class Section:
    """All that the page shows of one paper; lists of dicts are table rows, their values still numbers."""

    paper: Paper
    counts: dict[str, dict[str, int]]
    claim_counts: dict[str, dict[str, int]]
    sheets: list[Sheet]
    pictures: list[Picture]
    numbers: list[dict]
    not_run: list[tuple[str, int]]
    claims: list[dict]
    claims_not_run: list[tuple[str, int]]
    orders: list[dict]
    runs: list[dict]

    @property
    def methods(self) -> dict[str, str]:
        """What each row is, by its name, where `paper.yaml` says it."""
        return {name: row.about for name, row in self.paper.methods.items() if row.about}


def section(results: Results, claims: pd.DataFrame, sheets: list[Sheet], drawings: list[Drawing]) -> Section:
    """All of one paper: local runs first, the record for what has none, `not run` and why for the rest.

    `results` hold the record's rows (`with_record`); `claims` are the verdicts on theirs, `sheets` and `drawings` the
    tables and figures that show them.
    """
    paper = results.paper
    numbers, claims = judged(results), _in_words(paper, claims)
    runs = _runs(results)
    return Section(
        paper,
        counts=_counts(numbers, paper, NUMBER_WORDS),
        claim_counts=_counts(claims, paper, CLAIM_WORDS),
        sheets=sheets,
        pictures=[_picture(name, paper.figures[name].title, one)
                  for name, one in zip(paper.figures, drawings, strict=True)],
        numbers=_numbers(paper, numbers, runs),
        not_run=_reasons(numbers),
        claims=claims[claims["verdict"] != "not run"].to_dict("records"),
        claims_not_run=_reasons(claims),
        orders=_labelled(paper, orders(results)).to_dict("records"),
        runs=runs.to_dict("records"),
    )


def study(config: Config) -> dict:
    """The A/A study of this machine, else the one of record; empty where there is neither."""
    found = [path for path in (Path(config.results, STUDY), record.RECORD / STUDY) if path.exists()]
    return read_json(found[0]) if found else {}


def _counts(rows: pd.DataFrame, paper: Paper, words: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """How many rows have each verdict: in each reading, and once what the data hold, which is the same in all."""
    data = rows["metric"].isin(STATISTICS) if "metric" in rows else pd.Series(False, rows.index)
    first = next(iter(paper.readings))
    parts = {"the data": rows[data & (rows["reading"] == first)]} if data.any() else {}
    parts |= {reading: rows[~data & (rows["reading"] == reading)] for reading in paper.readings}
    return {name: {word: int((part["verdict"] == word).sum()) for word in words} for name, part in parts.items()}


def _reasons(rows: pd.DataFrame) -> list[tuple[str, int]]:
    """Why rows were not run, the most frequent reason first, with their number over both readings."""
    return [
        (str(reason), int(count))
        for reason, count in rows[rows["verdict"] == "not run"]["reason"].value_counts().items()
    ]


def _in_words(paper: Paper, claims: pd.DataFrame) -> pd.DataFrame:
    """Claims with their text, those that hold first."""
    return (
        claims.drop(columns="kind")
        .merge(printed_claims(paper)[["id", "text", "kind"]], on="id")
        .sort_values("verdict", key=lambda verdicts: verdicts.map(CLAIM_WORDS.index), kind="stable")
    )


def _labelled(paper: Paper, rows: pd.DataFrame) -> pd.DataFrame:
    labels = {key: entry.label for key, entry in paper.datasets.items()}
    metric = [wording.metric_label(name, k) for name, k in zip(rows["metric"], rows["k"], strict=True)]
    return rows.assign(dataset_label=rows["dataset"].map(labels), metric_label=metric)


def _numbers(paper: Paper, numbers: pd.DataFrame, runs: pd.DataFrame) -> list[dict]:
    """The printed numbers that have one of ours, as texts. A statistic is the same in every reading and shown once."""
    statistic = numbers["metric"].isin(STATISTICS)
    rows = numbers[
        (numbers["verdict"] != "not run") & (~statistic | (numbers["reading"] == next(iter(paper.readings))))
    ]
    rows = _labelled(paper, rows).merge(runs[[*BY_METHOD, "cost"]], how="left", on=BY_METHOD)
    shown = []
    for row in rows.to_dict("records"):
        decimals = int(row["decimals"])
        cell = " · ".join(
            filter(None, (f"Table {row['table']}", row["dataset_label"], row["method"], row["metric_label"]))
        )
        shown.append(
            {
                "cell": cell,
                "reading": row["reading"] if row["method"] else "all",
                "printed": wording.number(row["printed"], decimals),
                "ours": wording.mean_sd(row["mean"], row["sd"], wording.ours_decimals(decimals)),
                "seeds": str(row["seeds"]) if row["method"] else "",
                "deviation": wording.percent(row["deviation"]),
                "verdict": row["verdict"],
                "reason": row["reason"],
                "data": ", ".join(filter(None, (row["data"], row["origin"]))),
                "cost": "" if wording.missing(row["cost"]) else row["cost"],
                "command": row["command"],
            }
        )
    return shown


def _runs(results: Results) -> pd.DataFrame:
    """What the runs of each method took, a mean over seeds: wall time, epochs, steps, peak memory, and on what.

    The runs are those behind each method's own row; a search before them is not counted.
    """
    paper, config, frame = results.paper, results.config, results.frame
    frame = frame[frame["metric"].isin(COSTS) & frame["variant"].isin([MAIN, TUNED])]
    places = pd.MultiIndex.from_frame(frame[BY_METHOD])
    tuned = places.isin(places[frame["variant"] == TUNED]) & (config.tuning == "search")
    costs = cells(frame[frame["variant"] == np.where(tuned, TUNED, MAIN)])
    keys = [*BY_METHOD, "seeds", "device", "data", "origin"]
    wide = costs.pivot_table(index=keys, columns="metric", values="mean", sort=False, observed=True).reset_index()
    wide = wide.reindex(columns=[*keys, *COSTS])
    parts = zip(wide["wall_s"].map(wording.duration), wide["device"], wide["peak_bytes"].map(wording.size), strict=True)
    return wide.assign(
        cost=[", ".join(filter(None, part)) for part in parts],
        label=wide["dataset"].map({key: entry.label for key, entry in paper.datasets.items()}),
    )


def _picture(name: str, title: str, drawing: Drawing) -> Picture:
    encoded = base64.b64encode(drawing.rendered("svg")).decode("ascii")
    title = f"{name.replace('figure', 'Figure ')}. {title}"
    return Picture(title, drawing.caption, f"data:image/svg+xml;base64,{encoded}")
