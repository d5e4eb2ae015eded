"""Say before running what a target needs: how many runs, hours and gigabytes, and what is not run and why.

Hours are a measured time per step times the steps that a run took, at most those that `max_epochs` allows.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from reprise import selection
from reprise.config import Config
from reprise.data.catalogue import RECEIPT, load_catalogue
from reprise.errors import RepriseError
from reprise.files import read_json
from reprise.papers import TUNED, Paper, Run, resolve
from reprise.papers.specs import only_lists
from reprise.reporting.record import newest, read_runs
from reprise.reporting.regression import recorded_runs
from reprise.selection import Planned
from reprise.sourcecode import trainer_of
from reprise.targets import Targets
from reprise.training.store import entries
from reprise.tuning import Search, search_of

HELP = "count the runs, hours and gigabytes of a target"
CELL = ["dataset", "method", "reading", "only_lists"]
COST = ["wall_s", "steps", "bytes", "device"]
# Steps of an epoch by trainer, of the interactions that it trains on and the size of a batch.
STEPS = {
    "trainer": lambda interactions, batch: interactions // batch + 1,
    "shuffled": lambda interactions, batch: max(1, interactions // batch),
    "rows": lambda interactions, batch: 2 * interactions // batch,
    "alternating": lambda interactions, batch: 1,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name the target, as for snakemake."""
    parser.add_argument(
        "target", nargs="?", default="all", help="all, a paper, a table or figure (macr_table2), or regression"
    )


def main(args: argparse.Namespace, config: Config) -> None:
    """Print the plan; nothing is fetched, trained or written."""
    papers = {paper.name: paper for paper in selection.papers(config)}
    targets = Targets(papers, Path(config.results)).exhibits
    if args.target not in (*targets, "regression"):
        raise RepriseError(
            f"target {args.target!r}", expected="one of " + ", ".join([*targets, "regression"]), found=args.target
        )
    print(f"{args.target}:")
    for paper in papers.values():
        names = [name for owner, name in targets.get(args.target, ()) if owner == paper.name]
        if args.target == "regression":
            planned = [selection.planned(paper, run, config) for run in recorded_runs(paper, config)]
        else:
            planned = selection.plan(paper, names, config)
        if names or planned:
            print("\n".join(f"  {line}" for line in describe(paper, planned, config)))


def describe(paper: Paper, planned: list[Planned], config: Config) -> Iterable[str]:
    """The plan of one paper, line by line."""
    possible = [one for one in planned if one.reason is None]
    waiting = [one for one in possible if not _finished(one, config)]
    yield f"{paper.name}: {len(planned)} runs selected, {len(possible) - len(waiting)} finished, {len(waiting)} to run"
    costs = measured_costs(paper, config)
    yield from _searches(paper, possible, costs, config)
    expected = [expect(paper, one, costs, config) for one in waiting]
    timed = [one for one in expected if one]
    if timed:
        seconds = sum(one.seconds for one in timed)
        devices = ", ".join(sorted({one.device for one in timed}))
        yield (
            f"time: {seconds / 3600:.1f} h of one process for {len(timed)} runs, from step times seen on {devices}; "
            "--cores N divides it by N"
        )
    borrowed = sum(one.borrowed for one in timed)
    if borrowed:
        yield f"time: {borrowed} of them were measured in another reading only"
    unknown: dict[str, list[Run]] = {}
    for one in (one for one, cost in zip(waiting, expected, strict=True) if cost is None):
        unknown.setdefault(one.run.dataset, []).append(one.run)
    for dataset, runs in unknown.items():
        methods = dict.fromkeys(run.method for run in runs)
        named = ", ".join(methods) if len(methods) < 4 else f"{len(methods)} methods"
        yield f"time: not measured for {len(runs)} runs on {dataset}: {named}"
    missing = list(_to_fetch(paper, {one.run.dataset for one in waiting}, config))
    fetched = sum(size or 0 for size in missing)
    sizes = [one.bytes for one in timed if not pd.isna(one.bytes)]
    parts = f"{fetched / 1e9:.2f} to fetch, {sum(sizes) / 1e9:.2f} of runs"
    if blank := missing.count(None):
        parts += f"; {blank} files of unknown size"
    if len(sizes) < len(waiting):
        parts += f"; {len(waiting) - len(sizes)} runs of unknown size"
    yield f"space: {(fetched + sum(sizes)) / 1e9:.2f} GB ({parts})"
    reasons = Counter((one.run.dataset, one.reason) for one in planned if one.reason)
    for (what, reason), count in reasons.items():
        yield f"not run: {count} runs of {what}: {reason}"


def _searches(paper: Paper, possible: list[Planned], costs: pd.DataFrame, config: Config) -> Iterable[str]:
    """What the searches still to make will take. A trial is taken for a run, which trains once more where it refits."""
    searches: dict[Search, Planned] = {}
    for one in possible:
        run = one.run
        search = search_of(run.paper, run.dataset, run.method, run.reading, config)
        if run.variant == TUNED and search.chosen(config) is None:
            searches[search] = one
    if not searches:
        return
    expected = {search: expect(paper, one, costs, config) for search, one in searches.items()}
    yield f"searches: {len(searches)} to make, {sum(len(search.specs) for search in searches)} trials"
    hours = sum(len(search.specs) * one.seconds for search, one in expected.items() if one) / 3600
    if hours:
        yield f"searches: {hours:.1f} h of one process, if a trial takes as long as a run with published settings"
    for search, one in expected.items():
        if one is None:
            yield (
                f"searches: not measured for {len(search.specs)} trials of {search.method} on {search.dataset}, "
                f"{search.reading}"
            )


@dataclass(frozen=True)
class Expected:
    """What a run will take: seconds of one process, bytes in the store (NaN: not known), and where that was seen."""

    seconds: float
    bytes: float
    device: str
    borrowed: bool


def expect(paper: Paper, one: Planned, costs: pd.DataFrame, config: Config) -> Expected | None:
    """Expect of a run what its cell took, or else what its method took in another reading; None if neither ran."""
    dataset, method, reading = _cell(one)
    lists = only_lists(paper, one.run.label)
    alike = costs[(costs["dataset"] == dataset) & (costs["method"] == method) & (costs["only_lists"] == lists)]
    own = alike[alike["reading"] == reading]
    seen = own if len(own) else alike
    if seen.empty:
        return None
    steps, seconds = seen["steps"].median(), seen["wall_s"].median()
    if steps:
        seconds = (seen["wall_s"] / seen["steps"]).median() * min(steps, _most_steps(paper, one, config))
    return Expected(seconds, seen["bytes"].median(), seen["device"].iloc[-1], not len(own))


def _most_steps(paper: Paper, one: Planned, config: Config) -> float:
    """The steps of a run that is never stopped early: all epochs of the search and, if there is one, of the refit.

    Infinite where an epoch is no number of interactions: sequences and texts are cut into samples by the trainer.
    """
    training = resolve(paper, one.run.dataset, one.run.reading, one.run.label, config.max_epochs)["training"]
    method = paper.methods[one.run.method].method
    of_epoch = STEPS.get(trainer_of(method)) if method else None
    stats = Path(config.results, paper.name, one.run.dataset, "data", "stats.json")
    counts = read_json(stats) if stats.exists() else paper.dataset(one.run.dataset).expect

    def steps(part: str) -> float:
        if of_epoch is None or part not in counts:
            return math.inf
        return training["max_epochs"] * of_epoch(counts[part], training["batch"])

    return steps(training["fit_on"]) + (steps("train+valid") if training["refit"] else 0)


def _cell(one: Planned) -> tuple[str, str, str]:
    return one.run.dataset, one.run.method, one.run.reading


def _finished(one: Planned, config: Config) -> bool:
    path = Path(config.results, one.run.folder, "run.json")
    return path.exists() and read_json(path)["code"] == one.code


def measured_costs(paper: Paper, config: Config) -> pd.DataFrame:
    """What each known run took: `CELL + COST`, a row a run.

    A cell's rows come from this machine's results where there are any, else from the record, which holds no sizes.
    """
    rows = []
    held = entries(Path(config.resources, "store"))
    for path in Path(config.results, paper.name).glob("*/runs/*/*/seed*/run.json"):
        run, cost = read_json(path), read_json(path.with_name("cost.json"))
        run["only_lists"] = _only_lists(paper, run["method"], run["variant"])
        size = _size(held.get(run["fingerprint"]))
        rows.append({**{name: run[name] for name in CELL}, **{name: cost.get(name) for name in COST}, "bytes": size})
    here = pd.DataFrame(rows, columns=[*CELL, *COST])
    record = newest(read_runs(paper.name))
    record = record[record["metric"].isin(["wall_s", "steps"])]
    rows = record[["method", "variant"]].to_numpy(object).tolist()
    record = record.assign(only_lists=pd.Series([_only_lists(paper, *row) for row in rows], record.index, dtype=bool))
    one = [*CELL, "variant", "seed", "fingerprint", "device"]
    wide = record.pivot(index=one, columns="metric", values="value").reset_index()
    wide = wide[~wide.set_index(CELL).index.isin(here.set_index(CELL).index)].assign(bytes=math.nan)
    both = [frame[[*CELL, *COST]] for frame in (here, wide) if len(frame)]
    return pd.concat(both, ignore_index=True) if both else here


def _only_lists(paper: Paper, method: str, variant: str) -> bool:
    label = Run(paper.name, "", "", "", method, variant, 0).label
    return paper.has_row(label) and only_lists(paper, label)


def _size(folder: Path | None) -> float:
    if folder is None:
        return math.nan
    return float(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))


def _to_fetch(paper: Paper, datasets: set[str], config: Config) -> Iterable[int | None]:
    """Bytes of each file that the data sets still need, None where the catalogue does not know them."""
    for name in dict.fromkeys(name for key in datasets for name in paper.dataset(key).readers):
        source = load_catalogue()[name]
        if not Path(config.resources, "raw", source.key, RECEIPT).exists():
            yield from (file.bytes for file in source.files)
