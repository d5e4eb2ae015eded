"""One training run: search for the best epoch and setting, train again if the reading says so, leave the weights
behind.

Killed at any point and started again in the same folder, it goes on from its last checkpoint and ends with the same
bits.
"""

from __future__ import annotations

import csv
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from reprise.data.prepared import Prepared
from reprise.evaluation.ranking import Mask, Ranking
from reprise.files import replacing, write_json
from reprise.methods import Wrapper, setting_name
from reprise.training import checkpoint
from reprise.training.build import build, make_trainer
from reprise.training.loop import Loop
from reprise.training.options import Training
from reprise.training.search import METRICS, Best

logger = logging.getLogger("reprise")
CHECKPOINT_EVERY = 30.0  # seconds between two checkpoints; when they fall changes no result
CHECKPOINT_SHARE = 0.05  # of the time, at most, that writing them takes
SHOW_EVERY = 2.0  # seconds between two looks at the loss, for which the device is waited for
SAY_EVERY = 60.0  # seconds between two lines in the log
HISTORY = ("phase", "epoch", "steps", "loss", "split", "setting", *METRICS)


def list_name(split: str, setting: dict[str, Any]) -> str:
    """Name a list by its split and inference setting: `test-c40`, `valid`."""
    return "-".join(filter(None, (split, setting_name(setting))))


def ranking_of(data: Prepared, split: str, device: torch.device | str, mask: Mask) -> Ranking:
    """The ranking task of a split: before `valid` comes the training part, before `test` validation too.

    With the mask `train` validation is offered again when the test part is ranked, history though it is.
    """
    history = data.parts("train" if split == "valid" else "train+valid")
    trained = data.parts("train") if mask == "train" else None
    return Ranking(data.parts(split), history, data.n_users, data.n_items, device, mask, data.ordered, trained)


class Job:
    """The two phases of one run and what they share."""

    def __init__(
        self,
        folder: Path,
        data: Prepared,
        spec: dict[str, Any],
        seed: int,
        device: torch.device | str,
        label: str,
        checkpoint_every: float = CHECKPOINT_EVERY,
        origin: Mapping[str, Mapping[str, Path]] | None = None,
        updates: int | None = None,
    ):
        self.origin, self.updates = origin or {}, updates
        self.folder, self.data, self.spec, self.seed, self.device, self.label = folder, data, spec, seed, device, label
        self.options = Training(**spec["training"])
        self.ranking = ranking_of(data, self.options.select_on, device, self.options.mask)
        self.best = Best(self.options.metric, self.options.ties)
        self.history: list[dict[str, Any]] = []
        self.ranking_seconds = self.training_seconds = 0.0
        self.trained_steps = 0
        self.plan: list[int] = []  # what the search taught its trainer about pace
        self.going = True  # whether the trainer wants to go on with the search
        self.checkpoint_every = checkpoint_every
        self.saved_at = self.shown_at = self.said_at = time.monotonic()
        self.saving = 0.0  # seconds that the last checkpoint took

    def build(self, phase: str, part: str) -> tuple[Wrapper, Loop | None]:
        """Make the method, and its trainer if it learns anything, for one phase on one part of the data."""
        interactions = self.data.interactions(part, self.device)
        method = build(self.spec, interactions, self.seed, phase)
        for piece, path in self.origin.get(phase, {}).items():
            weights, _ = checkpoint.load(path)
            method.start_from({name: tensor.to(self.device) for name, tensor in weights.items()}, piece)
        learns = method.model.trainable and self.options.max_epochs
        return method, make_trainer(method, interactions, self.options, self.seed, phase) if learns else None

    def search(self, saved: tuple[dict, dict] | None) -> Wrapper:
        """Train on `fit_on`, evaluate on `select_on`, stop when nothing better has come for `patience` evaluations; or,
        if they are counted, after so many `updates`."""
        method, trainer = self.build("search", self.options.fit_on)
        if trainer is None:
            self._evaluate(method, 0, 0, None)
            return method
        if saved:
            trainer.restore(*saved)
        options = self.options
        total = self.updates or options.max_epochs * trainer.steps_per_epoch
        patience = math.inf if self.updates else options.patience
        with self._bar(total, trainer) as bar:
            while self.going and trainer.steps < total and self.best.stale < patience:
                loss = self._epoch(trainer, total, bar)
                epoch = round(trainer.epochs)
                if epoch % options.eval_every == 0 or trainer.steps == total:
                    self.going = trainer.observe(self._evaluate(method, epoch, trainer.steps, loss))
                self._checkpoint(trainer)
        self.plan = trainer.plan()
        self.trained_steps += trainer.steps
        self.training_seconds += trainer.seconds
        return method

    def refit(self, saved: tuple[dict, dict] | None) -> Wrapper:
        """Train afresh on train and validation together for the number of steps that the search chose."""
        method, trainer = self.build("refit", "train+valid")
        if trainer is None:
            return method
        trainer.follow(self.plan)
        if saved:
            trainer.restore(*saved)
        total = self.best.steps
        with self._bar(total, trainer) as bar:
            while trainer.steps < total:
                loss = self._epoch(trainer, total, bar)
                if round(trainer.epochs) % self.options.eval_every == 0 or trainer.steps == total:
                    self.history.append(
                        {"phase": "refit", "epoch": round(trainer.epochs, 2), "steps": trainer.steps, "loss": loss}
                    )
                self._checkpoint(trainer)
        self.trained_steps += trainer.steps
        self.training_seconds += trainer.seconds
        return method

    def _epoch(self, trainer: Loop, total: int, bar: tqdm) -> float:
        """Train to the end of an epoch, or of all `total` steps; the epoch's mean loss."""

        def between() -> None:
            self._checkpoint(trainer)
            now = time.monotonic()
            if now - self.shown_at > SHOW_EVERY:
                self.shown_at = now
                self._show(trainer, total, trainer.mean_loss(), bar)

        end = min(total, (trainer.steps // trainer.steps_per_epoch + 1) * trainer.steps_per_epoch)
        loss = trainer.train(end - trainer.steps, between)
        self._show(trainer, total, loss, bar)
        return loss

    def _bar(self, total: int, trainer: Loop) -> tqdm:
        return tqdm(
            total=total,
            initial=trainer.steps,
            desc=f"{self.label} {trainer.phase}",
            unit="step",
            leave=False,
            mininterval=SHOW_EVERY,
            dynamic_ncols=True,
            disable=None,
        )

    def _show(self, trainer: Loop, total: int, loss: float, bar: tqdm) -> None:
        """Say how far training is: on a terminal with a bar, in the log file with a line now and then."""
        best = f"{self.options.metric}@{self.options.k} {max(self.best.score, 0):.4f}"
        bar.set_postfix(epoch=f"{trainer.epochs:.1f}", loss=f"{loss:.4f}", best=best, **trainer.pace(), refresh=False)
        bar.update(trainer.steps - bar.n)
        if time.monotonic() - self.said_at > SAY_EVERY:
            left = tqdm.format_interval((total - trainer.steps) * trainer.seconds / trainer.steps)
            pace = "".join(f", {rate} {name}" for name, rate in trainer.pace().items())
            logger.info("%s %s: epoch %.2f, loss %.4f, best %s%s, at most %s to go",
                        self.label, trainer.phase, trainer.epochs, loss, best, pace, left)  # fmt: skip
            self.said_at = time.monotonic()

    def _evaluate(self, method: Wrapper, epoch: int, steps: int, loss: float | None) -> float:
        """Rank, keep the best, and return the score of this epoch."""
        started = time.perf_counter()
        settings = method.sweep() or method.choices()
        with torch.no_grad():
            measured = self.ranking.measure(method, settings, self.options.k, METRICS)
        named = [{name.split("@")[0]: value for name, value in one.items()} for one in measured]
        setting, metrics = self.best.see(
            epoch, steps, list(zip(settings, named, strict=True)), method.choices(), method.state_dict()
        )
        self.history.append(
            {
                "phase": "search",
                "epoch": epoch,
                "steps": steps,
                "loss": loss,
                "split": self.options.select_on,
                "setting": setting_name(setting),
                **metrics,
            }
        )
        self.ranking_seconds += time.perf_counter() - started
        return metrics[self.options.metric]

    def _checkpoint(self, trainer: Loop) -> None:
        started = time.monotonic()
        wait = max(self.checkpoint_every, self.saving / CHECKPOINT_SHARE) if self.checkpoint_every else 0.0
        if started - self.saved_at < wait:
            return
        tensors, meta = trainer.state()
        job = {
            "best": self.best.state(),
            "history": self.history,
            "ranking_seconds": self.ranking_seconds,
            "training_seconds": self.training_seconds,
            "trained_steps": self.trained_steps,
            "plan": self.plan,
            "going": self.going,
        }
        checkpoint.save(
            self.folder / "checkpoint.safetensors",
            tensors | checkpoint.over("best", self.best.weights),
            {**meta, "job": job},
        )
        self.saved_at = time.monotonic()
        self.saving = self.saved_at - started

    def resume(self) -> tuple[str, tuple[dict, dict] | None]:
        """Read the last checkpoint, if any: the phase it was taken in, and the trainer's part of it."""
        path = self.folder / "checkpoint.safetensors"
        if not path.exists():
            return "search", None
        tensors, meta = checkpoint.load(path)
        job = meta["job"]
        weights = {name: tensor.to(self.device) for name, tensor in checkpoint.under("best", tensors).items()}
        self.best = Best(**job["best"], weights=weights)
        self.history, self.ranking_seconds = job["history"], job["ranking_seconds"]
        self.training_seconds, self.trained_steps = job["training_seconds"], job["trained_steps"]
        self.plan, self.going = job["plan"], job["going"]
        logger.info("%s: resumed in %s at step %d", self.label, meta["phase"], meta["steps"])
        return meta["phase"], (tensors, meta)

    def sweeps(self, searched: Wrapper, final: Wrapper) -> list[dict[str, Any]]:
        """The curve over the settings, twice: each at its own best epoch of the search, and all at the chosen epoch."""
        rows: list[dict[str, Any]] = []
        settings = {setting_name(setting): setting for setting in searched.sweep()}
        if not settings:
            return rows
        k, split = self.options.k, self.options.select_on
        for key, best in self.best.own.items():
            rows += [
                {
                    "curve": "own_epoch",
                    "split": split,
                    **settings[key],
                    "epoch": best["epoch"],
                    "metric": name,
                    "k": k,
                    "value": best[name],
                }
                for name in METRICS
            ]
        testing = self.ranking if split == "test" else ranking_of(self.data, "test", self.device, self.options.mask)
        tasks = {split: (searched, self.ranking), "test": (final, testing)}
        return rows + curve(tasks, k, self.best.epoch)


def curve(tasks: Mapping[str, tuple[Any, Ranking]], k: int, epoch: int) -> list[dict[str, Any]]:
    """Rows of `sweep.csv`: the metrics at `k` of every setting of what ranks each split, all at one `epoch`."""
    rows = []
    for split, (scorer, ranking) in tasks.items():
        settings = scorer.sweep()
        with torch.no_grad():
            measured = ranking.measure(scorer, settings, k, METRICS)
        rows += [
            {"curve": "fixed_epoch", "split": split, **setting, "epoch": epoch, "metric": metric, "k": k,
             "value": values[f"{metric}@{k}"]}
            for setting, values in zip(settings, measured, strict=True)
            for metric in METRICS
        ]
    return rows


def train(
    folder: Path,
    data: Prepared,
    spec: dict[str, Any],
    seed: int,
    device: torch.device | str,
    label: str,
    checkpoint_every: float = CHECKPOINT_EVERY,
    origin: Mapping[str, Mapping[str, Path]] | None = None,
    updates: int | None = None,
) -> dict[str, Any]:
    """Train one run in `folder`, from its checkpoint if there is one.

    `origin` names, by phase (`search`, `refit`) and part of the model, the weights that it starts from, if not afresh;
    `updates` is how many the search takes, if not patience and the cap of epochs end it.

    Writes `<list>/model.safetensors` for the list that selected and for the test list, `history.csv`, `sweep.csv` (if
    the method has a setting that only inference reads) and, last, `selected.json`.

    Returns
    -------
    dict
        What was selected (`list`, `valid_list`, `epoch`, `steps`, `setting`, `score`) and what it took (`train_s`,
        `rank_s`, ...).

    Raises
    ------
    RepriseError
        Training diverged.
    """
    job = Job(folder, data, spec, seed, device, label, checkpoint_every, origin, updates)
    phase, saved = job.resume()
    if phase == "search":
        searched = job.search(saved)
        saved = None
    else:
        searched, _ = job.build("search", job.options.fit_on)
    searched.load_state_dict(job.best.weights)
    final = job.refit(saved) if job.options.refit else searched

    lists = {list_name(job.options.select_on, job.best.setting): searched, list_name("test", job.best.setting): final}
    for name, method in lists.items():
        checkpoint.save(folder / name / "model.safetensors", dict(method.state_dict()), {})
    write_csv(folder / "history.csv", HISTORY, job.history)
    sweeps = job.sweeps(searched, final)
    if sweeps:
        write_csv(folder / "sweep.csv", tuple(sweeps[0]), sweeps)
    selecting, testing = lists if len(lists) == 2 else (None, *lists)
    selected = {
        "list": testing,
        "valid_list": selecting,
        "epoch": job.best.epoch,
        "steps": job.best.steps,
        "setting": job.best.setting,
        "score": job.best.score,
        "trained_steps": job.trained_steps,
        "train_s": job.training_seconds,
        "rank_s": job.ranking_seconds,
    }
    write_json(folder / "selected.json", selected)
    return selected


def write_csv(path: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """Write rows as CSV, atomically; what a row lacks stays empty."""
    with replacing(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
