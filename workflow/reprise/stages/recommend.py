"""Rank all items for every test user of a trained run."""

from __future__ import annotations

import argparse

from reprise.config import Config
from reprise.stages.run import arguments, named_run
from reprise.training.execution import executing

__all__ = ["HELP", "arguments", "main"]
HELP = "rank all items with a trained run's weights"


def main(args: argparse.Namespace, config: Config) -> None:
    """Run it."""
    with executing(named_run(args), config) as execution:
        execution.do("recommend")
