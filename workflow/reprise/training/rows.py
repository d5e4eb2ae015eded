"""The trainer of pointwise methods: rows of an epoch, each positive with a sampled item, shuffled, and Adagrad."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.data.unmet import Unmet
from reprise.errors import RepriseError
from reprise.methods.pointwise import Method, Rows
from reprise.training.build import derived_seed
from reprise.training.loop import Loop
from reprise.training.options import Training

ACCUMULATED = 1e-8  # Adagrad's sums of squares before the first step; WenjieWWJ/DecRS
TINY = 1e-30  # a norm below which rows are 0, and so is its gradient


class Trainer(Loop):
    """A step is a batch of rows; an epoch has every training row and, for each, one item that its user has not met.

    Rows that do not fill a last batch are left out of an epoch. Nothing random is carried from step to step: the rows
    of an epoch follow from its number, and PyTorch's global generators, from which dropout is drawn, are seeded by the
    step's number before every step.
    """

    def __init__(self, method: Method, interactions: Interactions, options: Training, seed: int, phase: str):
        if options.l2:
            raise RepriseError("training.l2", expected="0: pointwise methods have a `weight` of their own",
                               found=str(options.l2))
        if not len(interactions.items):
            raise RepriseError("training data", expected="at least one interaction", found="none")
        device = interactions.items.device
        self.count = 2 * len(interactions.items)
        self.batch = min(options.batch, self.count)
        super().__init__(method, device, phase, self.count // self.batch)
        self.seed, self.settings = seed, method.options
        self.users, self.items = interactions.users, interactions.items
        self.unmet = Unmet(interactions, torch.nonzero(interactions.degrees).squeeze(1))
        self.generator = torch.Generator(device)
        self.optimiser = torch.optim.Adagrad(
            method.parameters(), lr=options.learning_rate, initial_accumulator_value=ACCUMULATED,
            fused=device.type == "cpu",
        )
        self.epoch: Rows | None = None

    def _step(self) -> Tensor:
        number, place = divmod(self.steps, self.steps_per_epoch)
        if place == 0 or self.epoch is None:
            self.epoch = self._rows(number)
        torch.manual_seed(derived_seed(self.seed, f"{self.phase}/step/{self.steps}"))
        self.method.train()
        here = slice(place * self.batch, (place + 1) * self.batch)
        loss = self.method.loss(Rows(*(column[here] for column in self.epoch)))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        penalty = self._regularise() if self.settings.weight else 0.0
        self.optimiser.step()
        self.method.eval()
        return loss.detach() + penalty

    @torch.no_grad()
    def _regularise(self) -> Tensor:
        """lambda times the norm of all rows, its gradient added to theirs.

        That of |x| is x / |x|. Autograd finds it too, by half a dozen passes over all rows: half of the whole step.
        """
        weight, rows = self.settings.weight, list(self.method.model.rows.values())
        norm = torch.stack(torch._foreach_norm(rows)).norm()
        squared = self.settings.reg == "l2"
        slope = 2 * weight * torch.ones_like(norm) if squared else weight / norm.clamp(min=TINY)
        for one in rows:
            one.grad.addcmul_(one, slope)
        return weight * (norm.square() if squared else norm)

    def _rows(self, number: int) -> Rows:
        """The rows of epoch `number`, shuffled."""
        self.generator.manual_seed(derived_seed(self.seed, f"{self.phase}/epoch/{number}"))
        half = self.count // 2
        chance = torch.rand(half, generator=self.generator, device=self.device, dtype=torch.float64)
        negatives = self.unmet.at(self.users, chance)
        order = torch.randperm(self.count, generator=self.generator, device=self.device)
        labels = (order < half).float()
        return Rows(self.users[order % half], torch.cat([self.items, negatives])[order], labels)

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        super().restore(tensors, meta)
        self.epoch = None
