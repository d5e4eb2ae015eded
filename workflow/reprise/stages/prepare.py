"""Split a data set as its paper does, with ids from 0, and stop if the counts are not the paper's.

Reads resources/canonical/<source>/, writes results/<paper>/<dataset>/data/{train,valid,test,items,users}.parquet
and stats.json.
Nothing is written when a count differs, so that nothing can be trained on data that the paper did not have.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from reprise.config import Config
from reprise.data.catalogue import STATUSES
from reprise.data.prepare import ORDERED, prepare
from reprise.data.prepared import RATINGS
from reprise.failures import noting
from reprise.files import read_json
from reprise.papers import Dataset, data_code, load_paper

HELP = "split a data set as its paper does and check its counts"
logger = logging.getLogger("reprise")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the paper and the data set."""
    parser.add_argument("paper", help="a folder of workflow/papers, e.g. macr")
    parser.add_argument("dataset", help="key of a data set in its paper.yaml, e.g. adressa")


def main(args: argparse.Namespace, config: Config) -> None:
    """Prepare one data set of one paper."""
    dataset = load_paper(args.paper).dataset(args.dataset)
    canonical = Path(config.resources) / "canonical" / dataset.source
    lists, known = (canonical.with_name(other) if other else None for other in (dataset.lists, dataset.known))
    folder = Path(config.results) / args.paper / args.dataset
    status = max((read_json(place / "canonical.json")["status"] for place in (canonical, lists, known) if place),
                 key=STATUSES.index)
    expect = dataset.expect | dataset.expect_if.get(status, {})
    with noting(folder, data_code(dataset)):
        prepared, details = prepare(canonical / "interactions.parquet", dataset, status=status, expect=expect,
                                    where=f"{args.paper} {args.dataset}", items=canonical / "items.parquet",
                                    users=canonical / "users.parquet",
                                    lists=lists / "interactions.parquet" if lists else None,
                                    known=known / "items.parquet" if known else None)
        if prepared.rated is None:  # of another recipe, with other ids
            (folder / "data" / RATINGS).unlink(missing_ok=True)
        prepared.save(folder / "data", {"dataset": args.dataset, "expected": expect, "split": dataset.split,
                                        "order": _order(dataset), **details})
    cold = details["cold_items"]
    logger.info("prepare %s %s: train %s, valid %s, test %s%s", args.paper, args.dataset,
                *(f"{len(prepared.parts(part)):,}" for part in ("train", "valid", "test")),
                f"; {cold:,} items of test stand in no other part" if cold else "")


def _order(dataset: Dataset) -> str:
    """What put interactions in order when the validation part was cut."""
    if dataset.split in ORDERED:
        return f"{dataset.order}, within each user"
    if dataset.valid_k is None:
        return "that of the released validation part"
    if dataset.split == "released":
        return "seeded (the released files carry no time)"
    return dataset.order or "a seeded draw, uniform over items"
