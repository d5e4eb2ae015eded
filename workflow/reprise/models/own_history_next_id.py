"""Two rules mixed: what a user met, with the numbers that come next where they do best."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.models.sequential import feature
from reprise.models.sequential.rules import Rule, largest, recent
from reprise.settings import Field, Settings

FAVOURITES = 4  # repeated items before max(history) + 1


class Options(Settings):
    """Settings of the rule."""

    ids: Literal["appearance", "shuffled", "train_appearance"] = Field(description="how the items are numbered")


class Model(Rule):
    """Repeated items, max(history) + 1, recent history, and max(history) + 2 at the end.

    At most four repeated items come first, those met most often, of equals the more recent. The history that follows is
    what was met once, then the other repeated items, each the most recent first. How many repeats come first and what
    ends the list are read off the numbers that were measured for this rule, which say only its three parts.
    """

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(interactions)
        self.numbers = feature(interactions, options.ids).single()
        self.items = self.numbers.argsort()  # the item of each number

    def scores(self, users: Tensor, history: Interactions) -> Tensor:
        """The higher the earlier in the list, [B, n_items] for `users` [B]; -inf where there is none."""
        scores, longest = recent(users, history), int(history.degrees.max())
        flat = scores.view(-1)
        owner, position = history.of_users(users)
        cells, times = (owner * self.n_items + history.items[position]).unique(return_counts=True)
        cells, times = cells[times > 1], times[times > 1]
        cells = cells[(times * longest + flat[cells].long()).argsort(descending=True)]
        owner, by_owner = (cells // self.n_items).sort(stable=True)
        cells, place = cells[by_owner], torch.arange(len(cells), device=users.device) - torch.searchsorted(owner, owner)
        flat[cells] = torch.where(place < FAVOURITES, 1.0 + FAVOURITES - place, flat[cells] - longest)
        number, row = largest(users, history, self.numbers), torch.arange(len(users), device=users.device)
        for ahead, score in ((1, 1.0), (2, -2.0 * longest)):  # the history lies between the two
            there = number + ahead <= self.n_items
            scores[row[there], self.items[number[there] + ahead - 1]] = score
        return scores
