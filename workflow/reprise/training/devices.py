"""Which device a run gets. Free of PyTorch up to the lease: a GPU must be chosen before PyTorch looks for one."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from reprise.config import Config
from reprise.errors import RepriseError
from reprise.sourcecode import trainer_of

logger = logging.getLogger("reprise")
POLL = 2.0  # seconds between two looks for a free GPU


def visible_gpus() -> list[str]:
    """Name the GPUs that this process may use: those of CUDA_VISIBLE_DEVICES, else those that the machine has."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return [name.strip() for name in listed.split(",") if name.strip() not in ("", "-1")]
    return sorted(path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))


def processes_of(method: str | None, config: Config) -> int:
    """In how many processes a run is trained: of methods that write as many as configured, else one.

    `method` is its file in `reprise/methods`; None for a re-ranker.
    """
    return config.processes if method and trainer_of(method) == "texts" else 1


@contextlib.contextmanager
def leased(device: str, locks: Path, count: int = 1) -> Iterator[str]:
    """Give `"cpu"`, or `"cuda"` with one GPU, or `count` of them, for this process and its children alone.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
    locks : Path
        Folder of the lock files, shared by all processes of a workflow.
    count : int
        How many GPUs are needed.

    Raises
    ------
    RepriseError
        `cuda` was asked for and there is no GPU, or there are fewer GPUs than are needed.
    """
    gpus = [] if device == "cpu" else visible_gpus()
    if not gpus:
        if device == "cuda":
            raise RepriseError("device=cuda", expected="a GPU", found="none", fix="use device=cpu, or device=auto")
        yield "cpu"
        return
    if count > len(gpus):
        raise RepriseError(f"processes={count}", expected="a GPU for each", found=f"{len(gpus)}",
                           fix=f"use processes={len(gpus)}, or device=cpu")
    locks.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack, open(locks / f"{platform.node()}-gpus.lock", "a") as several:
        if count > 1:  # two that each hold a part of what both need would wait for ever
            fcntl.flock(several, fcntl.LOCK_EX)
        names = [_first_free(gpus, locks, stack) for _ in range(count)]
        fcntl.flock(several, fcntl.LOCK_UN)
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names)
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # needed for the same bits twice
        yield "cuda"


def _first_free(gpus: list[str], locks: Path, stack: contextlib.ExitStack) -> str:
    waited = False
    while True:
        for name in gpus:
            handle = stack.enter_context(open(locks / f"{platform.node()}-gpu-{name.replace('/', '_')}.lock", "a"))
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return name
            except BlockingIOError:
                handle.close()
        if not waited:
            logger.info("all %d GPUs are taken; waiting for one", len(gpus))
            waited = True
        time.sleep(POLL)
