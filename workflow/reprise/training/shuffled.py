"""The trainer of DICE: shuffled epochs over all rows, negatives by popularity, a rate that falls on a plateau."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.methods.dice import Method
from reprise.training.build import derived_seed
from reprise.training.loop import Loop
from reprise.training.margin_sampler import MarginSampler
from reprise.training.options import Training

FACTOR = 0.1  # of the learning rate, on a plateau


class Trainer(Loop):
    """A step is a batch of rows with their negatives; an epoch sees each row once but for a last partial batch.

    In the search the learning rate falls when the score has not risen for more than `plateau` evaluations, and at its
    floor the search ends after more than `floor_patience` such evaluations. A refit lowers it after the same steps;
    margin and weights decay with its own epochs, which are longer by the validation rows.
    """

    def __init__(self, method: Method, interactions: Interactions, options: Training, seed: int, phase: str):
        device = interactions.items.device
        super().__init__(method, device, phase, max(1, len(interactions.items) // options.batch))
        self.options, self.settings = options, method.options
        self.users, self.items = interactions.users, interactions.items
        self.generator = torch.Generator(device).manual_seed(derived_seed(seed, f"{phase}/batches"))
        self.sampler = MarginSampler(interactions, self.settings.negatives, self.settings.pool, self.generator)
        self.optimiser = torch.optim.Adam(
            method.parameters(), lr=options.learning_rate, betas=self.settings.betas,
            weight_decay=self.settings.weight_decay, amsgrad=True, fused=True,
        )
        self.order = torch.empty(0, dtype=torch.int64, device=device)  # of the rows in this epoch
        self.best, self.stale = -1.0, 0  # as the learning rate knows them
        self.falls: list[int] = []  # steps after which the learning rate fell
        self.planned: list[int] = []

    def _step(self) -> Tensor:
        epoch, place = divmod(self.steps, self.steps_per_epoch)
        if place == 0:
            self.order = torch.randperm(len(self.items), generator=self.generator, device=self.device)
        if self.steps in self.planned:
            self._lower_rate()
        self.method.epoch = epoch
        rows = self.order[place * self.options.batch : (place + 1) * self.options.batch]
        users, positives = self.users[rows], self.items[rows]
        negatives = self.sampler.draw(users, positives, self.settings.margin * self.settings.decay**epoch)
        batch = self.method.batch(0, users, positives, negatives, self.generator)
        loss = self.method.loss(batch) + self.options.l2 / (2 * len(users)) * batch.squared_norm
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return loss.detach()

    @property
    def rate(self) -> float:
        """The learning rate."""
        return self.optimiser.param_groups[0]["lr"]

    def _lower_rate(self) -> None:
        self.optimiser.param_groups[0]["lr"] = max(self.rate * FACTOR, self.settings.floor)
        self.falls.append(self.steps)
        self.stale = 0

    def observe(self, score: float) -> bool:
        """Lower the learning rate on a plateau; say whether to go on."""
        self.best, self.stale = max(self.best, score), 0 if score > self.best else self.stale + 1
        if self.rate <= self.settings.floor * (1 + 1e-9):  # a tenth is not exact
            return self.stale <= self.settings.floor_patience
        if self.stale > self.settings.plateau:
            self._lower_rate()
        return True

    def plan(self) -> list[int]:
        """The steps after which the learning rate fell."""
        return self.falls

    def follow(self, plan: list[int]) -> None:
        """Lower the learning rate after the same steps."""
        self.planned = plan

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next step depends on."""
        tensors, meta = super().state()
        tensors |= {"generator": self.generator.get_state(), "order": self.order}
        meta |= {"rate": self.rate, "best_score": self.best, "stale": self.stale, "falls": self.falls}
        return tensors, meta

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        super().restore(tensors, meta)
        self.generator.set_state(tensors["generator"])
        self.order = tensors["order"].to(self.device)
        self.optimiser.param_groups[0]["lr"] = meta["rate"]
        self.best, self.stale, self.falls = meta["best_score"], meta["stale"], meta["falls"]
