"""The trainer of most methods: batches of pairs, uniform over users or over interactions, and Adam."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.methods import Wrapper
from reprise.training.build import derived_seed
from reprise.training.loop import Loop
from reprise.training.options import Training
from reprise.training.sampler import PairSampler


class Trainer(Loop):
    """A step is a batch of one of the method's parts; an epoch is floor(interactions / batch) + 1 steps."""

    def __init__(self, method: Wrapper, interactions: Interactions, options: Training, seed: int, phase: str):
        device = interactions.items.device
        super().__init__(method, device, phase, len(interactions.items) // options.batch + 1)
        self.options = options
        self.generator = torch.Generator(device).manual_seed(derived_seed(seed, f"{phase}/batches"))
        self.samplers = [
            PairSampler(part, options.batch, options.empty_users, self.generator, options.sampling, options.negatives)
            for part in method.parts
        ]
        # Which part comes next is drawn on the CPU, where it is needed: the device is not waited for.
        self.turns = torch.Generator().manual_seed(derived_seed(seed, f"{phase}/parts"))
        self.sizes = torch.tensor([float(len(part.items)) for part in method.parts])
        # Dense Adam on all rows, as TensorFlow 1 applies it: rows outside the batch move on by their momentum.
        self.optimiser = torch.optim.Adam(method.parameters(), lr=options.learning_rate, fused=True)

    def _step(self) -> Tensor:
        part = int(torch.multinomial(self.sizes, 1, generator=self.turns)) if len(self.samplers) > 1 else 0
        batch = self.method.batch(part, *self.samplers[part].draw(), self.generator)
        loss = self.method.loss(batch) + self.options.l2 / (2 * self.options.batch) * batch.squared_norm
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return loss.detach()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next step depends on, the generators with it."""
        tensors, meta = super().state()
        return tensors | {"generator": self.generator.get_state(), "turns": self.turns.get_state()}, meta

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        super().restore(tensors, meta)
        self.generator.set_state(tensors["generator"])
        self.turns.set_state(tensors["turns"])
