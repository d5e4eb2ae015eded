"""Draws negatives that are clearly more, or clearly less, popular than their positive, on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.errors import RepriseError


class MarginSampler:
    """DICE's negatives: of a user u and a positive i, from the items that u never met,

    P = those with more than count(i) + margin training rows, N = those with fewer than count(i) / 2.

    All of N where |P| < pool; else all of P where |N| < pool; else each negative by a fair coin. The negatives of one
    positive are distinct. With items in order of popularity P is the end of the list and N its beginning, so that both
    are found and drawn from by binary search, without listing or rejecting. Where the official code would not come to
    an end: a side with fewer items than negatives is drawn from with repeats, an empty one gives way to the other, and
    if both are empty to all items that u never met.
    """

    def __init__(self, interactions: Interactions, negatives: int, pool: int, generator: torch.Generator):
        """Sort the items and prepare the search keys.

        Raises
        ------
        RepriseError
            A user has met every item.
        """
        self.negatives, self.pool, self.generator = negatives, pool, generator
        counts, self.n_items = interactions.counts, interactions.n_items
        self.order = torch.argsort(counts, stable=True)
        self.counts, self.sorted_counts = counts.double(), counts[self.order].double()
        place = torch.empty_like(self.order)
        place[self.order] = torch.arange(self.n_items, device=place.device)
        met = interactions.distinct()
        self.offsets, self.absent = met.offsets, self.n_items - met.degrees
        if bool((self.absent == 0).any()):
            raise RepriseError(
                f"training data, user {int(torch.nonzero(self.absent == 0)[0])}",
                expected="an item without an interaction, to serve as negative",
                found=f"all {self.n_items} items",
                fix="drop the user, or keep more items",
            )
        users = met.users
        self.met = torch.sort(users * self.n_items + place[met.items]).values
        # Among a user's sorted places p_0 < p_1 < ..., the r-th absent one is r + #{j : p_j - j <= r}.
        rank = torch.arange(len(users), device=users.device) - met.offsets[users]
        self.keys = users + self.met - rank

    def draw(self, users: Tensor, positives: Tensor, margin: float) -> Tensor:
        """Negatives [B, M] int64 of `users` [B] and their `positives` [B]."""
        first, popularity = self.offsets[users], self.counts[positives]
        low = torch.searchsorted(self.sorted_counts, popularity / 2)
        high = torch.searchsorted(self.sorted_counts, popularity + margin, right=True)
        fewer, before = (
            place - (torch.searchsorted(self.met, users * self.n_items + place) - first) for place in (low, high)
        )
        absent = self.absent[users]
        more = absent - before
        fewer = torch.where((more == 0) & (fewer == 0), absent, fewer)

        size, device = (len(users), self.negatives), users.device
        chance = torch.rand((3, *size), generator=self.generator, device=device, dtype=torch.float64)
        from_more = torch.where(fewer < self.pool, True, chance[0].T < 0.5)
        from_more = torch.where(more < self.pool, fewer == 0, from_more).T
        ranks = torch.where(
            from_more, before[:, None] + distinct_ranks(more, chance[1]), distinct_ranks(fewer, chance[2])
        )
        keys = users[:, None] * (self.n_items + 1) + ranks
        return self.order[ranks + torch.searchsorted(self.keys, keys, right=True) - first[:, None]]


def distinct_ranks(sizes: Tensor, chance: Tensor) -> Tensor:
    """Draw M distinct whole numbers below each of `sizes` [B], uniformly, from `chance` [B, M] uniform on [0, 1).

    The k-th is drawn among the sizes - k numbers that are left and moved up past those already drawn. Where a size is
    below M, numbers may repeat. Returns [B, M] int64.
    """
    drawn: list[Tensor] = []
    wide = sizes >= chance.shape[1]
    for column in chance.T:
        number = (column * (sizes - wide * len(drawn))).long()
        if drawn:
            for earlier in torch.stack(drawn).sort(0).values:
                number = number + (wide & (number >= earlier))
        drawn.append(number)
    return torch.stack(drawn, 1)
