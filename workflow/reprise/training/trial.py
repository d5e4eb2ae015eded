"""One trial of a search for settings: the search phase of a run, its score on validation, and no weights."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from reprise.data.prepared import Prepared
from reprise.errors import RepriseError
from reprise.files import read_json, write_json
from reprise.training.options import TRIAL_SEED
from reprise.training.run import CHECKPOINT_EVERY, Job
from reprise.training.search import METRICS


def run_trial(
    folder: Path,
    data: Prepared,
    spec: dict[str, Any],
    device: torch.device | str,
    label: str,
    checkpoint_every: float = CHECKPOINT_EVERY,
    origin: Mapping[str, Mapping[str, Path]] | None = None,
) -> dict[str, Any]:
    """Make a trial in `folder`, or go on with it from its checkpoint, or find it made (`trial.json`).

    `origin` names the weights that it starts from, as `training.run.train` has it. Killed at any point and started
    again it ends with the same numbers. The test part is taken away before anything is built, so nothing can read it.

    Returns
    -------
    dict
        `score` on validation, the best `epoch`, `steps`, inference `setting` and `metrics` there, `seconds` of training
        and ranking, `device`, `threads`; of a trial that diverged `score` is None and `reason` says how.

    Raises
    ------
    RepriseError
        Anything else that went wrong.
    """
    made = folder / "trial.json"
    if made.exists():
        return read_json(made)
    started = time.perf_counter()
    unseen = dataclasses.replace(data, test=data.test[:0])
    job = Job(folder, unseen, spec, TRIAL_SEED, device, label, checkpoint_every, origin)
    try:
        _, saved = job.resume()
        job.search(saved)
    except RepriseError as error:
        if error.kind != "diverged":
            raise
        found = {"score": None, "reason": error.reason(), "seconds": time.perf_counter() - started}
    else:
        best = next(row for row in reversed(job.history) if row["epoch"] == job.best.epoch)
        found = {"score": job.best.score, "epoch": job.best.epoch, "steps": job.best.steps,
                 "setting": job.best.setting, "metrics": {name: best[name] for name in METRICS},
                 "seconds": job.training_seconds + job.ranking_seconds, "reason": ""}  # fmt: skip
    trial = found | {"spec": spec, "seed": TRIAL_SEED, "device": str(device), "threads": torch.get_num_threads()}
    write_json(made, trial)
    for path in (folder / "checkpoint.safetensors", *folder.glob(".*.part")):
        path.unlink(missing_ok=True)
    return trial
