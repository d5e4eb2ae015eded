"""A rule: a user is shown what that user met, the most recent first."""

from __future__ import annotations

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.models.sequential.rules import Rule, met, ranked
from reprise.settings import Settings


class Options(Settings):
    """The rule has no settings."""


class Model(Rule):
    """Distinct items of the whole history, by the time they were last met."""

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(interactions)

    def scores(self, users: Tensor, history: Interactions) -> Tensor:
        """Minus the steps since each item was met, [B, n_items] for `users` [B]; -inf where it never was."""
        times, ago = met(users, history)
        return ranked(ago, times > 0)
