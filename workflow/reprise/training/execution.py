"""A run from its name to its files: fingerprint, store, the three stages train, recommend and evaluate, the links."""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import logging
import math
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from reprise.config import Config
from reprise.data.prepared import Prepared
from reprise.errors import RepriseError
from reprise.failures import noting
from reprise.files import read_json, write_json
from reprise.papers import Run, load_paper, preset_name, spec_code
from reprise.training.behind import Behind, placed
from reprise.training.devices import leased, processes_of
from reprise.training.options import Profile
from reprise.training.store import cell_fingerprint, finished, link, locked
from reprise.tuning import spec_of

logger = logging.getLogger("reprise")
SPENT = "spent.json"  # in an entry that is not finished: what its stages took so far
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # names of malloc.h


class Execution:
    """One run on one device. Its methods may be called one by one; each does only what the store does not hold yet.

    It reads the prepared data of the run's data set, unless it is given others. Where several processes share the run,
    each has one of these, and all but the first work `beside` the store, in a folder of their own.
    """

    def __init__(
        self, run: Run, config: Config, device: str, data: Prepared | None = None, beside: Path | None = None
    ):
        self.run, self.config, self.device = run, config, device
        self.folder = Path(config.results, run.folder)
        self.spec = spec_of(run, config)
        self.recipe = placed(self.spec, config)
        self.code = spec_code(self.spec)
        self.data = data or prepared_data(run.paper, run.dataset, config)
        self.processes = processes_of(self.spec.get("method", {}).get("name"), config)
        self.cell = cell_fingerprint(self.code, self.data.content, device, config.threads, self.processes)
        self.fingerprint = f"{self.cell}-s{run.seed}"
        self.entry = beside or Path(config.resources, "store", self.fingerprint)
        self.checkpoints = {"checkpoint_every": math.inf} if beside else {}
        self.label = f"{run.method} {run.dataset} {preset_name(run.reading, run.variant)} seed{run.seed}"
        self.behind = Behind(self.spec, run.seed, self.data.content, device, config, self.label)

    def torch(self) -> Any:
        """PyTorch, set up for this run."""
        return set_up_torch(self.device, self.config.threads)

    def train(self) -> None:
        """Train into the store, or find it trained; of a re-ranker choose its setting, which is all there is to do."""
        if (self.entry / "selected.json").exists():
            return
        self.torch()
        if "rerank" in self.spec:
            from reprise.training.reranking import choose

            logger.info("%s: re-ranking (%s)", self.label, self.fingerprint)
            choose(self.entry, self.data, self.spec, self.behind.bases(), self.device)
        else:
            from reprise.training.run import train

            logger.info("%s: training (%s)", self.label, self.fingerprint)
            train(self.entry, self.data, self.recipe, self.run.seed, self.device, self.label,
                  origin=self.behind.origin(), updates=self.behind.updates(), **self.checkpoints)
        self._spend()

    def _spend(self, ranked_s: float = 0.0) -> None:
        """Keep what ranking and memory took so far, for `finish`, which another process may do."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if self.device == "cuda":
            peak = self.torch().cuda.max_memory_allocated()
        spent = self._spent()
        write_json(self.entry / SPENT, {"ranked_s": spent["ranked_s"] + ranked_s,
                                        "peak_bytes": max(spent["peak_bytes"], peak)})

    def _spent(self) -> dict[str, Any]:
        path = self.entry / SPENT
        return read_json(path) if path.exists() else {"ranked_s": 0.0, "peak_bytes": 0}

    def _selected(self) -> dict[str, Any]:
        path = self.entry / "selected.json"
        if not path.exists():
            raise RepriseError(
                self.label, expected="a trained model in the store", found=f"no {path}", fix="run its stage train first"
            )
        return read_json(path)

    def _lists(self) -> Iterator[tuple[Path, str]]:
        """Each list's folder in the store, and the split that it is ranked for."""
        selected = self._selected()
        for name, split in ((selected["valid_list"], "valid"), (selected["list"], "test")):
            if name:
                yield self.entry / name, split

    def trained(self, folder: Path, split: str) -> Any:
        """What ranks a list: the method whose weights lie in its `folder`, or a re-ranker of such."""
        self.torch()
        if "rerank" in self.spec:
            from reprise.training.reranking import make

            return make(self.spec, self.data, self.behind.bases(), split, self.device)
        from reprise.training.build import trained

        return trained(self.recipe, self.data, self.run.seed, split, folder / "model.safetensors", self.device)

    def ranking(self, split: str) -> Any:
        """Who is ranked for in a split, and what they did before."""
        from reprise.training.run import ranking_of

        return ranking_of(self.data, split, self.device, self.spec["training"]["mask"])

    def recommend(self) -> None:
        """Rank every list with its model."""
        self.torch()
        from reprise.evaluation.lists import recommend

        started = time.perf_counter()
        for folder, split in self._lists():
            if (folder / "topk.parquet").exists():
                continue
            ranking = self.ranking(split)
            setting, k = self._selected()["setting"], max(self.spec["training"]["ks"])
            recommend(folder, self.trained(folder, split), ranking, setting, k)
        self._spend(time.perf_counter() - started)

    def evaluate(self) -> None:
        """Compute every list's metrics, per user first."""
        self.torch()
        from reprise.evaluation.lists import evaluate

        for folder, split in self._lists():
            if not (folder / "topk.parquet").exists():
                raise RepriseError(
                    str(folder), expected="topk.parquet", found="none", fix="run the stage recommend first"
                )
            profile = self.spec["training"]["profile"]
            evaluate(folder, self.data, self.ranking(split), tuple(self.spec["training"]["ks"]),
                     Profile(**profile) if profile else None)

    def finish(self, evaluated_s: float) -> None:
        """Write what the run was and what it cost; `run.json` comes last and says that all else is complete."""
        self._spend()
        selected, spent = self._selected(), self._spent()
        training_s, steps = selected.pop("train_s"), selected.pop("trained_steps")
        name = device_name(self.device)
        if self.processes > 1:  # a device of another kind, to whoever compares numbers
            name = f"{self.processes} x {name}"
        write_json(
            self.entry / "cost.json",
            {
                "wall_s": round(training_s + selected.pop("rank_s") + spent["ranked_s"] + evaluated_s, 3),
                "device": name,
                "threads": self.config.threads,
                "processes": self.processes,
                "peak_bytes": spent["peak_bytes"],
                "epochs": selected["epoch"],
                "steps": steps,
                "step_s": training_s / steps if steps else 0.0,
            },
        )
        write_json(
            self.entry / "run.json",
            {
                "fingerprint": self.fingerprint,
                "cell": self.cell,
                "code": self.code,
                "spec": self.spec,
                "seed": self.run.seed,
                "content": self.data.content,
                "device": name,
                "threads": self.config.threads,
                "processes": self.processes,
                "selected": selected,
                "versions": {"python": platform.python_version(), **{
                    name: sys.modules[name].__version__ for name in ("torch", "transformers") if name in sys.modules}},
                "commit": _commit(),
                "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            },
        )
        left = self.entry.rglob(".*.part")  # by a kill
        for path in (self.entry / "checkpoint.safetensors", self.entry / SPENT, *left):
            path.unlink(missing_ok=True)

    def show(self) -> None:
        """Link the finished run into the results, under its name in the paper."""
        link(self.entry, self.folder)
        stored = read_json(self.folder / "run.json")
        stored["data"] = {"content": stored.pop("content"), "status": self.data.status}
        write_json(self.folder / "run.json", {**vars(self.run), **stored})

    def complete(self) -> None:
        """From lists to a finished run, shown in the results; one that the store holds is only shown."""
        if finished(self.entry):
            logger.info("%s: found in the store (%s)", self.label, self.fingerprint)
            self.show()
            return
        started = time.perf_counter()
        self.evaluate()
        self.finish(time.perf_counter() - started)
        self.show()
        logger.info("%s: done, %s/%s/metrics.csv", self.label, self.folder, self._selected()["list"])

    def do(self, *stages: str, then: Sequence[str] = ()) -> None:
        """Do `stages` (`train`, `recommend`) in as many processes as share the run, and `then` the rest in the first.

        Whoever asks holds the entry of the store, as `executing` does.
        """
        if self.processes > 1:
            from reprise.training.launch import launch

            launch(self, stages, then)
        else:
            for stage in (*stages, *then):
                getattr(self, stage)()

    def all(self) -> None:
        """Train, recommend, evaluate and show, unless the store holds the run already."""
        if finished(self.entry):
            self.complete()
        else:
            self.do("train", "recommend", then=["complete"])


@contextlib.contextmanager
def executing(run: Run, config: Config) -> Iterator[Execution]:
    """Lease a device, or one for each process, and open a run; a failure leaves `failure.json` beside its results,
    success removes it.

    Its entry of the store is held until the block ends: a process that waits for it puts its own folder in the place of
    the one that results are written to.
    """
    row = load_paper(run.paper).methods[run.method]
    processes = processes_of(None if row.rerank else row.method, config)
    with noting(Path(config.results, run.folder)) as noted:
        with leased(config.device, Path(config.resources, "locks"), processes) as device:
            execution = Execution(run, config, device)
            noted["code"] = execution.code
            with locked(execution.entry):
                yield execution


def prepared_data(paper: str, dataset: str, config: Config) -> Prepared:
    """The prepared data of a paper's data set; raises RepriseError where they were not prepared and checked."""
    data = Path(config.results, paper, dataset, "data")
    if not (data / "check.json").exists():
        raise RepriseError(
            str(data),
            expected="prepared and checked data",
            found="no check.json",
            fix=f"python -m reprise prepare {paper} {dataset}, then check",
        )
    return Prepared.load(data)


def set_up_torch(device: str, threads: int) -> Any:
    """PyTorch, set up for work that must give the same bits twice."""
    import torch

    torch.set_num_threads(threads)
    keep_freed_memory()
    if device == "cuda":
        torch.use_deterministic_algorithms(True, warn_only=True)
    return torch


def device_name(device: str) -> str:
    """What numbers made on a device are said to be made on: the GPU's name, or what a CPU can do."""
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else f"cpu {torch.backends.cpu.get_cpu_capability()}"


def keep_freed_memory() -> None:
    """Ask the allocator to keep what is freed.

    A step frees and takes the same few megabytes; giving them back to the system in between cost a third of its time.
    """
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 28)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 25)


def _commit() -> str:
    """The commit of the code, `+` where it was edited since; empty outside a checkout."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "--", "."], cwd=here, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit + ("+" if dirty.strip() else "")
