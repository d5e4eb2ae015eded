"""Compute the metrics of a run's lists and show the finished run in the results."""

from __future__ import annotations

import argparse

from reprise.config import Config
from reprise.stages.run import arguments, named_run
from reprise.training.execution import executing
from reprise.training.measuring import write_groups

__all__ = ["HELP", "arguments", "main"]
HELP = "compute the metrics of a run's lists"


def main(args: argparse.Namespace, config: Config) -> None:
    """Run it."""
    with executing(named_run(args), config) as execution:
        execution.complete()
        write_groups(execution)
