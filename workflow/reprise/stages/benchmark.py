"""Measure what a run costs here: seconds a step, an epoch and a ranking, peak memory, and the least a step can take;
of methods that write also the tokens a second that training reads, and of all the users a second that are ranked.

Trains on prepared data as a run does, with the configured device and threads, after a few steps to warm up. Prints one
JSON object a method on standard output and keeps nothing: no run, no checkpoint (on a GPU, the lock that every run
takes). `all` measures every method of the paper that scores, each in a process of its own, so that peak memory is its
own; one that writes, whose epoch and ranking can take hours, is measured by its name. With `--generated` on random data
of the data set's size, where the data are not at hand; few users are ranked then.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reprise.config import Config
from reprise.data.generated import generated
from reprise.errors import RepriseError
from reprise.papers import MAIN, Run, load_paper
from reprise.sourcecode import trainer_of
from reprise.training.devices import leased
from reprise.training.execution import Execution

HELP = "measure seconds a step, an epoch and a ranking, and peak memory; keeps nothing"
SEED = 1  # costs do not depend on it
WARM_UP = 20  # steps
PROBE = 3  # repeats of a probe of the device
logger = logging.getLogger("reprise")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name a run but for its seed, and how often to measure."""
    parser.add_argument("paper")
    parser.add_argument("dataset")
    parser.add_argument("method", help="as its table prints it, for instance MACR_MF; or all that score")
    parser.add_argument("reading", help="printed or sound")
    parser.add_argument("--epochs", type=int, default=3, metavar="N", help="epochs a repeat (default 3)")
    parser.add_argument("--steps", type=int, metavar="N", help="steps a repeat, in place of epochs")
    parser.add_argument("--batch", type=int, metavar="N", help="size of a step, in place of the run's own")
    parser.add_argument("--generated", action="store_true",
                        help="on random data with the counts that paper.yaml expects of the data set")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="repeats, whose median counts (default 3)")


def main(args: argparse.Namespace, config: Config) -> None:
    """Measure and print; raises RepriseError where the data are not prepared or there is nothing to repeat."""
    counts = {name: getattr(args, name) for name in ("epochs", "steps", "repeats", "batch")}
    if wrong := {name: count for name, count in counts.items() if count is not None and count < 1}:
        raise RepriseError("benchmark", expected=f"{' and '.join(f'--{name}' for name in counts)} >= 1",
                           found=", ".join(f"--{name} {count}" for name, count in wrong.items()))
    paper = load_paper(args.paper)
    if args.method == "all":
        _each_apart([name for name, method in paper.methods.items() if not method.rerank
                     and trainer_of(method.method) != "texts"])
        return
    if paper.method(args.method).rerank:
        raise RepriseError(f"benchmark {args.method}", expected="a row that is trained", found="a re-ranker")
    backbone = paper.method(args.method).backbone
    run = Run(args.paper, args.dataset, args.reading, backbone, args.method, MAIN, SEED)
    with leased(config.device, Path(config.resources, "locks")) as device:
        made = generated(paper.dataset(args.dataset).expect) if args.generated else None
        execution = Execution(run, config, device, made)
        if args.batch:
            execution.recipe["training"]["batch"] = args.batch
        found = measure(execution, args.epochs, args.repeats, args.steps)
    epoch = "nothing to train"
    if found["epoch_s"] is not None:
        epoch = (f"{found['epoch_s']:.3f} s an epoch, {1e3 * found['step_s']:.2f} ms a step (floor "
                 f"{1e3 * found['floor_s']:.2f} ms), {found['samples_per_s']:.0f} samples a second, "
                 f"{found['busy']:.0%} busy")
    logger.info("benchmark %s %s %s: %s, %.3f s a ranking, %.0f MB", args.method, args.dataset, args.reading, epoch,
                found["ranking_s"], found["peak_bytes"] / 1e6)
    named = {name: getattr(args, name) for name in ("paper", "dataset", "method", "reading", "generated")}
    print(json.dumps(named | found))


def _each_apart(methods: list[str]) -> None:
    """Run this command once a method, `all` replaced by its name; raises RepriseError at the end where some failed."""
    failed = []
    for method in methods:
        command = [method if word == "all" else word for word in sys.argv[1:]]
        if subprocess.run([sys.executable, "-m", "reprise", *command]).returncode:
            failed.append(method)
    if failed:
        raise RepriseError("benchmark all", expected="every method measured", found=f"not {', '.join(failed)}",
                           fix="see what each of them said above")


def measure(execution: Execution, epochs: int, repeats: int, steps: int | None = None) -> dict[str, Any]:
    """Time the search phase of a run, by `epochs` or, if given, by `steps` a repeat.

    Returns
    -------
    dict
        `epoch_s`, `step_s`: median seconds an epoch and a step, None for a method without training; `samples_per_s`:
        the settings' `batch` of them a step; `tokens_per_s`: of methods that write, the pieces that training reads,
        else None; `floor_s`: the least that a step can take here (see `floor`); `busy`: share of the time in which the
        GPU computes, or the process's threads do; `steps_per_epoch`; `ranking_s`: median seconds to score and rank all
        items for every user of the split that selects, `ranked_users`, with one inference setting; `users_per_s`: how
        many of these a second; `evaluation_s`: the same with all `settings` that an evaluation during training looks
        at; `peak_bytes`: of the process, or of the GPU's memory; `device`, `threads`, `steps` a repeat, `repeats`.
    """
    from reprise.training.run import METRICS, Job

    torch, threads = execution.torch(), execution.config.threads
    job = Job(execution.entry, execution.data, execution.recipe, SEED, execution.device, execution.label)
    method, trainer = job.build("search", job.options.fit_on)
    settings = method.sweep() or method.choices()

    measured = 0 if trainer is None else steps or epochs * trainer.steps_per_epoch

    def train() -> None:
        trainer.train(measured)

    def rank(several: list[dict[str, Any]]) -> None:
        with torch.no_grad():
            job.ranking.measure(method, several, job.options.k, METRICS)

    epoch_s = step_s = floor_s = share = tokens_per_s = None
    if trainer is not None:
        trainer.train(min(WARM_UP, measured, trainer.steps_per_epoch))
        read = getattr(trainer, "pieces", None)
        step_s = median_seconds(train, repeats) / measured
        epoch_s = step_s * trainer.steps_per_epoch
        if read is not None:
            tokens_per_s = (trainer.pieces - read) / (repeats * measured) / step_s
    rank(settings[:1])
    ranking_s = median_seconds(lambda: rank(settings[:1]), repeats)
    evaluation_s = median_seconds(lambda: rank(settings), repeats)
    cuda = execution.device == "cuda"
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if trainer is not None:  # last, as the probes take memory of their own
        share = busy(trainer, execution.device, threads, min(WARM_UP, measured))
        floor_s = floor(trainer, execution.device, job.options.precision, min(PROBE, measured))
    return {"epoch_s": epoch_s, "step_s": step_s, "samples_per_s": step_s and job.options.batch / step_s,
            "tokens_per_s": tokens_per_s, "users_per_s": len(job.ranking.users) / ranking_s,
            "floor_s": floor_s, "busy": share, "steps_per_epoch": trainer.steps_per_epoch if trainer else 0,
            "ranking_s": ranking_s, "ranked_users": len(job.ranking.users), "evaluation_s": evaluation_s,
            "settings": len(settings), "peak_bytes": peak, "device": execution.device, "threads": threads,
            "steps": measured, "repeats": repeats}


def median_seconds(work: Callable[[], None], repeats: int) -> float:
    """Median wall time of `work`, which must end by reading its result: a GPU is otherwise not waited for."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def floor(trainer: Any, device: str, precision: str = "full", steps: int = 1) -> float:
    """Seconds below which no step of `trainer` can fall on this device.

    Its matrix products, a mean over `steps`, take their operations over the rate of a large one in their `precision`;
    its dense optimiser reads every parameter, gradient and moment and writes all but the gradient, 7 numbers a
    parameter for Adam's two moments and 5 for Adagrad's one: as long as a copy of as many bytes, between places that
    are there already. The larger of the two is a bound even where both overlap.
    """
    import torch

    needed = operations_of(lambda: trainer.train(steps)) / steps
    square = torch.rand(2048, 2048, device=device, dtype=torch.bfloat16 if precision == "mixed" else torch.float32)
    numbers = 5 if isinstance(getattr(trainer, "optimiser", None), torch.optim.Adagrad) else 7
    size = sum(parameter.numel() for parameter in trainer.method.parameters() if parameter.requires_grad)
    here = torch.rand(max(1, numbers * size // 2), device=device)  # a copy reads half of what it moves, and writes half
    there = torch.zeros_like(here)

    def product() -> None:
        float((square @ square)[0, 0])

    def copy() -> None:
        float(there.copy_(here)[0])

    product(), copy()
    operations = 2 * 2048**3 / median_seconds(product, PROBE)
    return max(needed / operations, median_seconds(copy, PROBE))


def operations_of(work: Callable[[], Any]) -> int:
    """The multiplications and additions of `work`'s matrix products; attention counts as if nothing were masked."""
    import torch
    from torch.utils import flop_counter

    aten = torch.ops.aten
    # What PyTorch's own table lacks, from the shapes: products added in place, and attention on a CPU.
    counted = {
        aten.addmm_: lambda _, a, b, **__: 2 * a[0] * a[1] * b[1],
        aten._scaled_dot_product_flash_attention_for_cpu:
            lambda query, key, value, *_, **__: flop_counter.sdpa_flop_count(query, key, value),
        aten._scaled_dot_product_flash_attention_for_cpu_backward:
            lambda slope, query, key, value, *_, **__: flop_counter.sdpa_backward_flop_count(slope, query, key, value),
    }
    with flop_counter.FlopCounterMode(display=False, custom_mapping=counted) as counter:
        work()
    return counter.get_total_flops()


def busy(trainer: Any, device: str, threads: int, steps: int) -> float:
    """Share of the time of some steps in which the GPU computes, or of the threads' time in which they do."""
    if device != "cuda":
        wall, used = time.perf_counter(), time.process_time()
        trainer.train(steps)
        return (time.process_time() - used) / (time.perf_counter() - wall) / threads
    from torch.profiler import ProfilerActivity, profile

    wall = time.perf_counter()
    trainer.train(steps)
    wall = time.perf_counter() - wall  # without the profiler, which slows the host
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        trainer.train(steps)
    return sum(event.self_device_time_total for event in seen.key_averages()) / 1e6 / wall
