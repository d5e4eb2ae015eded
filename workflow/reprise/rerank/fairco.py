"""FairCo on one list: items of groups that get less exposure than they merit move up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.methods import Setting
from reprise.rerank import Ranker
from reprise.settings import Field, Settings

LEAST_MERIT = 1e-4  # MarcoMorik/Dynamic-Fairness divides by no less


class Options(Settings):
    """Settings of FairCo."""

    weight: Annotated[float, Field(ge=0)] | tuple[Annotated[float, Field(ge=0)], ...] = Field(
        description="lambda, weight of the error, one or several to choose from"
    )


class Reranker(Ranker):
    """Ranks by r + lambda * err, with r the sigmoid of the score and the exposure 1 / log2(1 + rank) of the rank by r.

    Group g gets D_g = sum of q_ig * exposure over sum of q_ig * r_i, over all items i on offer, and is behind by max_h
    D_h - D_g; err of an item is what its groups are behind, each times q_ig. An attribute is a group, q_ig = p(g | i).
    The original adds up exposure over a stream of users; here each user is on their own.
    """

    source = "Morik et al.: Controlling Fairness and Bias in Dynamic Learning-to-Rank (SIGIR 2020), its FairCo, static"
    swept = "weight"

    @property
    def candidates(self) -> int:
        """All items: each has an exposure."""
        return len(self.profiles.shares)

    def reorder(
        self, users: Tensor, history: Interactions, items: Tensor, scores: Tensor, settings: Sequence[Setting], k: int
    ) -> list[Tensor]:
        """Places [B, k] of each setting's best items among all N, which stand best first, N where there are fewer."""
        merit = torch.where(items >= 0, scores.double().sigmoid(), 0)
        behind = self.errors(items, merit)
        places = [best(torch.where(items >= 0, merit + self.value(one) * behind, -torch.inf), k) for one in settings]
        return [torch.where((items >= 0).gather(1, place), place, items.shape[1]) for place in places]

    def errors(self, items: Tensor, merit: Tensor) -> Tensor:
        """err of every item, [B, N]; `items` and `merit` [B, N] are best first."""
        shares, inside = self.profiles.shares, items.clamp(min=0)
        rank = torch.arange(1, items.shape[1] + 1, device=items.device, dtype=torch.float64)
        exposure = torch.where(items >= 0, 1 / torch.log2(1 + rank), 0)
        given, merited = (
            torch.zeros(len(items), len(shares), dtype=torch.float64, device=items.device).scatter_add_(1, inside, one)
            @ shares
            for one in (exposure, merit)
        )
        treated = given / merited.clamp(min=LEAST_MERIT)  # 0 of a group without items, which is never the best treated
        return ((treated.amax(1, keepdim=True) - treated) @ shares.T).gather(1, inside)


def best(values: Tensor, k: int) -> Tensor:
    """Places [B, k] of the k largest of `values` [B, N], largest first, of equal ones the first first."""
    width = min(k + 1, values.shape[1])
    top, places = values.topk(width, dim=1)
    tied = (top[:, 1:] == top[:, :-1]).any(1)
    if bool(tied.any()):
        places[tied] = values[tied].sort(dim=1, descending=True, stable=True).indices[:, :width]
    return places[:, :k]
