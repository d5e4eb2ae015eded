"""A verdict for every printed number in every reading, and how well the printed order of the methods holds."""

from __future__ import annotations

import shlex

import pandas as pd

from reprise.config import Config
from reprise.evaluation.significance import kendall
from reprise.papers import MAIN, TUNED, Paper, load_paper, resolve
from reprise.reporting.printed import printed_numbers
from reprise.reporting.results import Results, under_labels
from reprise.reporting.shortcuts import Taken
from reprise.reporting.tidy import OF_USERS, STATISTICS, cells
from reprise.reporting.verdicts import UNKNOWN, UNRESOLVED, Circumstances, judge_number
from reprise.reporting.wording import missing
from reprise.selection import licences_of

COLUMNS = [
    "table",
    "reading",
    "dataset",
    "backbone",
    "method",
    "metric",
    "k",
    "group",
    "printed",
    "mean",
    "sd",
    "seeds",
    "deviation",
    "verdict",
    "reason",
    "command",
]
ORDER = ["table", "dataset", "reading", "metric", "k", "group", "tau_b", "n", "low", "high"]
ELSEWHERE = ("response_time",)  # what was printed of it holds for the authors' machine alone
SLOT = ["table", "dataset", "method", "metric", "k", "group"]


def judged(results: Results) -> pd.DataFrame:
    """Judge every printed number in every reading.

    Returns
    -------
    DataFrame
        `COLUMNS`, then `decimals`, `data` and `origin`; a number without a run says `not run` and why.
    """
    printed = printed_numbers(results.paper)
    ours = _ours(results, printed).drop(columns="backbone")
    first: list[dict] = []  # the verdicts of the reading that printed the numbers
    parts, taken = [], {
        table: Taken(results.under(f"table{table}"), _labels(results.paper, rows))
        for table, rows in printed.groupby("table")
    }
    for reading in results.paper.readings:
        # A statistic belongs to the data, whatever the reading.
        mine = ours[ours["reading"].isin([reading, ""])]
        merged = printed.merge(mine.drop(columns="reading"), how="left", on=SLOT)
        records = merged.to_dict("records")
        rows = [_judged(results, reading, record, taken[record["table"]], before)
                for record, before in zip(records, first or [{}] * len(records), strict=True)]
        first = first or rows
        parts.append(pd.DataFrame(rows, columns=[*COLUMNS, "decimals", "data", "origin"]))
    return pd.concat(parts, ignore_index=True)


def _ours(results: Results, printed: pd.DataFrame) -> pd.DataFrame:
    """Our cells behind the printed rows, each table's with its number as `table`."""
    parts = []
    for table, rows in printed.groupby("table", sort=False):
        view, labels = results.under(f"table{table}"), _labels(results.paper, rows)
        parts.append(cells(under_labels(view, view.frame, labels)).assign(table=table))
    return pd.concat(parts, ignore_index=True)


def _labels(paper: Paper, printed: pd.DataFrame) -> tuple[str, ...]:
    """The paper's rows among those of printed numbers."""
    return tuple(filter(paper.has_row, dict.fromkeys(filter(None, printed["method"]))))


def _judged(results: Results, reading: str, record: dict, taken: Taken, first: dict) -> dict:
    """The verdict on one printed number in one reading; `first` is that in the reading that printed it, if another."""
    paper, exact = results.paper, record["metric"] in STATISTICS
    exhibit = f"table{record['table']}"
    results = results.under(exhibit)
    dataset, method = record["dataset"], record["method"]
    values = () if exhibit not in paper.exhibits or missing(record["mean"]) else record["values"]
    reason = (
        results.reason(dataset, "" if exact else reading, method)
        if exhibit in paper.exhibits
        else f"Table {record['table']} is printed elsewhere and not among ours"
    )
    cause = Circumstances(
        data="official" if missing(record["data"]) else record["data"],
        trend=(paper.datasets[dataset].trend or "") if values else "",
        protocol="" if exact or not values else departure(paper, dataset, reading, method, record["variant"]),
        shortcut="" if exact or not values else taken.text(dataset, reading, method),
        users_error=_users_error(results, dataset, reading, method, record) if values and not exact else 0.0,
        missing=reason,
        unexplained=first["verdict"] if first.get("reason") == UNKNOWN and not exact else "",
        misprint=paper.datasets[dataset].misprints.get(record["metric"], "") if exact else "",
    )
    verdict = judge_number(
        record["printed"],
        int(record["decimals"]),
        values,
        None if missing(record["gap"]) else record["gap"],
        cause,
        exact,
    )
    if record["metric"] in ELSEWHERE and values:
        verdict = verdict._replace(verdict=UNRESOLVED, reason="seconds of another machine: compare the ratios")
    built = exhibit in paper.exhibits and dataset in paper.datasets and (not method or paper.has_row(method))
    config = results.config
    if values and not exact:  # its own seeds and epochs, whatever is selected now
        cap = taken.cap(dataset, reading, method) or config.max_epochs
        config = config.model_copy(update={"seeds": tuple(map(int, record["which"])), "max_epochs": cap})
    command = remake(paper.name, exhibit, config, dataset, reading, method) if built else ""
    if command and cause.data in ("rebuilt", "recovered"):
        command += f"  # with official data; here they were {cause.data}"
    known = {
        name: record[name]
        for name in ("table", "dataset", "backbone", "method", "metric", "k", "group", "printed", "decimals")
    }
    told = {name: "" if missing(record[name]) else record[name] for name in ("data", "origin")}
    return {**known, **verdict._asdict(), **told, "reading": reading, "command": command}


def departure(paper: Paper, dataset: str, reading: str, method: str, variant: str = MAIN) -> str:
    """The switches in which a reading departs from the first one of `paper.yaml`, which is what printed the numbers.

    Of a tuned run the settings depart as well, whichever they are.
    """
    original = next(iter(paper.readings))
    if reading == original:
        return ""
    base, here = (resolve(paper, dataset, name, method) for name in (original, reading))
    changed = [
        f"{key}={here[part][key]} for {base[part].get(key)}"
        for part in here
        if part not in ("starts_from", "updates_of", "reranks")  # other runs, which depart in the same way
        for key in here[part]
        if here[part][key] != base[part].get(key)
    ]
    return "; ".join([*changed, *(["tuning=search"] if variant == TUNED else [])])


def remake(paper: str, exhibit: str, config: Config, dataset: str, reading: str, method: str) -> str:
    """The command that makes one cell again; of a table of times with the row that ratios are over."""
    chosen, entry = {"datasets": dataset}, load_paper(paper)
    if licences := licences_of(entry.datasets[dataset]):
        chosen["licences"] = ",".join(sorted(licences))
    if method:
        # The machine is part of what a run is; named only where it is not what everybody gets.
        machine = {key: getattr(config, key) for key in ("device", "threads", "processes")}
        named = {key: str(value) for key, value in machine.items() if value != Config.model_fields[key].default}
        first = entry.timed[exhibit].methods[:1] if exhibit in entry.timed else ()
        names = dict.fromkeys(entry.row(label)[0] for label in (*first, method))
        chosen |= {"methods": ",".join(names), "readings": reading, **named, "seeds": _seeds(config.seeds)}
        if config.tuning == "search":
            chosen |= {"tuning": "search", "trials": str(config.trials)}
    if config.max_epochs is not None:
        chosen["max_epochs"] = str(config.max_epochs)
    settings = shlex.join(f"{key}={value}" for key, value in chosen.items())
    return f".venv/bin/snakemake --cores all {paper}_{exhibit} --config {settings}"


def _seeds(seeds: tuple[int, ...]) -> str:
    """Seeds as a command line takes them: a number n stands for 1..n, so a lone other seed needs its brackets."""
    if seeds == tuple(range(1, len(seeds) + 1)):
        return str(len(seeds))
    return ",".join(map(str, seeds)) if len(seeds) > 1 else f"[{seeds[0]}]"


def _users_error(results: Results, dataset: str, reading: str, method: str, record: dict) -> float:
    """Standard error over users of the seed-averaged metric; 0 where nothing is known of them, as of response times."""
    if record["metric"] not in OF_USERS:
        return 0.0
    found = results.sample(dataset, reading, method, record["metric"], int(record["k"]))
    return found.users_error() if found else 0.0


def orders(results: Results) -> pd.DataFrame:
    """Kendall's tau-b between the printed order of the methods and ours, per table, data set, metric and reading."""
    printed = printed_numbers(results.paper)
    printed = printed[printed["method"] != ""]
    ours = _ours(results, printed)
    values = {tuple(map(str, key)): one for *key, one in ours[["reading", *SLOT, "values"]].to_numpy(object).tolist()}
    rows = []
    for (table, dataset, metric, k, group), part in printed.groupby(
        ["table", "dataset", "metric", "k", "group"], sort=False, dropna=False
    ):
        for reading in results.paper.readings:
            where = (metric, str(k), group)
            runs = [values.get((reading, table, dataset, method, *where), ()) for method in part["method"]]
            if sum(map(bool, runs)) >= 2 and f"table{table}" in results.paper.exhibits:
                rows.append((table, dataset, reading, metric, k, group, *_kendall(part["printed"], runs)))
    return pd.DataFrame(rows, columns=ORDER)


def _kendall(printed: pd.Series, runs: list) -> tuple[float, int, float, float]:
    found = kendall(printed.to_list(), runs)
    return found.tau_b, found.n, found.low, found.high
