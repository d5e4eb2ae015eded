"""A run that ranks finished runs anew: nothing is trained, only its inference setting is chosen."""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from reprise.data.prepared import Prepared
from reprise.errors import RepriseError
from reprise.evaluation.profiles import Profiles
from reprise.files import read_json, write_json
from reprise.methods import setting_name
from reprise.rerank import Finished, Ranker
from reprise.training.build import trained
from reprise.training.options import Training
from reprise.training.run import HISTORY, curve, list_name, ranking_of, write_csv
from reprise.training.search import METRICS

Entries = Sequence[tuple[Path, int]]  # of the runs that are re-ranked: the folder in the store, and the seed


def make(spec: dict[str, Any], data: Prepared, bases: Entries, split: str, device: torch.device | str) -> Ranker:
    """Make the re-ranker that `spec` names, of what its bases rank `split` with.

    Raises
    ------
    RepriseError
        It chooses from fewer items than the longest list has, or needs another number of rows.
    """
    training = Training(**spec["training"])
    module = importlib.import_module(f"reprise.rerank.{spec['rerank']['name']}")
    options = module.Options(**{key: value for key, value in spec["rerank"].items() if key != "name"})
    if getattr(options, "candidates", max(training.ks)) < max(training.ks):
        raise RepriseError(f"rerankers.{spec['rerank']['name']}.candidates", found=str(options.candidates),
                           expected=f"at least {max(training.ks)}, as long as the longest list")
    finished = [_finished(entry, seed, data, split, device) for entry, seed in bases]
    return module.Reranker(options, finished, Profiles(data, training.profile, device))


def _finished(entry: Path, seed: int, data: Prepared, split: str, device: torch.device | str) -> Finished:
    record = read_json(entry / "run.json")
    selected = record["selected"]
    folder = selected["list"] if split == "test" else selected["valid_list"] or selected["list"]
    method = trained(record["spec"], data, seed, split, entry / folder / "model.safetensors", device)
    return Finished(method, selected["setting"])


def choose(
    folder: Path, data: Prepared, spec: dict[str, Any], bases: Entries, device: torch.device | str
) -> dict[str, Any]:
    """Choose the inference setting on `select_on`, as a run with training does; of equal ones the first.

    Writes `history.csv`, `sweep.csv` (if there is a setting to choose) and, last, `selected.json`.

    Returns
    -------
    dict
        What `training.run.train` returns; epochs and steps are 0.
    """
    started, options = time.perf_counter(), Training(**spec["training"])
    on = options.select_on
    ranker = make(spec, data, bases, on, device)
    ranking = ranking_of(data, on, device, options.mask)
    with torch.no_grad():
        measured = ranking.measure(ranker, ranker.choices(), options.k, METRICS)
    score = f"{options.metric}@{options.k}"
    setting, values = max(zip(ranker.choices(), measured, strict=True), key=lambda pair: pair[1][score])
    row = {"phase": "search", "epoch": 0, "steps": 0, "split": on, "setting": setting_name(setting)}
    write_csv(folder / "history.csv", HISTORY, [row | {name: values[f"{name}@{options.k}"] for name in METRICS}])
    if ranker.sweep():
        tasks = {on: (ranker, ranking)}
        if on != "test":
            testing = make(spec, data, bases, "test", device)
            tasks["test"] = (testing, ranking_of(data, "test", device, options.mask))
        sweep = curve(tasks, options.k, 0)
        write_csv(folder / "sweep.csv", tuple(sweep[0]), sweep)
    selected = {
        "list": list_name("test", setting),
        "valid_list": None if on == "test" else list_name(on, setting),
        "epoch": 0,
        "steps": 0,
        "setting": setting,
        "score": values[score],
        "trained_steps": 0,
        "train_s": 0.0,
        "rank_s": time.perf_counter() - started,
    }
    write_json(folder / "selected.json", selected)
    return selected
