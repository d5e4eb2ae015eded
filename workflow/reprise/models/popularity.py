"""A floor: every user is shown what is most clicked."""

from __future__ import annotations

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.models import ScoringModel
from reprise.settings import Settings


class Options(Settings):
    """Popularity has no settings."""


class Model(ScoringModel):
    """y(u, i) = number of training rows of i."""

    source = "none: the bias itself"

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__()
        self.register_buffer("counts", interactions.counts.float())

    def scores(self, users: Tensor, history: Interactions | None = None) -> Tensor:
        """Training counts, [B, n_items] for `users` [B]."""
        return self.counts.expand(len(users), -1)
