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


def recent(users: Tensor, history: Interactions) -> Tensor:
    """Minus the steps since `users` [B] last met each item (0: it is their last), -inf if never; [B, n_items]."""
    owner, position = history.of_users(users)
    steps = history.offsets[users + 1][owner] - 1 - position
    scores = torch.full((len(users) * history.n_items,), -torch.inf, device=users.device)
    scores.scatter_reduce_(0, owner * history.n_items + history.items[position], -steps.float(), "amax")
    return scores.view(len(users), -1)


def largest(users: Tensor, history: Interactions, numbers: Tensor) -> Tensor:
    """The largest number in the history of `users` [B], [B] int64; 0 without one. `numbers` [n_items] runs from 1."""
    owner, position = history.of_users(users)
    return torch.zeros_like(users).scatter_reduce_(0, owner, numbers[history.items[position]], "amax")


def last(users: Tensor, history: Interactions, numbers: Tensor) -> Tensor:
    """The number of the last item in the history of `users` [B], [B] int64; 0 without one."""
    ends = history.offsets[users + 1] - 1
    return torch.where(history.degrees[users] > 0, numbers[history.items[ends.clamp(min=0)]], 0)
