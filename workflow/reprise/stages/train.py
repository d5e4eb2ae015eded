"""Train one run into the store, up to its weights."""

from __future__ import annotations

import argparse

from reprise.config import Config
from reprise.stages.run import arguments, named_run
from reprise.training.execution import executing

__all__ = ["HELP", "arguments", "main"]
HELP = "train one run, up to its weights"


def main(args: argparse.Namespace, config: Config) -> None:
    """Run it."""
    with executing(named_run(args), config) as execution:
        execution.do("train")
