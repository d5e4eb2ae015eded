"""Pointwise training: every row of user and item on its own, a click or not."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.methods import Wrapper
from reprise.models.factorisation import FactorisationMachine, Side
from reprise.settings import Field, Settings


class PointwiseOptions(Settings):
    """Settings of every method that trains so."""

    weight: float = Field(ge=0, description="lambda, weight of the norm of all rows of the model")
    reg: Literal["norm", "l2"] = Field(description="that norm as it is, or squared")


class Options(PointwiseOptions):
    """Settings of the loss."""


class Rows(NamedTuple):
    """A batch of rows.

    Attributes
    ----------
    users, items : Tensor [B] int64
    labels : Tensor [B]
        1 for a training row, 0 for a sampled item.
    """

    users: Tensor
    items: Tensor
    labels: Tensor


class Method(Wrapper):
    """The sum, not the mean, over rows of -y log s(score) - (1 - y) log(1 - s(score)), plus lambda times the norm.

    `trainer` adds the norm: it is the same for every method that trains so.
    """

    source = "Wang et al.: DecRS (KDD 2021), section 4.1, as WenjieWWJ/DecRS has it"
    trainer = "rows"

    def __init__(
        self, options: Options, model: FactorisationMachine, interactions: Interactions, generator: torch.Generator
    ):
        super().__init__(model, interactions)
        self.options = options

    def side(self, users: Tensor) -> Side:
        """The user side of an instance, of `users` [B]."""
        return self.model.users(users)

    def loss(self, batch: Rows) -> Tensor:
        """Binary cross-entropy of a batch, summed; returns a scalar."""
        logits = self.model.interact(self.side(batch.users), self.model.items(batch.items))
        return nn.functional.binary_cross_entropy_with_logits(
            logits, batch.labels, weight=self.weigh(batch), reduction="sum"
        )

    def weigh(self, batch: Rows) -> Tensor | None:
        """Weights of the rows [B], or None where all count alike."""
        return None

    def scores(self, users: Tensor, history: Interactions | None = None) -> Tensor:
        """Logits of every item for `users` [B], [B, n_items]."""
        return self.model.against_all(self.side(users))
