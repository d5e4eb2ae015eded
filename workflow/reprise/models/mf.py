"""Matrix factorisation: a row a user, a row an item, the score their inner product."""

from __future__ import annotations

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.models import FactorModel, Rows, take
from reprise.settings import Field, Settings


class Options(Settings):
    """Settings of matrix factorisation."""

    dim: int = Field(ge=1, description="D, length of a row")


class Model(FactorModel):
    """y(u, i) = <p_u, q_i>, without biases."""

    source = "Koren, Bell, Volinsky: Matrix Factorization Techniques for Recommender Systems (2009), without biases"

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(interactions, options.dim, generator)
        self.options = options

    def on(self, interactions: Interactions, generator: torch.Generator) -> Model:
        """Make a fresh model with the same settings for other interactions."""
        return Model(self.options, interactions, generator)

    def represent(self, users: Tensor, noise: torch.Generator | None = None) -> Rows:
        """The tables themselves: [B, D] of `users` [B], and [n_items, D]."""
        rows = take(self.user, users)
        return Rows(rows, self.item, rows)
