"""Lists that are chosen item by item, for many users at once: one engine, and objectives that say what is best next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.methods import Setting
from reprise.rerank import Ranker

CELLS = 1 << 22  # numbers held at a time; bounds memory and changes no digit
DECIMALS = 12  # to which gains are compared: what is equal on paper is equal, in whatever order it was summed


class Objective(Protocol):
    """What B users gain by each of N candidates, given what was chosen before."""

    def gains(self) -> Tensor:
        """What one more item adds, [B, N] float64; only its order within a user counts."""

    def add(self, places: Tensor) -> None:
        """Take in that each user chose the candidate at `places` [B] int64."""


def choose(objective: Objective, offered: Tensor, k: int) -> Tensor:
    """Choose k of N candidates one by one, each the one that gains most, of equal ones the first.

    `offered` [B, N] bool says which there are. Returns their places [B, k] int64 in the order in which they were
    chosen, N where none is left. What is chosen first does not depend on k.
    """
    n = offered.shape[1]
    left, order, chosen = offered.clone(), torch.arange(n, device=offered.device), []
    for _ in range(k):
        gains = objective.gains().round(decimals=DECIMALS).masked_fill_(~left, -torch.inf)
        best = left & (gains == gains.amax(1, keepdim=True))
        place = torch.where(best, order, n).amin(1)
        chosen.append(place)
        inside = place.clamp(max=n - 1)  # who has none left goes on adding the last, which changes nothing any more
        objective.add(inside)
        left.scatter_(1, inside[:, None], False)
    return torch.stack(chosen, 1)


class GreedyRanker(Ranker):
    """A re-ranker that chooses lists from each user's best `options.candidates` items, by an objective of its own."""

    @property
    def candidates(self) -> int:
        """How many of the best items it chooses from."""
        return self.options.candidates

    def lay_out(
        self, users: Tensor, history: Interactions, items: Tensor, scores: Tensor
    ) -> Callable[[Setting], Objective]:
        """Look up once what every setting's objective needs; arguments as `reorder` has them."""
        raise RuntimeError(f"{type(self).__module__} defines no lay_out")

    def reorder(
        self, users: Tensor, history: Interactions, items: Tensor, scores: Tensor, settings: Sequence[Setting], k: int
    ) -> list[Tensor]:
        """Choose lists for every setting.

        Parameters
        ----------
        users : Tensor [B] int64
        history : Interactions
            What everybody did before the moment of ranking.
        items : Tensor [B, N] int64
            Candidates, best first; -1 where there are fewer.
        scores : Tensor [B, N]

        Returns
        -------
        list of Tensor [B, k] int64, one a setting
            Places among the candidates; N where none is left.
        """
        n = items.shape[1]
        step = max(1, CELLS // (n * max(n, self.profiles.shares.shape[1])))
        found: list[list[Tensor]] = [[] for _ in settings]
        for start in range(0, len(users), step):
            rows = slice(start, start + step)
            objective = self.lay_out(users[rows], history, items[rows], scores[rows])
            for lists, setting in zip(found, settings, strict=True):
                lists.append(choose(objective(setting), items[rows] >= 0, k))
        return [torch.cat(lists) for lists in found]
