"""Train, recommend and evaluate one run in one process; what the store holds already is only linked."""

from __future__ import annotations

import argparse

from reprise.config import Config
from reprise.evaluation.measuring import write_groups
from reprise.papers import Run, load_paper
from reprise.training.execution import executing

HELP = "train, recommend and evaluate one run"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name one run."""
    parser.add_argument("paper")
    parser.add_argument("dataset")
    parser.add_argument("method", help="as its table prints it, for instance MACR_MF")
    parser.add_argument("reading", help="printed or sound; of a variant `<reading>-<variant>`, as its folder is named")
    parser.add_argument("seed", type=int)


def named_run(args: argparse.Namespace) -> Run:
    """The run that the arguments name."""
    return Run.named(load_paper(args.paper), args.dataset, args.method, args.reading, args.seed)


def main(args: argparse.Namespace, config: Config) -> None:
    """Run it."""
    with executing(named_run(args), config) as execution:
        execution.all()
        write_groups(execution)
