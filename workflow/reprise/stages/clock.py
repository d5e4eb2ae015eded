"""Measure how long the methods of a table take to make a list, on the CPU, one after the other.

Takes the trained runs of the first seed and writes results/<paper>/<dataset>/times/<table>/<reading>.csv, a row a
method and pass, with the device and the threads that it was measured on. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from reprise.config import Config
from reprise.errors import RepriseError
from reprise.files import read_json, replacing
from reprise.papers import load_paper
from reprise.selection import run_of
from reprise.training.execution import Execution, device_name, set_up_torch
from reprise.tuning import shown_under

HELP = "measure how long the methods of a table take to make a list, on the CPU"
logger = logging.getLogger("reprise")
BUSY = 1.5  # load of the last minute; this process and its start make one


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name the table, and where its runs are."""
    parser.add_argument("paper")
    parser.add_argument("dataset")
    parser.add_argument("table", help="a table of kind times")
    parser.add_argument("reading")


def main(args: argparse.Namespace, config: Config) -> None:
    """Measure and write; raises RepriseError where there is nothing to measure."""
    paper = load_paper(args.paper)
    exhibit = paper.tables.get(args.table)
    if exhibit is None or exhibit.kind != "times":
        raise RepriseError(f"clock {args.paper} {args.table}", expected="a table of kind times", found=args.table)
    set_up_torch("cpu", config.threads)
    from reprise.evaluation.timing import clock

    methods, shown = {}, shown_under(paper, exhibit, config)
    for label in (*exhibit.methods, *exhibit.floor):
        run = run_of(paper, label, args.dataset, args.reading, config.seeds[0], shown)
        if run is None:
            continue
        execution = Execution(run, config, "cpu")
        path = execution.folder / "run.json"
        record = read_json(path) if path.exists() else {}
        if record.get("code") == execution.code:
            methods[label] = _on_cpu(execution, record)
        else:
            logger.info("%s: not measured, as it has no finished run", label)
    if not methods:
        raise RepriseError(f"clock {args.table}", expected="a finished run of one of its rows", found="none")
    if (load := os.getloadavg()[0]) > BUSY:
        logger.warning("clock: the machine is at work on something else (load %.1f); seconds will be too long", load)
    seconds = clock(methods, max(exhibit.ks), exhibit.one_by_one, exhibit.kept)
    rows = [(label, number, value) for label, values in seconds.items() for number, value in enumerate(values, 1)]
    path = Path(config.results, args.paper, args.dataset, "times", args.table, f"{args.reading}.csv")
    with replacing(path) as beside:
        measured = pd.DataFrame(rows, columns=["method", "pass", "seconds"])
        measured.assign(device=device_name("cpu"), threads=config.threads).to_csv(beside, index=False)
    for label, values in seconds.items():
        logger.info("%s: %.3g s a list, median of %d passes", label, statistics.median(values), len(values))


def _on_cpu(execution: Execution, record: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """A finished run's method, what it ranks for, and its inference setting; on the CPU, whatever trained it."""
    if record["cell"] != execution.cell:  # what it re-ranks lies in the store beside it, under a GPU's name
        execution.behind = replace(execution.behind, device="cuda")
    selected = record["selected"]
    method = execution.trained(execution.folder / selected["list"], "test")
    return method, execution.ranking("test"), selected["setting"]
