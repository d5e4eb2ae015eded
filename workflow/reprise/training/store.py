"""The store: trained runs by fingerprint, outside every declared output, so that nothing is trained twice."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from reprise.files import digest, read_json

logger = logging.getLogger("reprise")
LINKED = {".safetensors", ".parquet"}  # large and never written again; the rest is copied


def cell_fingerprint(code: str, content: str, device: str, threads: int, processes: int = 1) -> str:
    """What a run is but for its seed.

    Parameters
    ----------
    code : str
        `papers.spec_code`: every resolved setting and all the code that the run imports.
    content : str
        Content hash of the prepared data.
    device : {"cpu", "cuda"}
        Kind of device; sums differ between kinds.
    threads : int
        CPU threads; sums differ between one and two.
    processes : int
        Processes that share the run; so do theirs.
    """
    what = {"code": code, "content": content, "device": device, "threads": threads}
    return digest(what | ({"processes": processes} if processes > 1 else {}))


@contextlib.contextmanager
def locked(entry: Path, wait: bool = True) -> Iterator[bool]:
    """Hold the entry alone; the lock goes with its holder, however that ends.

    A second process waits, or, without `wait`, is told that it does not hold the entry.
    """
    entry.mkdir(parents=True, exist_ok=True)
    with open(entry / "lock", "a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                yield False
                return
            logger.info("%s: another process is training it; waiting", entry.name)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield True


def finished(entry: Path) -> bool:
    """Whether the entry holds a finished run."""
    return (entry / "run.json").exists()


def link(entry: Path, folder: Path) -> None:
    """Make `folder` show what the entry holds; what `folder` held before goes only once the new content is complete."""
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    shutil.rmtree(beside, ignore_errors=True)
    for path in sorted(entry.rglob("*")):
        target = beside / path.relative_to(entry)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif path.suffix in LINKED and path.stem != "checkpoint":
            target.parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(path, target)
        elif path.suffix in {".json", ".csv"}:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    if folder.exists():
        os.replace(folder, old)
    os.replace(beside, folder)
    shutil.rmtree(old, ignore_errors=True)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def entries(store: Path) -> dict[str, Path]:
    """The finished runs of a store by fingerprint."""
    return {path.parent.name: path.parent for path in sorted(store.glob("*/run.json"))}


def referred(results: Path) -> set[str]:
    """Fingerprints of the runs that a results folder shows, and of the trials of its searches, also unfinished ones."""
    shown = {read_json(path)["fingerprint"] for path in results.rglob("seed*/run.json")}
    for path in results.rglob("tuning/*/*/trials.csv"):
        with open(path, newline="", encoding="utf-8") as file:
            shown |= {row["fingerprint"] for row in csv.DictReader(file)}
    return shown
