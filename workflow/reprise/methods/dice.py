"""DICE: half of a row says what a user likes, the other half what is popular, told apart by cause."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.methods import Pairs, Wrapper, once
from reprise.models import FactorModel
from reprise.settings import Annotated, Field, Settings


class Options(Settings):
    """Settings of DICE and of its own trainer."""

    loss: Literal["bpr", "bce"] = Field(description="L_tot: the pairwise loss of DICE, or binary cross-entropy")
    causes: float = Field(ge=0, description="weight of L_int and of L_pop in the first epoch")
    discrepancy: float = Field(ge=0, description="weight of the distance between the halves, which is made large")
    decay: float = Field(gt=0, le=1, description="factor after each epoch, on `causes` and on `margin`")
    negatives: int = Field(ge=1, description="negatives of a positive")
    margin: float = Field(ge=0, description="rows that a more popular negative has more, in the first epoch")
    pool: int = Field(ge=1, description="items that a side needs before negatives are drawn from both")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        description="Adam's decay rates"
    )
    weight_decay: float = Field(ge=0, description="Adam's, added to the gradient")
    plateau: int = Field(ge=0, description="evaluations without a new best; one more cuts the learning rate to a tenth")
    floor: float = Field(gt=0, description="lowest learning rate")
    floor_patience: int = Field(ge=0, description="evaluations without a new best there; one more ends the search")


class Method(Wrapper):
    """L = causes (L_int + L_pop) + L_tot - discrepancy D; ranking: the product of whole rows.

    With x+ and x- the products of a pair's interest halves (int), popularity halves (pop) or whole rows (tot), m = 1
    where the negative is more popular than the positive, s the sigmoid, and means over all pairs:
    L_int = -mean m log s(int+ - int-), L_pop = -mean m log s(pop- - pop+) - mean (1 - m) log s(pop+ - pop-),
    L_tot = -mean log s(tot+ - tot-), and D the mean square between the halves of the batch's items, plus that of its
    users. `epoch` is set by the trainer.
    """

    source = "Zheng et al.: DICE (WWW 2021), Eq. 6-12, as tsinghua-fib-lab/DICE has it, with L2 as discrepancy"
    trainer = "shuffled"

    def __init__(self, options: Options, model: FactorModel, interactions: Interactions, generator: torch.Generator):
        super().__init__(model, interactions)
        self.options, self.epoch = options, 0
        self.half = model.item.shape[1] // 2
        bound = 1 / math.sqrt(self.half)
        with torch.no_grad():
            for table in (model.user, model.item):
                table.copy_(torch.empty(table.shape).uniform_(-bound, bound, generator=generator))
        self.register_buffer("counts", interactions.counts, persistent=False)  # follows from the training data

    def loss(self, batch: Pairs) -> Tensor:
        """The loss of a batch with M negatives a positive; returns a scalar."""
        softplus = nn.functional.softplus
        good, bad = batch.user * batch.good, batch.user[:, None] * batch.bad
        liked = good[:, None, : self.half].sum(-1) - bad[..., : self.half].sum(-1)  # [B, M]
        popular = good[:, None, self.half :].sum(-1) - bad[..., self.half :].sum(-1)
        mask = self.counts[batch.negatives] > self.counts[batch.positives][:, None]
        by_cause = (mask * softplus(-liked)).mean() + softplus(torch.where(mask, popular, -popular)).mean()
        if self.options.loss == "bpr":
            total = softplus(-liked - popular).mean()
        else:
            total = softplus(-batch.positive).mean() + softplus(batch.negative).mean()
        items = torch.cat([batch.positives, batch.negatives.flatten()])
        distance = self._between_halves(torch.cat([batch.good, batch.bad.flatten(0, 1)]), items, len(self.model.item))
        distance = distance + self._between_halves(batch.user, batch.users, len(self.model.user))
        causes = self.options.causes * self.options.decay**self.epoch
        return causes * by_cause + total - self.options.discrepancy * distance

    def _between_halves(self, rows: Tensor, ids: Tensor, size: int) -> Tensor:
        """Mean square between the halves of `rows` [N, D], each of the `ids` [N] counted once; returns a scalar."""
        weights = once(ids, size)
        return weights @ (rows[:, : self.half] - rows[:, self.half :]).square().mean(1) / weights.sum()
