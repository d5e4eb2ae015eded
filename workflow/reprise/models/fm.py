"""Factorisation machine over features of user and item: first order, and every pair of features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.models.factorisation import FactorisationMachine, FactorisationOptions, Side, norm, scale_and_shift
from reprise.settings import Field


class Options(FactorisationOptions):
    """Settings of the factorisation machine."""

    dropout: float = Field(ge=0, lt=1, description="of the pooled pairs")
    batch_norm: bool = Field(description="of the pooled pairs, before dropout; false: the textbook's machine")


class Model(FactorisationMachine):
    """y(u, i) = sum_k drop(BN(pool))_k + sum_f x_f w_f + b, pool the sum over pairs of features of x_f e_f x_g e_g."""

    source = "Rendle: Factorization Machines (ICDM 2010), Eq. 1, with batch norm and dropout as WenjieWWJ/DecRS has it"

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(options, interactions, generator)
        self.normalised = norm(options.dim, options.batch_norm)
        self.dropout = nn.Dropout(options.dropout)
        self.to(interactions.items.device)

    def head(self, pooled: Tensor) -> Tensor:
        """Sum of the pooled pairs [B, D], normalised; [B]."""
        return self.dropout(self.normalised(pooled)).sum(1)

    def against_all(self, user: Side) -> Tensor:
        """One matrix product, [B, n_items].

        Of ((s + t)^2 - squares) / 2, s the user's total and t the item's, only s t needs both; a batch norm that
        does not learn is a scale and a shift of each dimension.
        """
        scale, shift = scale_and_shift(self.normalised, self.rows["item"][0])
        item = self.items()
        of_user = (user.pool() * scale + shift).sum(1) + user.linear + self.bias
        of_item = (item.pool() * scale).sum(1) + item.linear
        return torch.addmm(of_item, user.total * scale, item.total.T).add_(of_user[:, None])
