"""A model trained by binary cross-entropy and ranked by its own score."""

from __future__ import annotations

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.methods import Pairs, Wrapper, binary_cross_entropy
from reprise.models import ScoringModel
from reprise.settings import Settings


class Options(Settings):
    """Plain training has no settings."""


class Method(Wrapper):
    """L = mean over pairs of -log s(y+) - log(1 - s(y-)), one sampled negative a positive."""

    source = "Wei et al.: MACR (KDD 2021), section 2 (the backbone's loss)"

    def __init__(
        self, options: Options, model: ScoringModel, interactions: Interactions, generator: torch.Generator
    ):
        super().__init__(model, interactions)

    def loss(self, batch: Pairs) -> Tensor:
        """Binary cross-entropy of a batch; returns a scalar."""
        return binary_cross_entropy(batch.positive, batch.negative)
