"""Look for leaks in prepared data: a pair in two parts, an id out of range or unused, bytes that changed.

Reads results/<paper>/<dataset>/data/, writes check.json there, and fails when anything was found.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from reprise.config import Config
from reprise.data.prepare import leaks
from reprise.data.prepared import Prepared
from reprise.errors import RepriseError
from reprise.failures import noting
from reprise.files import write_json
from reprise.papers import data_code, load_paper

HELP = "look for leaks between the parts of prepared data"
logger = logging.getLogger("reprise")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the paper and the data set."""
    parser.add_argument("paper", help="a folder of workflow/papers, e.g. macr")
    parser.add_argument("dataset", help="key of a data set in its paper.yaml, e.g. adressa")


def main(args: argparse.Namespace, config: Config) -> None:
    """Check one prepared data set; loading it already compares its content with stats.json."""
    folder = Path(config.results) / args.paper / args.dataset / "data"
    (folder / "check.json").unlink(missing_ok=True)
    dataset = load_paper(args.paper).dataset(args.dataset)
    with noting(folder.parent, data_code(dataset)):
        prepared = Prepared.load(folder)
        if found := leaks(prepared, dataset):
            raise RepriseError(str(folder), expected="disjoint parts and ids contiguous from 0", kind="data",
                               found="; ".join(found), fix="look at the source and its split; nothing is trained on it")
    disjoint, met = dataset.repeats != "kept", dataset.candidates == "kept"
    write_json(folder / "check.json", {"content": prepared.content, "disjoint": disjoint, "every_item_met": met})
    logger.info("check %s %s: %s, ids in range, %s", args.paper, args.dataset,
                "parts disjoint" if disjoint else "repeats kept, as the paper has them",
                "all met" if met else "items that nobody met among them")
