"""A copy of the workflow in a temporary folder, so that a test may edit its files, and Snakemake run there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("Snakefile", "config", "envs", "profiles", "workflow")
SETTINGS = {
    "papers": "macr",
    "datasets": "small-world",
    "methods": "MF,LightGCN,MACR_MF,MACR_LightGCN,Random,Popularity",
    "seeds": 2,
    "max_epochs": 10,
    "device": "cpu",
    "results": "out",
    "resources": "stock",
}


def copy_workflow(folder: Path) -> Path:
    """Copy what a rerun needs of the repository: no results, no data, no record."""
    folder.mkdir(exist_ok=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    return folder


def planned_jobs(said: str) -> Counter[str]:
    """The number of jobs of each rule in what a dry run says."""
    table = said.rpartition("Job stats:")[2].partition("Reasons:")[0]
    return Counter({rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)})


def until(happened: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


@dataclass(frozen=True)
class Copy:
    """A copy that runs the small world; settings are `SETTINGS` and, on top, those of a call."""

    folder: Path

    def snakemake(self, *words: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        """Run Snakemake to its end; `stdout` is all that it and its jobs said."""
        return self._run("snakemake", "--cores", "2", *words, **settings)

    def reprise(self, *words: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        """Run one stage by hand."""
        return self._run("reprise", *words, **settings)

    def _run(self, *words: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words, **settings), **self.place(), stdout=subprocess.PIPE, timeout=1200, check=False
        )

    def command(self, *words: str, **settings: Any) -> list[str]:
        """The words of `python -m ...` with the settings."""
        values = [f"{key}={value}" for key, value in (SETTINGS | settings).items()]
        return [sys.executable, "-m", *words, "--config", *values]

    def place(self) -> dict[str, Any]:
        """Where a command runs: in the copy, with the copy's modules, errors among the output."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder / "workflow"), "CUDA_VISIBLE_DEVICES": ""}
        return {"cwd": self.folder, "env": environment, "text": True, "stderr": subprocess.STDOUT}

    def planned(self, *words: str, **settings: Any) -> Counter[str]:
        """The jobs that a dry run plans, by rule."""
        return planned_jobs(self.dry(*words, **settings))

    def dry(self, *words: str, **settings: Any) -> str:
        """What a dry run says."""
        done = self.snakemake("-n", *words, **settings)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def edit(self, file: str, before: str, after: str) -> None:
        """Replace the first `before` in a file below `workflow`."""
        path = self.folder / "workflow" / file
        text = path.read_text()
        assert before in text, f"{before!r} is not in {file}"
        path.write_text(text.replace(before, after, 1))

    def trained(self) -> dict[str, int]:
        """When each run of the store was trained, by fingerprint: another training would change it."""
        ends = self.folder.glob("stock/store/*/selected.json")
        return {path.parent.name: path.stat().st_mtime_ns for path in ends}
