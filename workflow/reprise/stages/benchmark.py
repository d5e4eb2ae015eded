"""Measure what a run costs here: seconds an epoch, seconds a ranking of all items for all users, peak memory.

Trains on prepared data as a run does, with the configured device and threads, after one epoch to warm up. Prints one
JSON object on standard output and keeps nothing: no run, no checkpoint (on a GPU, the lock that every run takes).
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reprise.config import Config
from reprise.errors import RepriseError
from reprise.papers import Run, load_paper
from reprise.training.devices import leased
from reprise.training.execution import Execution, keep_freed_memory

HELP = "measure seconds an epoch, seconds a ranking, and peak memory; keeps nothing"
SEED = 1  # costs do not depend on it
logger = logging.getLogger("reprise")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name a run but for its seed, and how often to measure."""
    parser.add_argument("paper")
    parser.add_argument("dataset")
    parser.add_argument("method", help="as its table prints it, for instance MACR_MF")
    parser.add_argument("reading", help="printed or sound")
    parser.add_argument("--epochs", type=int, default=3, metavar="N", help="epochs a repeat (default 3)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="repeats, whose median counts (default 3)")


def main(args: argparse.Namespace, config: Config) -> None:
    """Measure and print; raises RepriseError where the data are not prepared or there is nothing to repeat."""
    if min(args.epochs, args.repeats) < 1:
        raise RepriseError("benchmark", expected="--epochs >= 1 and --repeats >= 1",
                           found=f"{args.epochs} and {args.repeats}")
    backbone = load_paper(args.paper).method(args.method).backbone
    run = Run(args.paper, args.dataset, args.reading, backbone, args.method, "main", SEED)
    with leased(config.device, Path(config.resources, "locks")) as device:
        found = measure(Execution(run, config, device), args.epochs, args.repeats)
    epoch = "nothing to train" if found["epoch_s"] is None else f"{found['epoch_s']:.4f} s an epoch"
    logger.info("benchmark %s %s %s: %s, %.4f s a ranking, %.0f MB", args.method, args.dataset, args.reading, epoch,
                found["ranking_s"], found["peak_bytes"] / 1e6)
    print(json.dumps({name: getattr(args, name) for name in ("paper", "dataset", "method", "reading")} | found))


def measure(execution: Execution, epochs: int, repeats: int) -> dict[str, Any]:
    """Time the search phase of a run.

    Returns
    -------
    dict
        `epoch_s`: median seconds an epoch, None for a method without training; `steps_per_epoch`; `ranking_s`: median
        seconds to score and rank all items for every user of the split that selects, with one inference setting;
        `evaluation_s`: the same with all `settings` that an evaluation during training looks at; `peak_bytes`: of the
        process, or of the GPU's memory; `device`, `threads`, `epochs`, `repeats`.
    """
    import torch

    from reprise.training.run import METRICS, Job

    threads = execution.config.threads
    torch.set_num_threads(threads)
    keep_freed_memory()
    job = Job(execution.entry, execution.data, execution.spec, SEED, execution.device, execution.label)
    method, trainer = job.build("search", job.options.fit_on)
    settings = method.sweep() or method.choices()

    def train() -> None:
        trainer.train(epochs * trainer.steps_per_epoch)

    def rank(several: list[dict[str, Any]]) -> None:
        with torch.no_grad():
            job.ranking.measure(method, several, job.options.k, METRICS)

    epoch_s = None
    if trainer is not None:
        trainer.train(trainer.steps_per_epoch)
        epoch_s = median_seconds(train, repeats) / epochs
    rank(settings[:1])
    ranking_s = median_seconds(lambda: rank(settings[:1]), repeats)
    evaluation_s = median_seconds(lambda: rank(settings), repeats)
    cuda = execution.device == "cuda"
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"epoch_s": epoch_s, "steps_per_epoch": trainer.steps_per_epoch if trainer else 0, "ranking_s": ranking_s,
            "evaluation_s": evaluation_s, "settings": len(settings), "peak_bytes": peak, "device": execution.device,
            "threads": threads, "epochs": epochs, "repeats": repeats}


def median_seconds(work: Callable[[], None], repeats: int) -> float:
    """Median wall time of `work`, which must end by reading its result: a GPU is otherwise not waited for."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
