"""User-item pairs as they lie on the training device: one flat, sorted array with offsets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from reprise.data.features import Lists


@dataclass(frozen=True)
class Interactions:
    """Pairs sorted by user, then by item, or in order of time where the data have one.

    Attributes
    ----------
    items : Tensor [N] int64
        The items, user after user. A pair that is repeated in the data is repeated here.
    offsets : Tensor [n_users + 1] int64
        `items[offsets[u]:offsets[u + 1]]` are the items of user u.
    features : Mapping of str to Lists
        What is known of the items, by name; each holds n_items lists.
    user_features : Mapping of str to Lists
        What is known of the users, by name; each holds n_users lists.
    everything : function or None
        Gives the pairs of all parts of the data, held-out ones too, for a protocol that looks at them.
    """

    n_users: int
    n_items: int
    items: Tensor
    offsets: Tensor
    features: Mapping[str, Lists] = field(default_factory=dict, kw_only=True)
    user_features: Mapping[str, Lists] = field(default_factory=dict, kw_only=True)
    everything: Callable[[], Interactions] | None = field(default=None, kw_only=True, compare=False)

    @classmethod
    def of(
        cls, pairs: np.ndarray, n_users: int, n_items: int, device: torch.device | str = "cpu", ordered: bool = False
    ) -> Interactions:
        """Sort `pairs` [N, 2] (user, item) and lay them on `device`.

        `ordered`: they stand in order of time, at least within each user, and stay so.
        """
        keys = pairs[:, :1] if ordered else pairs[:, ::-1]
        pairs = pairs[np.lexsort(keys.T)].astype(np.int64)
        offsets = np.searchsorted(pairs[:, 0], np.arange(n_users + 1))
        return cls(
            n_users, n_items, torch.from_numpy(pairs[:, 1].copy()).to(device), torch.from_numpy(offsets).to(device)
        )

    @property
    def degrees(self) -> Tensor:
        """Number of rows of each user, [n_users]."""
        return self.offsets.diff()

    @property
    def users(self) -> Tensor:
        """The user of each row, [N]."""
        return torch.repeat_interleave(torch.arange(self.n_users, device=self.items.device), self.degrees)

    @property
    def counts(self) -> Tensor:
        """Number of rows of each item, [n_items]."""
        return torch.bincount(self.items, minlength=self.n_items)

    def of_users(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """The rows of some users.

        Parameters
        ----------
        users : Tensor [B] int64

        Returns
        -------
        owner : Tensor [M] int64
            Position in `users` of each row found.
        position : Tensor [M] int64
            Position of that row in `items`.
        """
        degrees = self.degrees[users]
        owner = torch.repeat_interleave(torch.arange(len(users), device=users.device), degrees)
        before = torch.cumsum(degrees, 0) - degrees
        position = torch.arange(len(owner), device=users.device) - before[owner] + self.offsets[users][owner]
        return owner, position

    def only(self, rows: Tensor) -> Interactions:
        """Keep the rows where `rows` [N] bool is true."""
        ends = torch.cumsum(torch.nn.functional.pad(rows.long(), (1, 0)), 0)
        return Interactions(self.n_users, self.n_items, self.items[rows], ends[self.offsets])

    def transposed(self) -> Interactions:
        """The same pairs with users and items in each other's place."""
        order = torch.argsort(self.items, stable=True)
        ends = torch.cumsum(torch.nn.functional.pad(self.counts, (1, 0)), 0)
        return Interactions(self.n_items, self.n_users, self.users[order], ends)

    def distinct(self) -> Interactions:
        """The same pairs, each once."""
        keys = torch.unique(self.users * self.n_items + self.items)
        users = keys // self.n_items
        offsets = torch.searchsorted(users, torch.arange(self.n_users + 1, device=users.device))
        return Interactions(self.n_users, self.n_items, keys % self.n_items, offsets)
