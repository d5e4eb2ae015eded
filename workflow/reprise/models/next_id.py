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
from reprise.models.sequential.rules import Rule, largest, last
from reprise.settings import Field, Settings


class Options(Settings):
    """Settings of the rule."""

    ids: Literal["appearance", "shuffled", "train_appearance"] = Field(description="how the items are numbered")
    interleaved: bool = Field(False, description="whether the numbers after the last item met take turns with these")


class Model(Rule):
    """max(history) + 1, + 2, ..., as far as there are items.

    `interleaved`: max + 1, last + 1, max + 2, last + 2, ..., each number once and none that was met.
    """

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(interactions)
        self.interleaved = options.interleaved
        self.numbers = feature(interactions, options.ids).single()

    def scores(self, users: Tensor, history: Interactions) -> Tensor:
        """Minus the place on the list, [B, n_items] for `users` [B]; -inf for what is on none."""
        numbers = self.numbers.float()  # exact, to 2^24
        ahead = numbers - largest(users, history, self.numbers).float()[:, None]
        places = torch.where(ahead > 0, ahead, torch.inf)
        if self.interleaved:
            # The first turn is max + 1's, so of a number on both lists the earlier place counts.
            beyond = numbers - last(users, history, self.numbers).float()[:, None]
            places = torch.minimum(2 * places - 1, torch.where(beyond > 0, 2 * beyond, torch.inf))
            owner, position = history.of_users(users)
            places[owner, history.items[position]] = torch.inf
        return -places
