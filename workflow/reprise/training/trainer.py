"""The loop: draw a batch, take a step. Knows nothing of metrics, phases or files."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.errors import RepriseError
from reprise.methods import Wrapper, pairs
from reprise.training.build import derived_seed
from reprise.training.checkpoint import over, under
from reprise.training.options import Training
from reprise.training.sampler import UserUniformSampler

DIVERGED = 100.0  # times the loss of the first step, before anything was learned


class Trainer:
    """Fits one method on one set of interactions; its whole state can be saved and restored to the bit."""

    def __init__(self, method: Wrapper, interactions: Interactions, options: Training, seed: int, phase: str):
        self.method, self.options, self.phase = method, options, phase
        device = interactions.items.device
        self.generator = torch.Generator(device).manual_seed(derived_seed(seed, f"{phase}/batches"))
        self.sampler = UserUniformSampler(interactions, options.batch, options.empty_users, self.generator)
        # Dense Adam on all rows, as TensorFlow 1 applies it: rows outside the batch move on by their momentum.
        self.optimiser = torch.optim.Adam(method.parameters(), lr=options.learning_rate, fused=True)
        self.steps_per_epoch = len(interactions.items) // options.batch + 1
        self.steps = 0
        self.seconds = 0.0
        self.first_loss: float | None = None

    @property
    def epochs(self) -> float:
        """Epochs done; an epoch is floor(interactions / batch) + 1 steps."""
        return self.steps / self.steps_per_epoch

    def train(self, steps: int) -> float:
        """Take `steps` steps; return their mean loss, L2 included.

        Raises
        ------
        RepriseError
            The loss is not finite, or far above the first step's.
        """
        started = time.perf_counter()
        total = torch.zeros((), device=self.generator.device)
        for _ in range(steps):
            loss = self._step()
            if self.first_loss is None:
                self.first_loss = float(loss)
            total += loss
        loss = float(total) / steps
        self.steps += steps
        self.seconds += time.perf_counter() - started
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
        batch = pairs(self.method.model, *self.sampler.draw())
        loss = self.method.loss(batch) + self.options.l2 / (2 * self.options.batch) * batch.squared_norm
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return loss.detach()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next step depends on: weights, Adam's moments, the generator."""
        tensors = over("weights", self.method.state_dict()) | {"generator": self.generator.get_state()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= over(f"adam/{index}", moments)
        return tensors, {
            "phase": self.phase,
            "steps": self.steps,
            "seconds": self.seconds,
            "first_loss": self.first_loss,
        }

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        device = self.generator.device
        self.method.load_state_dict({name: tensor.to(device) for name, tensor in under("weights", tensors).items()})
        self.generator.set_state(tensors["generator"])
        known = self.optimiser.state_dict()
        adam = under("adam", tensors)
        known["state"] = {index: under(str(index), adam) for index in {int(name.split("/")[0]) for name in adam}}
        self.optimiser.load_state_dict(known)
        self.steps, self.seconds, self.first_loss = meta["steps"], meta["seconds"], meta["first_loss"]
