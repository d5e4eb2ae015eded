"""`python -m reprise <stage> ...`: every stage of the workflow is a command that can be run by hand."""

from __future__ import annotations

import argparse
import importlib
import itertools
import logging
import pkgutil
import sys
from pathlib import Path

from reprise import stages
from reprise.config import load_config
from reprise.errors import RepriseError
from reprise.logs import start_logging

logger = logging.getLogger("reprise")
STAGES = sorted(module.name for module in pkgutil.iter_modules(stages.__path__))


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Build the parser; with `only`, load that one stage (importing them all would import PyTorch for a download)."""
    parser = argparse.ArgumentParser(prog="python -m reprise", description="Re-run recommender-system papers.")
    parsers = parser.add_subparsers(dest="stage", required=True, metavar="<stage>")
    for name in [only] if only else STAGES:
        stage = importlib.import_module(f"reprise.stages.{name}")
        sub = parsers.add_parser(
            name,
            help=stage.HELP,
            description=stage.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        stage.arguments(sub)
        sub.add_argument(
            "--configfile",
            action="append",
            default=[],
            metavar="FILE",
            help="a configuration file, on top of config/config.yaml",
        )
        sub.add_argument(
            "--config",
            nargs="*",
            action="extend",
            default=[],
            metavar="KEY=VALUE",
            help="settings on top of the file, as for snakemake --config",
        )
        sub.add_argument("--log", type=Path, metavar="FILE", help="append what the stage says to this file as well")
        sub.set_defaults(main=stage.main)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one stage; return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    args = build_parser(argv[0] if argv and argv[0] in STAGES else None).parse_args(argv)
    start_logging(args.log)
    try:
        args.main(args, load_config(args.configfile, args.config))
    except RepriseError as error:
        # With its arguments: several jobs speak at once.
        logger.error("%s: %s", " ".join(itertools.takewhile(lambda word: not word.startswith("-"), argv)), error.text())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
