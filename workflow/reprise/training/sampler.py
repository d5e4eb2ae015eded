"""Draws training batches on the device where the data lie."""

from __future__ import annotations

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.errors import RepriseError


class UserUniformSampler:
    """B distinct users, for each one of its items and one item it never met (MACR protocol: uniform over users).

    A positive is uniform over the user's rows, repeats counted. A negative is uniform over all items the user has no
    row of; it is found without rejection: among sorted positives p_0 < p_1 < ..., the r-th absent item is r + #{j : p_j
    - j <= r}, and p_j - j never falls, so one binary search per row answers.
    """

    def __init__(self, interactions: Interactions, batch: int, empty_users: str, generator: torch.Generator):
        """Prepare the search keys.

        Parameters
        ----------
        empty_users : {"skip", "item0"}
            Whether a user without rows is never drawn, or drawn with item 0 as its positive.
        generator : torch.Generator
            On the device of `interactions`; the only source of randomness.

        Raises
        ------
        RepriseError
            Nobody can be drawn, or a user has met every item.
        """
        self.interactions, self.batch, self.generator = interactions, batch, generator
        degrees = interactions.degrees
        everyone = torch.arange(interactions.n_users, device=degrees.device)
        self.users = everyone if empty_users == "item0" else everyone[degrees > 0]
        if len(interactions.items) == 0:
            raise RepriseError("training data", expected="at least one interaction", found="none")
        met = interactions.distinct()
        self.met_offsets, self.met_degrees = met.offsets, met.degrees
        full = self.users[self.met_degrees[self.users] >= interactions.n_items]
        if len(full):
            raise RepriseError(
                f"training data, user {int(full[0])}",
                expected="an item without an interaction, to serve as negative",
                found=f"all {interactions.n_items} items",
                fix="drop the user, or keep more items",
            )
        rank = torch.arange(len(met.items), device=degrees.device) - met.offsets[met.users]
        self.keys = met.users * (interactions.n_items + 1) + met.items - rank

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return users, positives, negatives, each [B] int64."""
        data, device = self.interactions, self.users.device
        if self.batch <= len(self.users):
            users = self.users[torch.randperm(len(self.users), generator=self.generator, device=device)[: self.batch]]
        else:
            users = self.users[torch.randint(len(self.users), (self.batch,), generator=self.generator, device=device)]
        chance = torch.rand((2, self.batch), generator=self.generator, device=device, dtype=torch.float64)
        degrees = data.degrees[users]
        positions = data.offsets[users] + (chance[0] * degrees).long()
        # A drawn user without rows points one past its (empty) block: any valid position will do, item 0 replaces it.
        positives = torch.where(degrees > 0, data.items[positions.clamp(max=len(data.items) - 1)], 0)
        rank = (chance[1] * (data.n_items - self.met_degrees[users])).long()
        before = torch.searchsorted(self.keys, users * (data.n_items + 1) + rank, right=True) - self.met_offsets[users]
        return users, positives, rank + before
