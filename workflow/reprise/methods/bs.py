"""BS: an item bias soaks up popularity in training and is left out when ranking."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.methods import Pairs, Wrapper, binary_cross_entropy
from reprise.models import FactorModel, take
from reprise.settings import Settings


class Options(Settings):
    """BS has no settings."""


class Method(Wrapper):
    """Training: y_k + b_i in the binary cross-entropy; ranking: y_k alone, as in the official code.

    The paper writes y_k + b_i as the score, too; with it the method would rank popularity back in. L2 leaves b alone.
    """

    source = "Koren, Bell, Volinsky (2009), as weitianxin/MACR trains it (BIASMF)"

    def __init__(self, options: Options, model: FactorModel, interactions: Interactions, generator: torch.Generator):
        super().__init__(model, interactions)
        bound = math.sqrt(3 / interactions.n_items)  # TensorFlow's Xavier of a vector, which counts its length twice
        bias = torch.empty(interactions.n_items, 1).uniform_(-bound, bound, generator=generator)
        self.item_bias = nn.Parameter(bias.to(interactions.items.device))

    def loss(self, batch: Pairs) -> Tensor:
        """Binary cross-entropy of y_k + b_i; returns a scalar."""
        good, bad = (take(self.item_bias, items).squeeze(1) for items in (batch.positives, batch.negatives))
        return binary_cross_entropy(batch.positive + good, batch.negative + bad)
