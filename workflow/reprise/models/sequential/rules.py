"""Rules without parameters: what a user met, and the ids that come next."""

from __future__ import annotations

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.models.sequential import SequenceModel


class Rule(SequenceModel):
    """A model that learns nothing and reads whole histories, not windows. What it does not recommend has score -inf, so
    its lists may be short and no item enters them by chance.
    """

    source = "none: what a trained model must beat"
    trainable = False

    def __init__(self, interactions: Interactions):
        super().__init__(interactions, window=0)


def met(users: Tensor, history: Interactions) -> tuple[Tensor, Tensor]:
    """How often `users` [B] met each item, and how many steps ago they last did (0: it is their last item).

    Both are [B, n_items] int64; of what was never met, the second says as many steps as the longest history has.
    """
    owner, position = history.of_users(users)
    cell = owner * history.n_items + history.items[position]
    steps = history.offsets[users + 1][owner] - 1 - position
    cells = len(users) * history.n_items
    times = torch.zeros(cells, dtype=torch.int64, device=users.device).scatter_add_(0, cell, torch.ones_like(cell))
    ago = torch.full((cells,), int(history.degrees.max()), device=users.device).scatter_reduce_(0, cell, steps, "amin")
    return times.view(len(users), -1), ago.view(len(users), -1)


def ahead(users: Tensor, history: Interactions, numbers: Tensor) -> Tensor:
    """How far the number of each item lies above the largest in the history of `users` [B]; [B, n_items] int64.

    `numbers` [n_items] runs from 1; without a history the largest is 0.
    """
    owner, position = history.of_users(users)
    largest = torch.zeros_like(users).scatter_reduce_(0, owner, numbers[history.items[position]], "amax")
    return numbers - largest[:, None]


def ranked(order: Tensor, recommended: Tensor) -> Tensor:
    """Scores [B, n_items] that rank what is `recommended` by `order`, smallest first, and nothing else."""
    return torch.where(recommended, -order.float(), -torch.inf)
