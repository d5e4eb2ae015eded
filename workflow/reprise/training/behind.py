"""The finished runs that a run is made of, found in the store: whose weights it starts from, which it re-ranks, and as
long as which it trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reprise.config import Config
from reprise.errors import RepriseError
from reprise.files import read_json
from reprise.training.devices import processes_of
from reprise.training.store import cell_fingerprint, finished


def released(spec: dict[str, Any]) -> str | None:
    """The source whose released weights a run begins with; None for most, which begin with random ones."""
    key = spec.get("model", {}).get("weights", "random")
    return None if key == "random" else key


def placed(spec: dict[str, Any], config: Config) -> dict[str, Any]:
    """The spec to build from: where it names released weights, the folder that holds them stands instead."""
    key = released(spec)
    if key is None:
        return spec
    return {**spec, "model": {**spec["model"], "weights": str(Path(config.resources, "raw", key))}}


@dataclass(frozen=True)
class Behind:
    """What stands behind one run, on the same data (`content`), device and threads.

    Its methods raise RepriseError where a run is not finished.
    """

    spec: Mapping[str, Any]
    seed: int
    content: str
    device: str
    config: Config
    label: str

    def origin(self) -> dict[str, dict[str, Path]]:
        """By phase and part of the model, the weights that the run starts from; empty if it starts afresh."""
        found = {part: self._weights(self._entry(start)) for part, start in self.spec.get("starts_from", {}).items()}
        return {phase: {part: lists[phase] for part, lists in found.items()} for phase in ("search", "refit")}

    def updates(self) -> int | None:
        """How many updates the run takes: as many as others took; None where its own patience ends it."""
        phases = self.spec.get("updates_of", {}).values()
        return sum(read_json(self._entry(phase) / "cost.json")["steps"] for phase in phases) or None

    def bases(self) -> list[tuple[Path, int]]:
        """The entries of the runs that it re-ranks, and their seeds."""
        bases = self.spec["reranks"].values()
        return [(self._entry(base), self.seed + base["seed"]) for base in bases]

    def _entry(self, other: Mapping[str, Any]) -> Path:
        seed = self.seed + other.get("seed", 0)
        # A run starts from one that is trained as it is; what a re-ranker needs, scores, no method has that writes.
        processes = processes_of(self.spec.get("method", {}).get("name"), self.config)
        cell = cell_fingerprint(other["code"], self.content, self.device, self.config.threads, processes)
        entry = Path(self.config.resources, "store", f"{cell}-s{seed}")
        if not finished(entry):
            raise RepriseError(
                self.label, expected=f"a finished run of {other['method']}, which it is made of",
                found=f"no {entry}/run.json",
                fix=f"run {other['method']} first, on the same data, in the same reading and with seed {seed}",
            )
        return entry

    @staticmethod
    def _weights(entry: Path) -> dict[str, Path]:
        """By phase, the weights that a run left."""
        selected = read_json(entry / "run.json")["selected"]
        lists = {"search": selected["valid_list"] or selected["list"], "refit": selected["list"]}
        return {phase: entry / name / "model.safetensors" for phase, name in lists.items()}
