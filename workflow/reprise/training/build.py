"""From a spec to a method around a model."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

import torch

from reprise.data.interactions import Interactions
from reprise.data.prepared import Prepared
from reprise.errors import RepriseError
from reprise.methods import Wrapper
from reprise.training import checkpoint
from reprise.training.loop import Loop
from reprise.training.options import Training


def derived_seed(seed: int, purpose: str) -> int:
    """One seed a run, one stream a purpose: the first 63 bits of a hash of both."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:8], "big") >> 1


def build(spec: dict[str, Any], interactions: Interactions, seed: int, phase: str) -> Wrapper:
    """Make the method that `spec` names, freshly initialised, on the device of `interactions`.

    Initial weights are drawn on the CPU, so they do not depend on the kind of device. Nothing is dropped out (`eval`)
    but while a trainer that asks for it takes steps.
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, f"{phase}/weights"))
    parts = []
    for kind in ("model", "method"):
        module = importlib.import_module(f"reprise.{kind}s.{spec[kind]['name']}")
        settings = {key: value for key, value in spec[kind].items() if key != "name"}
        parts.append((module, module.Options(**settings)))
    (models, model_options), (methods, method_options) = parts
    model = models.Model(model_options, interactions, generator)
    return methods.Method(method_options, model, interactions, generator).eval()


def trained(
    spec: dict[str, Any], data: Prepared, seed: int, split: str, weights: Path, device: torch.device | str
) -> Wrapper:
    """Make the method whose `weights` a run left for the list of `split`, on the rows that it learned from."""
    training = spec["training"]
    refitted = split == "test" and training["refit"]
    fitted = data.interactions("train+valid" if refitted else training["fit_on"], device)
    method = build(spec, fitted, seed, "refit" if refitted else "search")
    tensors, _ = checkpoint.load(weights)
    method.load_state_dict({name: tensor.to(device) for name, tensor in tensors.items()})
    return method


def make_trainer(method: Wrapper, interactions: Interactions, options: Training, seed: int, phase: str) -> Loop:
    """Make the trainer that `method` names, for one phase."""
    module = importlib.import_module(f"reprise.training.{method.trainer}")
    if options.precision == "mixed" and not module.Trainer.mixed:
        raise RepriseError("training.precision", expected=f"full, as {method.trainer}.py knows no other", found="mixed")
    if options.schedule and not module.Trainer.scheduled:
        raise RepriseError("training.schedule", expected=f"none, as {method.trainer}.py has its own way", found="one")
    return module.Trainer(method, interactions, options, seed, phase)
