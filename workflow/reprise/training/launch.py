"""One run in several processes of this machine: torchrun starts them, each on a device of its own.

`launch` is called by the process that holds the run's entry in the store. Run as a module this file is what each of the
others does: the first works in the entry and goes on to a finished run, the rest follow it in folders that are removed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reprise.config import make_config
from reprise.errors import RepriseError
from reprise.files import read_json, write_json
from reprise.logs import start_logging
from reprise.runs import Run

if TYPE_CHECKING:
    from reprise.training.execution import Execution

logger = logging.getLogger("reprise")
WORKER = "reprise.training.launch"  # the module that each process runs
PR_SET_PDEATHSIG = 1  # a name of prctl.h
JOB, FAILURE = "job.json", "failure.json"


def launch(execution: Execution, stages: Sequence[str], then: Sequence[str]) -> None:
    """Call the methods `stages` of `execution` in all of its processes together, and `then` others in the first.

    Raises
    ------
    RepriseError
        What went wrong first, in whichever process; the others are ended.
    """
    folder = Path(execution.config.resources, "processes", execution.fingerprint)
    shutil.rmtree(folder, ignore_errors=True)  # of a job that was killed
    logs = [handler.baseFilename for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
    write_json(folder / JOB, {"run": vars(execution.run), "config": execution.config.model_dump(mode="json"),
                              "device": execution.device, "stages": stages, "then": then, "log": (*logs, None)[0]})
    for number in range(1, execution.processes):  # each sees what the entry holds now, and none writes there
        shutil.copytree(execution.entry.resolve(), folder / str(number), copy_function=os.symlink)
    try:
        ended = _torchrun(execution, folder)  # exit status by process; negative: the signal that ended it
        killed = {number: -status for number, status in ended.items() if status < 0 and status != -signal.SIGTERM}
        if not killed and (folder / FAILURE).exists():
            raise RepriseError(**read_json(folder / FAILURE))
        if ended:
            found = ", ".join(f"process {number} ended by signal {name}" for number, name in killed.items())
            raise RepriseError(execution.label, expected=f"{execution.processes} processes that end well",
                               found=found or f"exit status by process: {ended}", kind="failed",
                               fix="run it again: it goes on from its last checkpoint")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _torchrun(execution: Execution, folder: Path) -> dict[int, int]:
    """Start the processes and wait for them; the exit status of those that did not end well."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # what failed is said once, by us
    os.environ.setdefault("OMP_NUM_THREADS", str(execution.config.threads))
    with _handlers_kept():
        try:
            run(parse_args(["--standalone", "--local-addr=localhost", f"--nproc-per-node={execution.processes}",
                            "-m", WORKER, str(folder)]))
        except ChildFailedError as error:
            return {number: failure.exitcode for number, failure in error.failures.items()}
        except SignalException as error:  # as a single process would end: no failure of the run
            raise SystemExit(128 + error.sigval) from None
    return {}


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """torchrun handles signals and leaves its handlers behind."""
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    kept = {number: signal.getsignal(number) for number in signals}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def end_with_parent() -> None:
    """Have Linux kill this process when the one that started it is gone: with it went the lock of the store's entry."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def work(folder: Path) -> None:
    """Do one process's share of the job that `launch` left in `folder`."""
    end_with_parent()
    from reprise import processes
    from reprise.training.execution import Execution

    job, number = read_json(folder / JOB), int(os.environ["RANK"])
    if number:
        sys.stderr = open(os.devnull, "w")  # one bar is enough
    else:
        start_logging(job["log"] and Path(job["log"]))
    if job["device"] == "cuda":
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ["CUDA_VISIBLE_DEVICES"].split(",")[number]
    with processes.together(job["device"]):
        execution = Execution(Run(**job["run"]), make_config(job["config"]), job["device"],
                              beside=folder / str(number) if number else None)
        for stage in job["stages"]:
            getattr(execution, stage)()
    if number == 0:
        for stage in job["then"]:
            getattr(execution, stage)()


def main(folder: Path) -> int:
    """Work; the first process that fails says why, for the others fail because it did. Returns the exit status."""
    try:
        work(folder)
    except Exception as error:
        with contextlib.suppress(FileExistsError), open(folder / FAILURE, "x", encoding="utf-8") as file:
            if isinstance(error, RepriseError):
                said = vars(error)
            else:
                said = {"where": f"process {os.environ['RANK']}", "found": f"{type(error).__name__}: {error}",
                        "kind": "failed"}
                traceback.print_exc(file=sys.__stderr__)
            json.dump(said, file)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
