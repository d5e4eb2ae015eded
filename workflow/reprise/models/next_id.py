"""A rule: items are numbered, and a user is shown the numbers that follow the largest one met so far.

What it finds was put into the ids: where items are numbered as they first appear, held-out interactions included, a new
item at the end of a history often has the next number.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.models.sequential import feature
from reprise.models.sequential.rules import Rule, ahead, ranked
from reprise.settings import Field, Settings


class Options(Settings):
    """Settings of the rule."""

    ids: Literal["appearance", "shuffled", "train_appearance"] = Field(description="how the items are numbered")


class Model(Rule):
    """max(history) + 1, + 2, ..., as far as there are items."""

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(interactions)
        self.numbers = feature(interactions, options.ids).single()

    def scores(self, users: Tensor, history: Interactions) -> Tensor:
        """Minus the distance above the largest number, [B, n_items] for `users` [B]; -inf from there down."""
        steps = ahead(users, history, self.numbers)
        return ranked(steps, steps > 0)
