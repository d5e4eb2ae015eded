"""Items that a user has not met, drawn evenly on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.errors import RepriseError


class Unmet:
    """Draws items that a user has no row of, each equally likely.

    They are found without rejection: among sorted positives p_0 < p_1 < ..., the r-th absent item is r + #{j : p_j - j
    <= r}, and p_j - j never falls, so one binary search per draw answers.
    """

    def __init__(self, interactions: Interactions, users: Tensor):
        """Prepare the search keys; raise `RepriseError` if one of `users` has met every item."""
        self.n_items = interactions.n_items
        met = interactions.distinct()
        self.offsets, self.degrees = met.offsets, met.degrees
        full = users[self.degrees[users] >= self.n_items]
        if len(full):
            raise RepriseError(
                f"training data, user {int(full[0])}",
                expected="an item without an interaction, to serve as negative",
                found=f"all {self.n_items} items",
                fix="drop the user, or keep more items",
            )
        rank = torch.arange(len(met.items), device=met.items.device) - met.offsets[met.users]
        self.keys = met.users * (self.n_items + 1) + met.items - rank

    def at(self, users: Tensor, chance: Tensor) -> Tensor:
        """The unmet items of `users` that `chance`, float64 of [0, 1) and of the same shape, points at."""
        rank = (chance * (self.n_items - self.degrees[users])).long()
        before = torch.searchsorted(self.keys, users * (self.n_items + 1) + rank, right=True) - self.offsets[users]
        return rank + before
