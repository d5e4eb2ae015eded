"""Compare a method with itself, many times, and count how often each significance test calls the two sides different.

Trains matrix factorisation on the generated small world, with another seed each time: 16 dimensions, 3 epochs with a
large learning rate, no search for the best epoch, no validation part. It learns (several times the NDCG of a random
order) but is far from converged; what counts is that its runs differ by their seed alone. Every seed belongs to one
side of one pair, so the pairs are independent, and the rate of an honest test at 5 % lies in the binomial interval
that is written beside it. A rate below it is conservative: the test calls fewer differences than it may.

Writes results/aa.json.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from reprise.config import STUDY, Config
from reprise.errors import RepriseError
from reprise.evaluation.aa import TESTS, false_positive_rates
from reprise.files import write_json
from reprise.training.devices import leased
from reprise.training.options import Training

HELP = "check that the significance tests do not call a method different from itself"
logger = logging.getLogger("reprise")

K = 20
METRICS = ("ndcg", "hr")
# Some 80 steps, so that 800 trainings take about a minute; the learning rate is what lets so few steps learn anything.
DIM, EPOCHS = 16, 3
TRAINING = Training(
    batch=512, learning_rate=0.05, l2=1e-5, max_epochs=EPOCHS, eval_every=EPOCHS, patience=1, metric="ndcg", k=K,
    ks=(K,), fit_on="train", select_on="test", refit=False, empty_users="skip",
)  # fmt: skip
SPEC = {"model": {"name": "mf", "dim": DIM}, "method": {"name": "plain"}, "training": TRAINING.model_dump(mode="json")}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say how large the study is."""
    parser.add_argument("--pairs", type=int, default=200, metavar="N", help="comparisons (default 200)")
    parser.add_argument("--seeds-per-side", type=int, default=2, metavar="S", help="runs a side, >= 2 (default 2)")


def main(args: argparse.Namespace, config: Config) -> None:
    """Train, compare, write; raises RepriseError for a study without pairs or with a single seed a side."""
    if args.pairs < 1 or args.seeds_per_side < 2:
        raise RepriseError("aa", expected="--pairs >= 1 and --seeds-per-side >= 2",
                           found=f"{args.pairs} and {args.seeds_per_side}")
    seeds = range(1, 2 * args.pairs * args.seeds_per_side + 1)
    with leased(config.device, Path(config.resources, "locks")) as device:
        values = run_each(seeds, device, config.threads)
    studies = {name: study(matrix, args.seeds_per_side, args.pairs) for name, matrix in values.items()}
    place = Path(config.results, STUDY)
    write_json(place, {"data": "small-world", "spec": SPEC, "seeds": len(seeds), "seeds_per_side": args.seeds_per_side,
                       "metrics": studies})
    for name, found in studies.items():
        said = ", ".join(f"{test} {found[test]:.1%} ({found['verdict'][test]})" for test in TESTS)
        logger.info("aa %s, %d pairs: %s; honest: %.1f-%.1f%%; %s", name, args.pairs, said, 100 * found["low"],
                    100 * found["high"], place)


def run_each(seeds: Sequence[int], device: str, threads: int) -> dict[str, np.ndarray]:
    """Train and rank once with every seed.

    Returns
    -------
    dict of str to float array [runs, U], keyed `ndcg@20`
        Each run's value for each test user, users in one order.
    """
    from reprise.data import small_world
    from reprise.data.interactions import Interactions
    from reprise.evaluation.metrics import per_user
    from reprise.evaluation.ranking import Ranking
    from reprise.training.build import build
    from reprise.training.execution import set_up_torch
    from reprise.training.trainer import Trainer

    torch = set_up_torch(device, threads)
    world = small_world.make()
    shape = world.affinity.shape
    interactions = Interactions.of(world.train, *shape, device)
    ranking = Ranking(world.test, world.train, *shape, device)
    values = {f"{metric}@{K}": np.zeros((len(seeds), len(ranking.users))) for metric in METRICS}
    for run, seed in enumerate(tqdm(seeds, desc="aa", unit="run", mininterval=1, dynamic_ncols=True, disable=None)):
        method = build(SPEC, interactions, seed, "aa")
        trainer = Trainer(method, interactions, TRAINING, seed, "aa")
        trainer.train(EPOCHS * trainer.steps_per_epoch)
        with torch.no_grad():
            for _, rows, items, _ in ranking.lists(method, [{}], K):
                found = per_user(ranking.hits(rows, items), ranking.relevant[rows], [K], METRICS)
                for name, value in found.items():
                    values[name][run, rows] = value.cpu().numpy()
    return values


def study(matrix: np.ndarray, seeds_per_side: int, pairs: int) -> dict[str, Any]:
    """The rates of `false_positive_rates` on `matrix` [runs, U], where each lies, and how much the runs differ."""
    rates = false_positive_rates(matrix, seeds_per_side, pairs)
    means = matrix.mean(axis=1)
    verdict = {test: place_of(rates[test], rates["low"], rates["high"]) for test in TESTS}
    return {**rates, "verdict": verdict, "mean": float(means.mean()), "sd": float(means.std(ddof=1)),
            "users": matrix.shape[1]}


def place_of(rate: float, low: float, high: float) -> str:
    """Name where a false-positive rate lies against the bounds of an honest test."""
    return "conservative" if rate < low else "too often" if rate > high else "as promised"
