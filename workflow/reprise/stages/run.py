"""Train, recommend and evaluate one run in one process; what the store holds already is only linked."""

from __future__ import annotations

import argparse

from reprise.config import Config
from reprise.papers import Run, load_paper, preset_name, variant_of
from reprise.papers.schema import entry
from reprise.training.execution import executing
from reprise.training.measuring import write_groups

HELP = "train, recommend and evaluate one run"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name one run."""
    parser.add_argument("paper")
    parser.add_argument("dataset")
    parser.add_argument("method", help="as its table prints it, for instance MACR_MF or 'MACR_MF w/o L_I'")
    parser.add_argument("reading", help="printed or sound; of a variant `<reading>-<variant>`, as its folder is named")
    parser.add_argument("seed", type=int)


def named_run(args: argparse.Namespace) -> Run:
    """The run that the arguments name: a method and the name of its folder, or a row and a reading."""
    paper, method, preset = load_paper(args.paper), args.method, args.reading
    if method not in paper.methods and paper.has_row(method):
        entry(paper.datasets, args.dataset, f"{args.paper}: data set")
        entry(paper.readings, preset, f"{args.paper}: reading")
        method, variant = variant_of(paper, method, args.dataset, preset)
        preset = preset_name(preset, variant)
    return Run.named(paper, args.dataset, method, preset, args.seed)


def main(args: argparse.Namespace, config: Config) -> None:
    """Run it."""
    with executing(named_run(args), config) as execution:
        execution.all()
        write_groups(execution)
