"""Calibrated recommendations: a list that is about what its user's history was about, in the same shares."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.methods import Setting
from reprise.rerank.greedy import GreedyRanker
from reprise.settings import Field, Settings


class Options(Settings):
    """Settings of calibration."""

    candidates: int = Field(ge=1, description="how many of the best items a list is chosen from")
    weight: (
        Annotated[float, Field(ge=0, le=1)]
        | tuple[Annotated[float, Field(ge=0, le=1)], ...]
        | Literal["genre_count", "variance"]
    ) = Field(
        description="lambda, weight of calibration: one, or several to choose from, or each user's own: the share of "
        "all attributes that the history has, or 1 - the variance of p"
    )
    score: Literal["logit", "softmax", "sigmoid", "minmax"] = Field(
        description="s(i): as scored, as a probability over all items or of each, or from 0 to 1 over the candidates"
    )


class Reranker(GreedyRanker):
    """Adds the item i that makes (1 - w) sum s(j) - w KL(p || q~(L + i)) largest; j over L + i.

    p is the history's profile, q the mean of the list's items, q~ = (1 - a) q + a p.
    """

    source = (
        "Steck: Calibrated Recommendations (RecSys 2018), Eq. 2-5; a user's own weight: Silva, Manzato and Durao, "
        "Exploiting personalized calibration and metrics for fairness recommendation (2021)"
    )
    swept = "weight"

    def scores(self, users: Tensor, history: Interactions) -> Tensor:
        """s(i) of every item, [B, n_items] float64: as a probability a score is small beside a divergence."""
        scores = super().scores(users, history).double()
        return {"softmax": lambda: scores.softmax(1), "sigmoid": scores.sigmoid}.get(
            self.options.score, lambda: scores
        )()

    def lay_out(
        self, users: Tensor, history: Interactions, items: Tensor, scores: Tensor
    ) -> Callable[[Setting], Calibration]:
        """p, and of every candidate p(g | i), over those attributes alone that the history has: no others count."""
        wanted = self.profiles.of(users, history)
        most = max(1, int((wanted > 0).sum(1).amax()))
        p, column = wanted.topk(most, dim=1)
        shares = self.profiles.shares[items.clamp(min=0)[:, :, None], column[:, None]]
        has = (self.profiles.shares.sum(1) > 0)[items.clamp(min=0)].double()
        offered = items >= 0
        scores = torch.where(offered, scores, 0)
        if self.options.score == "minmax":
            low, high = (
                torch.where(offered, scores, edge).aminmax(dim=1, keepdim=True)[side]
                for side, edge in ((0, torch.inf), (1, -torch.inf))
            )
            scores = torch.where(offered, (scores - low) / (high - low).clamp(min=1e-12), 0)

        def objective(setting: Setting) -> Calibration:
            weights = self.weights(setting, wanted)
            return Calibration(scores, shares, has, p, weights, self.profiles.smoothing, self.profiles.base)

        return objective

    def weights(self, setting: Setting, wanted: Tensor) -> Tensor:
        """w of users with the profiles `wanted` [B, G], each; [B, 1]."""
        weight = self.value(setting)
        if weight == "genre_count":
            return (wanted > 0).double().mean(1, keepdim=True)
        if weight == "variance":
            return 1 - wanted.var(1, correction=0, keepdim=True)
        return torch.full_like(wanted[:, :1], weight)


class Calibration:
    """What one more item adds to (1 - w) sum s - w KL(p || q~), up to what all candidates of a user have in common.

    Parameters
    ----------
    scores, has : Tensor [B, N]
        s of the candidates, and 1 for those with attributes: items without any are no part of the mean q.
    shares : Tensor [B, N, M]
        p(g | i) over attributes of the history.
    wanted : Tensor [B, M]
        p(g | s).
    weights : Tensor [B, 1]
        w.
    smoothing : float
        a.
    base : float
        Of the logarithm in KL.
    """

    def __init__(
        self, scores: Tensor, shares: Tensor, has: Tensor, wanted: Tensor, weights: Tensor, smoothing: float,
        base: float = math.e,
    ):
        self.accuracy, self.weights = (1 - weights) * scores, weights / math.log(base)
        self.shares, self.has, self.wanted, self.smoothing = shares, has, wanted, smoothing
        self.total, self.count = torch.zeros_like(wanted), torch.zeros_like(weights)
        self.floor = torch.where(wanted > 0, smoothing * wanted, 1)  # where p is 0 any finite logarithm will do

    def gains(self) -> Tensor:
        """(1 - w) s + w sum_g p log q~, [B, N]."""
        scale = (1 - self.smoothing) / (self.count + self.has).clamp(min=1)
        mixed = (self.total[:, None] + self.shares).mul_(scale[:, :, None]).add_(self.floor[:, None])
        return self.accuracy + self.weights * (mixed.log_() @ self.wanted[:, :, None]).squeeze(2)

    def add(self, places: Tensor) -> None:
        """Put the chosen candidates on the lists."""
        rows = torch.arange(len(places), device=places.device)
        self.total += self.shares[rows, places]
        self.count += self.has[rows, places][:, None]
