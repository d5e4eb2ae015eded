"""Two rules mixed: what a user met, with the numbers that come next where they do best."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.models.sequential import feature
from reprise.models.sequential.rules import Rule, ahead, met, ranked
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

    def scores(self, users: Tensor, history: Interactions) -> Tensor:
        """Minus the place in the list, with gaps, [B, n_items] for `users` [B]; -inf where there is none."""
        (times, ago), steps = met(users, history), ahead(users, history, self.numbers)
        longest, again = int(history.degrees.max()), times > 1
        order = FAVOURITES + 1 + ago + longest * again + 2 * longest * (steps == 2)
        order[steps == 1] = FAVOURITES
        best = torch.where(again, times * longest - ago, -1).topk(min(FAVOURITES, self.n_items))
        place = torch.arange(best.indices.shape[1], device=users.device)
        order.scatter_(1, best.indices, torch.where(best.values >= 0, place, order.gather(1, best.indices)))
        return ranked(order, (times > 0) | (steps == 1) | (steps == 2))
