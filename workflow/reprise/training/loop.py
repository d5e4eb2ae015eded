"""The loop that all trainers share: take steps, count them, notice when they diverge, remember the weights.

A trainer is a file of this folder with a class `Trainer(Loop)`, which a method names. It knows nothing of metrics,
phases or files.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from reprise.errors import RepriseError
from reprise.methods import Wrapper
from reprise.training.checkpoint import over, under

DIVERGED = 100.0  # times the loss of the first step, before anything was learned


class Loop:
    """Fits one method; its whole state can be saved and restored to the bit."""

    mixed = False  # whether it knows `precision: mixed`
    scheduled = False  # whether it knows a `schedule`
    optimiser: torch.optim.Optimizer | None = None  # a trainer that has one sets it; its moments are part of the state

    def __init__(self, method: Wrapper, device: torch.device, phase: str, steps_per_epoch: int):
        self.method, self.device, self.phase, self.steps_per_epoch = method, device, phase, steps_per_epoch
        self.steps = 0
        self.seconds = 0.0
        self.first_loss: float | None = None
        # The sum of the losses since step `since`, carried along so that a kill changes no bit of their mean.
        self.total, self.since = torch.zeros((), device=device), 0

    @property
    def epochs(self) -> float:
        """Epochs done, of `steps_per_epoch` steps each."""
        return self.steps / self.steps_per_epoch

    def mean_loss(self) -> float:
        """Mean loss of the steps since `train` last ended."""
        return self._waited_total() / (self.steps - self.since)

    def _waited_total(self) -> float:
        """The sum of the losses. The device is waited for, which is time that steps take."""
        started = time.perf_counter()
        total = float(self.total)
        self.seconds += time.perf_counter() - started
        return total

    def train(self, steps: int, between: Callable[[], None] = lambda: None) -> float:
        """Take `steps` steps; return the mean loss since the last call that ended, L2 included.

        Between any two steps, `between` is called, and its time not counted. A state that is saved there and restored
        goes on with the same mean.

        Raises
        ------
        RepriseError
            The loss is not finite, or far above the first step's.
        """
        self.method.forget()  # what ranking keeps is of the weights before these steps
        for left in range(steps, 0, -1):
            started = time.perf_counter()
            loss = self._step()
            if self.first_loss is None:
                self.first_loss = float(loss)
            self.steps += 1
            self.total += loss
            self.seconds += time.perf_counter() - started
            if left > 1:
                between()
        loss = self.mean_loss()
        self.total, self.since = torch.zeros_like(self.total), self.steps
        if not math.isfinite(loss) or loss > DIVERGED * self.first_loss:
            raise RepriseError(
                f"{self.phase}, epoch {self.epochs:.0f}",
                kind="diverged",
                expected="a finite loss that falls",
                found=f"loss {loss:g} (first step: {self.first_loss:g})",
                fix="lower learning_rate",
            )
        return loss

    def _step(self) -> Tensor:
        """Take one step, with `self.steps` done before it; return its loss, a scalar on the device."""
        raise RuntimeError(f"{type(self).__module__} defines no step")

    def pace(self) -> dict[str, str]:
        """What a progress bar says of its speed beyond epochs; {} if nothing."""
        return {}

    def observe(self, score: float) -> bool:
        """Hear the score of an evaluation in the search (higher is better); say whether to go on."""
        return True

    def plan(self) -> list[int]:
        """What the search taught about pace, for a refit, which hears no scores, to `follow`; [] if nothing."""
        return []

    def follow(self, plan: list[int]) -> None:
        """Take over the `plan` of a finished search."""

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next step depends on."""
        total = self._waited_total()
        tensors = over("weights", self.method.state_dict())
        if self.optimiser:
            tensors |= over("optimiser", _moments(self.optimiser))
        return tensors, {
            "phase": self.phase,
            "steps": self.steps,
            "seconds": self.seconds,
            "first_loss": self.first_loss,
            "total": total,
            "since": self.since,
        }

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        weights = under("weights", tensors)
        self.method.load_state_dict({name: tensor.to(self.device) for name, tensor in weights.items()})
        self.steps, self.seconds, self.first_loss = meta["steps"], meta["seconds"], meta["first_loss"]
        self.total, self.since = self.total.new_tensor(meta["total"]), meta["since"]
        if self.optimiser:
            _restore(self.optimiser, under("optimiser", tensors))


def _moments(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's moments as named tensors, `<parameter>/<moment>`."""
    tensors: dict[str, Tensor] = {}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= over(str(index), moments)
    return tensors


def _restore(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `_moments` gave."""
    known = optimiser.state_dict()
    known["state"] = {index: under(str(index), tensors) for index in {int(name.split("/")[0]) for name in tensors}}
    optimiser.load_state_dict(known)
