"""Reg: items of the short head and of the long tail are drawn together."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.methods import Pairs, Wrapper, binary_cross_entropy
from reprise.models import FactorModel
from reprise.settings import Field, Settings


class Options(Settings):
    """Settings of Reg."""

    weight: float = Field(ge=0, description="lambda, of the regulariser")
    graph: Literal["cross", "same"] = Field(description="pairs of items: head with tail, or each with its own set")
    form: Literal["rows", "score"] = Field(description="distance of two items' rows, or of the scores users give them")
    cutoff: Literal["interactions", "items"] = Field(description="whether the head is a share of rows or of the items")
    share: float = Field(gt=0, lt=1, description="that share: the most popular items up to it are the head")


class Method(Wrapper):
    """L = binary cross-entropy + lambda x mean distance of pairs of the batch's items; ranking: y_k.

    A reconstruction: the MACR paper gives lambda alone, and its reference a Laplacian tr(Q' L Q) over items, of which
    the mean squared distance over pairs (head, tail) is estimated from a batch. Its rows are those that score.
    """

    source = "Abdollahpouri, Burke, Mobasher: Controlling Popularity Bias in Learning-to-Rank (RecSys 2017)"

    def __init__(self, options: Options, model: FactorModel, interactions: Interactions, generator: torch.Generator):
        super().__init__(model, interactions)
        self.options = options
        head = short_head(interactions.counts, options.cutoff, options.share)
        self.register_buffer("head", head, persistent=False)  # follows from the training data

    def loss(self, batch: Pairs) -> Tensor:
        """Binary cross-entropy and the regulariser of a batch; returns a scalar."""
        rows = torch.cat([batch.good, batch.bad])
        head = self.head[torch.cat([batch.positives, batch.negatives])]
        metric = batch.user.T @ batch.user / len(batch.user) if self.options.form == "score" else None
        distance = mean_distance(rows, head, self.options.graph, metric)
        return binary_cross_entropy(batch.positive, batch.negative) + self.options.weight * distance


def short_head(counts: Tensor, cutoff: str, share: float) -> Tensor:
    """Which items are the head, [n_items] bool: the most popular ones, by `counts` [n_items], that make up `share`.

    `cutoff` "interactions": as few items as hold at least that share of all rows; "items": that share of the items.
    Items of equal count are taken by their id.
    """
    order = torch.argsort(counts, descending=True, stable=True)
    if cutoff == "interactions":
        before = torch.cumsum(counts[order], 0) - counts[order]
        taken = before < share * counts.sum()
    else:
        taken = torch.arange(len(counts), device=counts.device) < round(share * len(counts))
    return torch.zeros_like(taken).scatter_(0, order, taken)


def mean_distance(rows: Tensor, head: Tensor, graph: str, metric: Tensor | None = None) -> Tensor:
    """Mean of (x - y)' M (x - y) over pairs x, y of `rows` [N, D], `head` [N] bool saying on which side each is.

    `graph` "cross": x of the head, y of the tail; "same": both of one set, in every order, x = y included. `metric` is
    M [D, D], or None for the identity; U'U / B makes it the mean over users of their squared score difference. It is
    mean x'Mx + mean y'My - 2 (mean x)' M (mean y), so no pair is formed. Returns a scalar, 0 where there is no pair.
    """
    side = torch.stack([head, ~head]).to(rows.dtype)  # [2, N]
    size = side.sum(1)
    share = side / size.clamp(min=1)[:, None]
    turned = rows if metric is None else rows @ metric
    square = share @ (turned * rows).sum(1)  # [2], mean of x'Mx on each side
    mean, turned_mean = share @ rows, share @ turned  # [2, D]
    if graph == "cross":
        distance = square.sum() - 2 * (turned_mean[0] * mean[1]).sum()
        return distance * (size > 0).all()
    pairs = size.square()
    return (pairs * 2 * (square - (turned_mean * mean).sum(1))).sum() / pairs.sum()
