"""A floor: scores without any information."""

from __future__ import annotations

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.models import ScoringModel
from reprise.settings import Settings


class Options(Settings):
    """Random has no settings."""


class Model(ScoringModel):
    """A score a cell, uniform on [0, 1): a hash of the cell, so that no table of users times items is kept."""

    source = "none: the least that a method must beat"

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__()
        salt = torch.randint(1 << 62, (1,), generator=generator)
        self.register_buffer("salt", salt.to(interactions.items.device))
        self.n_items = interactions.n_items

    def scores(self, users: Tensor, history: Interactions | None = None) -> Tensor:
        """Uniform numbers, [B, n_items] for `users` [B]."""
        mixed = users[:, None] * self.n_items + torch.arange(self.n_items, device=users.device) + self.salt
        for factor in (-0x4B47D0C5FD4E6A65, -0x3B314601E57A13AD):  # odd 64-bit numbers; products wrap around
            mixed = (mixed ^ (mixed >> 31)) * factor
        return ((mixed >> 24) & 0xFFFFFF).float() / (1 << 24)
