"""Say before running what a target needs: how many runs, hours and gigabytes, and what is not run and why."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from reprise import selection
from reprise.config import Config
from reprise.data.catalogue import RECEIPT, load_catalogue
from reprise.errors import RepriseError
from reprise.files import read_json
from reprise.papers import Paper
from reprise.reporting.record import read_runs
from reprise.selection import Planned
from reprise.targets import Targets
from reprise.training.store import entries

HELP = "count the runs, hours and gigabytes of a target"
CELL = ["dataset", "method", "reading"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name the target, as for snakemake."""
    parser.add_argument("target", nargs="?", default="all", help="all, a paper, a table or figure: macr_table2")


def main(args: argparse.Namespace, config: Config) -> None:
    """Print the plan; nothing is fetched, trained or written."""
    papers = {paper.name: paper for paper in selection.papers(config)}
    targets = Targets(papers, Path(config.results)).exhibits
    if args.target not in targets:
        raise RepriseError(f"target {args.target!r}", expected="one of " + ", ".join(targets), found=args.target)
    print(f"{args.target}:")
    for paper in papers.values():
        names = [name for owner, name in targets[args.target] if owner == paper.name]
        if names:
            print("\n".join(f"  {line}" for line in describe(paper, selection.plan(paper, names, config), config)))


def describe(paper: Paper, planned: list[Planned], config: Config) -> Iterable[str]:
    """The plan of one paper, line by line."""
    possible = [one for one in planned if one.reason is None]
    waiting = [one for one in possible if not _finished(one, config)]
    yield f"{paper.name}: {len(planned)} runs selected, {len(possible) - len(waiting)} finished, {len(waiting)} to run"
    costs = measured_costs(paper.name, config)
    found = [costs.loc[key] for one in waiting if (key := _cell(one)) in costs.index]
    seconds, size = sum(one["wall_s"] for one in found), sum(one["bytes"] for one in found)
    unknown = Counter(_cell(one) for one in waiting if _cell(one) not in costs.index)
    if found:
        hours = f"{seconds / 3600:.1f} h of one process for {len(found)} runs"
        yield f"time: {hours}, from measured runs; --cores N divides it by N"
    for (dataset, method, reading), count in unknown.items():
        yield f"time: not measured for {count} runs of {method} on {dataset}, {reading}"
    fetched = sum(_to_fetch(paper, {one.run.dataset for one in waiting}, config))
    parts = f"{fetched / 1e9:.2f} to fetch, {size / 1e9:.2f} of runs, as far as measured"
    yield f"space: {(fetched + size) / 1e9:.2f} GB ({parts})"
    reasons = Counter(
        (one.run.dataset, one.reason) if paper.methods[one.run.method].not_run is None else (one.run.method, one.reason)
        for one in planned
        if one.reason
    )
    for (what, reason), count in reasons.items():
        yield f"not run: {count} runs of {what}: {reason}"


def _cell(one: Planned) -> tuple[str, str, str]:
    return one.run.dataset, one.run.method, one.run.reading


def _finished(one: Planned, config: Config) -> bool:
    path = Path(config.results, one.run.folder, "run.json")
    return path.exists() and read_json(path)["code"] == one.code


def measured_costs(paper: str, config: Config) -> pd.DataFrame:
    """Median wall time (s) and size (bytes) of a run, by data set, method and reading.

    Times come from this machine's results where there are any, else from the record; sizes from this machine's store.
    """
    rows = []
    for path in Path(config.results, paper).glob("*/runs/*/*/seed*/run.json"):
        run = read_json(path)
        wall = read_json(path.with_name("cost.json"))["wall_s"]
        rows.append({**{name: run[name] for name in CELL}, "wall_s": wall, "fingerprint": run["fingerprint"]})
    here = pd.DataFrame(rows, columns=[*CELL, "wall_s", "fingerprint"])
    held = entries(Path(config.resources, "store"))
    here["bytes"] = [_size(held.get(name)) for name in here["fingerprint"]]
    record = read_runs(paper)
    record = record[record["metric"] == "wall_s"].rename(columns={"value": "wall_s"}).assign(bytes=0.0)
    of_record = record[~record.set_index(CELL).index.isin(here.set_index(CELL).index)]
    both = [frame[[*CELL, "wall_s", "bytes"]] for frame in (here, of_record) if len(frame)]
    if not both:
        return pd.DataFrame(columns=["wall_s", "bytes"], index=pd.MultiIndex.from_arrays([[]] * 3, names=CELL))
    return pd.concat(both).groupby(CELL)[["wall_s", "bytes"]].median()


def _size(folder: Path | None) -> float:
    return float(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())) if folder else 0.0


def _to_fetch(paper: Paper, datasets: set[str], config: Config) -> Iterable[int]:
    """Bytes of each file that the data sets still need, where the catalogue knows them."""
    for key in datasets:
        source = load_catalogue()[paper.dataset(key).source]
        if not Path(config.resources, "raw", source.key, RECEIPT).exists():
            yield from (file.bytes or 0 for file in source.files)
