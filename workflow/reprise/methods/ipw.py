"""IPW: what popularity made likely to be seen counts less."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.methods import Pairs, Wrapper
from reprise.models import FactorModel
from reprise.settings import Field, Settings


class Options(Settings):
    """Settings of IPW."""

    weighting: Literal["sample", "dice", "score_div"] = Field(
        description="sample: 1/p on the positive term, mean 1 over the rows; dice: DICE's capped weights on the whole "
        "pair; score_div: the official stub, which divides scores by p in a pairwise ranking loss"
    )
    clip: Literal["none", "median"] = Field(description="sample only: cap 1/p at its median over the items")


class Method(Wrapper):
    """Propensity p_i = (n_i + 1) / (n_users + 1), n_i the training users of item i; ranking: y_k.

    With w = 1/p (clipped, then scaled to mean 1 over the training rows) and s the sigmoid:

    - sample: mean of -w_(i+) log s(y+) - log(1 - s(y-));
    - dice: mean of w_(i+) (-log s(y+) - log(1 - s(y-))), w = 1 / (share of the most popular item's rows), capped at
      the median over items, divided by its maximum;
    - score_div: mean of -log s(y+ / p_(i+) - y- / p_(i-)).
    """

    source = "Schnabel et al.: Recommendations as Treatments (ICML 2016), Eq. 10; score_div: weitianxin/MACR"

    def __init__(self, options: Options, model: FactorModel, interactions: Interactions, generator: torch.Generator):
        super().__init__(model, interactions)
        self.weighting = options.weighting
        if options.weighting == "dice":
            rows = interactions.counts.clamp(min=1).float()
            inverse = rows.max() / rows
            weights = inverse.clamp(min=1, max=inverse.quantile(0.5))
            weights = weights / weights.max()
        else:
            weights = (interactions.n_users + 1) / (interactions.distinct().counts + 1).float()
            if options.weighting == "sample":
                if options.clip == "median":
                    weights = weights.clamp(max=weights.quantile(0.5))
                weights = weights / weights[interactions.items].double().mean().float()
        self.register_buffer("weights", weights, persistent=False)  # follows from the training data

    def loss(self, batch: Pairs) -> Tensor:
        """The weighted loss of a batch; returns a scalar."""
        softplus, weight = nn.functional.softplus, self.weights[batch.positives]
        if self.weighting == "sample":
            return (weight * softplus(-batch.positive)).mean() + softplus(batch.negative).mean()
        if self.weighting == "dice":
            return (weight * (softplus(-batch.positive) + softplus(batch.negative))).mean()
        return softplus(self.weights[batch.negatives] * batch.negative - weight * batch.positive).mean()
