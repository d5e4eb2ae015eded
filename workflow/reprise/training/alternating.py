"""The trainer of a method that brings itself forward: a step is one whole iteration over the data."""

from __future__ import annotations

from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.methods.expomf import Method
from reprise.training.loop import Loop
from reprise.training.options import Training


class Trainer(Loop):
    """An epoch is a step, a step an iteration; batch, learning rate and L2 say nothing here."""

    def __init__(self, method: Method, interactions: Interactions, options: Training, seed: int, phase: str):
        super().__init__(method, interactions.items.device, phase, steps_per_epoch=1)

    def _step(self) -> Tensor:
        return self.method.iterate()
