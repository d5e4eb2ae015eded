"""A paper's table as data: built once as a frame, laid out once as a sheet, rendered four ways elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from reprise.evaluation.groups import group_names
from reprise.evaluation.significance import SEEDS_ALONE
from reprise.papers import Exhibit, Gain, Paper
from reprise.reporting.comparisons import LOWER_IS_BETTER
from reprise.reporting.gains import gain_rows
from reprise.reporting.printed import printed_numbers
from reprise.reporting.results import Results, selects_on_test, under_labels
from reprise.reporting.shortcuts import Taken
from reprise.reporting.tidy import cells
from reprise.reporting.wording import mean_sd, metric_label, missing, number, ours_decimals, searched_text, seeds_text
from reprise.selection import datasets_of

COLUMNS = [
    "dataset",
    "backbone",
    "method",
    "metric",
    "k",
    "group",
    "reading",
    "printed",
    "mean",
    "sd",
    "seeds",
    "best",
    "mark",
    "origin",
    "data",
    "remark",
    "reason",
]
LEVEL = 0.05
BETTER, WORSE = "*", "†"
MARKS = {BETTER: "significantly better than", WORSE: "significantly worse than"}


@dataclass(frozen=True)
class Entry:
    """One cell as a reader sees it; `note` is the number of a footnote."""

    text: str = ""
    bold: bool = False
    mark: str = ""
    note: int | None = None


@dataclass(frozen=True)
class Block:
    """The part of a sheet that belongs to one data set (or, for statistics, all of it)."""

    title: str
    heads: list[tuple[str, int]]
    columns: list[str]
    rows: list[tuple[str, list[Entry]]]
    remark: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table, ready to be rendered: blocks, then numbered footnotes, then remarks."""

    name: str
    title: str
    blocks: list[Block]
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def table_frame(name: str, results: Results, significance: pd.DataFrame) -> pd.DataFrame:
    """Build a table: a row a cell and reading, in the paper's order, with the printed number beside ours.

    A statistic has no reading. Beside `COLUMNS` come `decimals`; `searched` and `sizes`, what is to be said of settings
    that were searched and of groups; `alone`, whether a mark rests on seeds alone.
    """
    paper, exhibit, results = results.paper, results.paper.exhibits[name], results.under(name)
    frame = results.frame
    keys = ["dataset", "method", "metric", "k", "group", "reading"]
    groups = _groups(paper, exhibit)
    grid = pd.DataFrame(_grid(results, exhibit), columns=keys).astype({"k": "Int64"})
    printed = printed_numbers(paper)
    printed = printed[(printed["table"] == name.removeprefix("table")) & printed["group"].isin(groups)]
    rows = (*exhibit.methods, *exhibit.floor)
    ours = cells(under_labels(results, frame[frame["group"].isin(groups)], rows))
    table = grid.merge(printed[[*keys[:-1], "printed", "decimals"]], how="left", on=keys[:-1])
    measured = ["variant", "mean", "sd", "seeds", "data", "origin"]
    table = table.merge(ours[[*keys, *measured]], how="left", on=keys)
    table = table.merge(_marks(paper, name, significance), how="left", on=keys)
    table["backbone"] = table["method"].map(lambda label: paper.method(label).backbone if label else "")
    height = table["mean"].where(~table["metric"].isin(LOWER_IS_BETTER), -table["mean"])
    columns = [table[key] for key in ("dataset", "metric", "k", "group", "reading")]
    table["best"] = (
        table["mean"].notna()
        & (table["method"] != "")
        & (height == height.groupby(columns, dropna=False).transform("max"))
    )
    table["reason"] = [
        results.reason(dataset, reading, method) if missing(mean) else ""
        for dataset, reading, method, mean in zip(
            table["dataset"], table["reading"], table["method"], table["mean"], strict=True
        )
    ]
    taken = Taken(results, rows)
    table["remark"] = [
        "" if missing(mean) or not label else taken.text(dataset, reading, label)
        for dataset, reading, label, mean in zip(
            table["dataset"], table["reading"], table["method"], table["mean"], strict=True
        )
    ]
    for column in ("variant", "mark", "origin", "data"):
        table[column] = table[column].fillna("")
    said = {"searched": searched_text(table, results.config.trials), "sizes": _sizes(paper, exhibit, frame)}
    alone = table["mark"].ne("") & table["alone"].eq(True)
    return table[[*COLUMNS, "decimals"]].assign(**said, alone=alone)


def _groups(paper: Paper, exhibit: Exhibit) -> list[str]:
    """The groups that a table's columns are over, "" where they are over everybody."""
    return group_names(exhibit.groups, paper.groups[exhibit.groups]) if exhibit.groups else [""]


def _sizes(paper: Paper, exhibit: Exhibit, frame: pd.DataFrame) -> str:
    """How many users are in each group of a table over groups."""
    if not exhibit.groups:
        return ""
    counts = frame[(frame["metric"] == "users") & frame["group"].isin(_groups(paper, exhibit))]
    said = [
        f"{paper.datasets[dataset].label}: " + ", ".join(
            f"{group} {value:,.0f}" for group, value in rows[["group", "value"]].to_numpy(object).tolist())
        for dataset, rows in counts.groupby("dataset", sort=False)
    ]
    return f"Users in each group: {'; '.join(said)}." if said else ""


def _grid(results: Results, exhibit: Exhibit) -> list[tuple]:
    # What a configuration leaves out keeps its place, with the reason: a table always renders, and always whole.
    stand_ins = [key for key in datasets_of(results.paper, exhibit, results.config) if key not in exhibit.datasets]
    statistics = exhibit.kind == "statistics"
    return [
        (dataset, method, metric, k, group, reading)
        for dataset in (*exhibit.datasets, *stand_ins)
        for method in ((*exhibit.methods, *exhibit.floor) if not statistics else ("",))
        for metric in exhibit.metrics
        for k in (exhibit.ks if exhibit.kind == "metrics" else (pd.NA,))
        for group in _groups(results.paper, exhibit)
        for reading in (results.paper.readings if not statistics else ("",))
    ]


def _marks(paper: Paper, name: str, significance: pd.DataFrame) -> pd.DataFrame:
    """Mark a method against the reference of its backbone: adjusted p below LEVEL and an interval on one side of 0."""
    keys = ["dataset", "method", "metric", "k", "reading"]
    rows = significance[significance["exhibit"] == name].rename(columns={"lhs": "method"})
    reference = {label: paper.reference.get(paper.method(label).backbone) for label in rows["method"].unique()}
    rows = rows[(rows["method"].map(reference) == rows["rhs"]) & (rows["p_adjusted"] < LEVEL)]
    above, below = rows["low"] > 0, rows["high"] < 0
    lower = rows["metric"].isin(LOWER_IS_BETTER)
    mark = np.select([above.where(~lower, below), below.where(~lower, above)], [BETTER, WORSE], "")
    alone = rows["note"].str.contains(SEEDS_ALONE, regex=False)
    return rows.assign(mark=mark, alone=alone, group="")[[*keys, "group", "mark", "alone"]]


def lay_out(name: str, paper: Paper, table: pd.DataFrame) -> Sheet:
    """Lay a table's frame out for reading: a block a data set, the paper and our readings side by side."""
    exhibit = paper.exhibits[name]
    notes: list[str] = []

    def note(reason: str) -> int:
        if reason not in notes:
            notes.append(reason)
        return notes.index(reason) + 1

    parts = {str(key): part for key, part in table.groupby("dataset", sort=False)}
    titles = {key: _title(paper, key, part) for key, part in parts.items()}
    if exhibit.kind == "statistics":
        blocks = [_block(table, "dataset", "", titles.__getitem__, note)]
    else:
        blocks = [_block(part, "method", titles[key], str, note, exhibit.gains) for key, part in parts.items()]
    return Sheet(
        name,
        exhibit.title,
        blocks,
        notes,
        [
            *filter(None, [exhibit.caption, *table["searched"].unique(), *table["sizes"].unique()]),
            *_remarks(paper, table),
        ],
    )


def _title(paper: Paper, dataset: str, part: pd.DataFrame) -> str:
    status = ", ".join(sorted(set(part["data"]) - {""}))
    label = paper.datasets[dataset].label
    return f"{label} ({status} data)" if status and status != dataset else label


def _block(
    part: pd.DataFrame, row: str, title: str, label: Callable[[str], str], note: Callable[[str], int],
    gains: Sequence[Gain] = (),
) -> Block:
    """One block; where nothing was run for one and the same reason, that is said once and only the print is shown."""
    columns = ["metric", "k", "group"]
    records = part.to_dict("records")
    printed = _grouped([record for record in records if not missing(record["printed"])], "dataset", *columns)
    reasons = set(part["reason"])
    nothing = part["mean"].isna().all() and len(reasons) == 1
    by_print, readings = part["printed"].notna().any(), [] if nothing else list(part["reading"].unique())
    titles = (["paper"] if by_print else []) + [f"ours, {reading}" if reading else "ours" for reading in readings]
    heads = [(", ".join(filter(None, (metric_label(metric, k), group))), len(titles))
             for metric, k, group in _grouped(records, *columns)]
    rows = []
    for (key,), mine in _grouped(records, row).items():
        if nothing and all(missing(record["printed"]) for record in mine):
            continue
        entries = []
        for cell in _grouped(mine, *columns).values():
            if by_print:
                entries.append(_printed(cell[0], printed))
            entries += [_ours(record, note) for record in cell if record["reading"] in readings]
        rows.append((label(key), entries))
    if not titles:
        return Block(title, [], [], [], f"not run: {reasons.pop()}")
    rows += [(name, list(map(Entry, cells))) for name, cells in gain_rows(gains, part, columns, readings, by_print)]
    return Block(title, heads, titles * len(heads), rows, f"ours not run: {reasons.pop()}" if nothing else "")


def _grouped(records: list[dict], *keys: str) -> dict[tuple, list[dict]]:
    """Records by what they hold under `keys`, in order of appearance; a frame's groupby takes a millisecond a group."""
    groups: dict[tuple, list[dict]] = {}
    for record in records:
        groups.setdefault(tuple(record[key] for key in keys), []).append(record)
    return groups


def _printed(record: dict, printed: dict[tuple, list[dict]]) -> Entry:
    if missing(record["printed"]):
        return Entry("–")
    rivals = [rival["printed"] for rival in printed[tuple(record[key] for key in ("dataset", "metric", "k", "group"))]]
    best = record["printed"] == (min if record["metric"] in LOWER_IS_BETTER else max)(rivals)
    return Entry(number(record["printed"], int(record["decimals"])), bold=bool(record["method"]) and best)


def _ours(record: dict, note: Callable[[str], int]) -> Entry:
    if missing(record["mean"]):
        return Entry("not run", note=note(f"not run: {record['reason']}"))
    said = "; ".join(filter(None, (record["origin"], record["remark"])))
    decimals = 4 if missing(record["decimals"]) else ours_decimals(int(record["decimals"]))
    if missing(record["decimals"]) and not record["method"]:
        decimals = 0 if float(record["mean"]).is_integer() else 6
    return Entry(
        mean_sd(record["mean"], record["sd"], decimals),
        bool(record["best"]),
        record["mark"],
        note(said) if said else None,
    )


def _remarks(paper: Paper, table: pd.DataFrame) -> list[str]:
    """Say what the numbers and marks mean, as far as the table has any."""
    ran = table[table["mean"].notna() & (table["method"] != "")]
    if ran.empty:
        return []
    said = [f"Ours: mean ± standard deviation over {seeds_text(ran['seeds'])}; bold is the best of its column."]
    other = paper.reference.get("", "the plain backbone of its row")
    test = f"Welch over seeds, Holm-adjusted p < {LEVEL:g}; interval over seeds and users without 0"
    if ran["alone"].any():
        test += ", over seeds alone where the record has no users"
    said += [
        f"{mark} {meaning} {other} ({test})."
        for mark, meaning in MARKS.items()
        if (ran["mark"] == mark).any()
    ]
    places = ran.drop_duplicates(["dataset", "reading"])[["dataset", "reading", "method"]].itertuples(index=False)
    if any(selects_on_test(paper, dataset, reading, method) for dataset, reading, method in places):
        said.append("A reading that selects on the test set carries no significance marks.")
    return said
