"""What lists make of one-sided histories: means over the users whose histories lean most to one attribute.

Only means over many users leave this file, by an attribute's rank in each history: no attribute is named.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.data.profiles import history_share, mean_share

SHARE, FEWEST_USERS = 0.01, 50  # of the users with a list how many are looked at, and how many they are at least


def most_one_sided(profiles: Tensor) -> Tensor:
    """Which rows of `profiles` [U, G] have the largest single share below 1: a hundredth of all, and 50 at least.

    Of equal ones the earlier row; none where there are fewer than 50. Returns [V] int64.
    """
    largest = profiles.amax(1)
    largest = torch.where(largest < 1 - 1e-6, largest, 0)  # a history about one thing alone leans nowhere else
    count = max(int(SHARE * len(profiles)), FEWEST_USERS)
    order = torch.sort(largest, descending=True, stable=True).indices[: int((largest > 0).sum())]
    return order[:count] if len(order) >= FEWEST_USERS else order[:0]


def one_sided_shares(
    history: Interactions, shares: Tensor, users: Tensor, lists: Tensor, window: int | None, ranks: Sequence[int]
) -> list[tuple]:
    """Rows (metric, k, group, value): mean `history_share` and `list_share` of the attributes by their rank.

    Parameters
    ----------
    history : Interactions
        What everybody did.
    shares : Tensor [n_items, G]
        What each item is about.
    users : Tensor [U] int64
        Whose lists they are.
    lists : Tensor [U, k] int64
        Recommended items, -1 where a list is shorter.
    window : int or None
        How many items of a history count.
    ranks : sequence of int
        Which attributes are shown: 1 is the one of which a user's history has most.
    """
    profiles = history_share(history, users, shares, window)
    chosen = most_one_sided(profiles)
    if not len(chosen):
        return []
    before, order = profiles[chosen].sort(dim=1, descending=True, stable=True)
    after = mean_share(lists[chosen], lists[chosen] >= 0, shares).gather(1, order)
    k = lists.shape[1]
    return [
        (metric, k, f"attribute{rank}", float(means[rank - 1]))
        for metric, means in (("history_share", before.mean(0)), ("list_share", after.mean(0)))
        for rank in ranks
        if rank <= len(means)
    ]
