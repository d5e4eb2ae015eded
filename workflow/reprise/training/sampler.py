"""Draws training batches on the device where the data lie."""

from __future__ import annotations

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.data.unmet import Unmet
from reprise.errors import RepriseError


class PairSampler:
    """Users, for each one of its items and an item it never met.

    `user_uniform`, as MACR's code does: B distinct users, a positive uniform over the user's rows, repeats counted.
    `interaction_uniform`, as its paper sums: B rows of all, drawn with replacement. A negative is uniform over all
    items the user has no row of. Of several `negatives` each has a pair of its own, with the same user and positive.
    """

    def __init__(
        self, interactions: Interactions, batch: int, empty_users: str, generator: torch.Generator,
        sampling: str = "user_uniform", negatives: int = 1,
    ):
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
        self.negatives = negatives
        self.owners = interactions.users if sampling == "interaction_uniform" else None  # if rows are drawn
        degrees = interactions.degrees
        everyone = torch.arange(interactions.n_users, device=degrees.device)
        self.users = everyone if empty_users == "item0" else everyone[degrees > 0]
        if len(interactions.items) == 0:
            raise RepriseError("training data", expected="at least one interaction", found="none")
        self.unmet = Unmet(interactions, self.users)

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return users, positives, negatives, each [B M] int64, M the negatives of a positive."""
        users, positives, chance = self._of_users() if self.owners is None else self._rows()
        users, positives = (one.repeat(self.negatives) for one in (users, positives))
        return users, positives, self.unmet.at(users, chance.flatten())

    def _rows(self) -> tuple[Tensor, Tensor, Tensor]:
        """Users [B], positives [B], and what points at negatives [M, B]."""
        data, device = self.interactions, self.users.device
        rows = torch.randint(len(data.items), (self.batch,), generator=self.generator, device=device)
        shape = (self.negatives, self.batch)
        chance = torch.rand(shape, generator=self.generator, device=device, dtype=torch.float64)
        return self.owners[rows], data.items[rows], chance

    def _of_users(self) -> tuple[Tensor, Tensor, Tensor]:
        data, device = self.interactions, self.users.device
        if self.batch <= len(self.users):
            users = self.users[torch.randperm(len(self.users), generator=self.generator, device=device)[: self.batch]]
        else:
            users = self.users[torch.randint(len(self.users), (self.batch,), generator=self.generator, device=device)]
        shape = (1 + self.negatives, self.batch)
        chance = torch.rand(shape, generator=self.generator, device=device, dtype=torch.float64)
        degrees = data.degrees[users]
        positions = data.offsets[users] + (chance[0] * degrees).long()
        # A drawn user without rows points one past its (empty) block: any valid position will do, item 0 replaces it.
        positives = torch.where(degrees > 0, data.items[positions.clamp(max=len(data.items) - 1)], 0)
        return users, positives, chance[1:]
