"""Topic diversification: items unlike those above them move up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.methods import Setting
from reprise.rerank.greedy import DECIMALS, GreedyRanker
from reprise.settings import Field, Settings


class Options(Settings):
    """Settings of diversification."""

    candidates: int = Field(ge=1, description="how many of the best items a list is chosen from")
    theta: Annotated[float, Field(ge=0, le=1)] | tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        description="weight of the rank by dissimilarity, one or several to choose from"
    )


class Reranker(GreedyRanker):
    """Keeps the first item, then adds the one with the smallest (1 - theta) * rank + theta * rank by dissimilarity.

    The first rank is that among all candidates; the second is among those left, by the sum of their similarities, the
    cosine of p(g | i), to the items chosen so far: 1 is the least similar one.
    """

    source = "Ziegler et al.: Improving Recommendation Lists Through Topic Diversification (WWW 2005), Algorithm 1"
    swept = "theta"

    def lay_out(
        self, users: Tensor, history: Interactions, items: Tensor, scores: Tensor
    ) -> Callable[[Setting], Dissimilarity]:
        """Similarities of all pairs of a user's candidates."""
        rows = torch.nn.functional.normalize(self.profiles.shares[items.clamp(min=0)], dim=2)
        similarity = rows @ rows.mT
        return lambda setting: Dissimilarity(similarity, items >= 0, self.value(setting))


class Dissimilarity:
    """The merged rank, the smaller the better, of each candidate that is left.

    Parameters
    ----------
    similarity : Tensor [B, N, N]
        Of any two candidates.
    left : Tensor [B, N] bool
        Which candidates there are.
    theta : float
    """

    def __init__(self, similarity: Tensor, left: Tensor, theta: float):
        self.similarity, self.left, self.theta = similarity, left.clone(), theta
        self.rank = torch.arange(left.shape[1], device=left.device, dtype=torch.float64).expand(left.shape)
        self.alike: Tensor | None = None  # sums of similarities to what was chosen

    def gains(self) -> Tensor:
        """The merged rank with the other sign, [B, N]; at first the rank alone."""
        if self.alike is None:
            return -self.rank
        alike = self.alike.round(decimals=DECIMALS)
        order = torch.where(self.left, alike, torch.inf).argsort(dim=1, stable=True)
        unlike = torch.zeros_like(self.rank).scatter_(1, order, self.rank)
        return -((1 - self.theta) * self.rank + self.theta * unlike)

    def add(self, places: Tensor) -> None:
        """Put the chosen candidates on the lists."""
        rows = torch.arange(len(places), device=places.device)
        similar = self.similarity[rows, places]
        self.alike = similar if self.alike is None else self.alike + similar
        self.left[rows, places] = False
