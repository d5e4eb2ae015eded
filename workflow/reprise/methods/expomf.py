"""ExpoMF: a click that did not happen says something only if the item was seen, which is learned too."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.methods import Wrapper
from reprise.models import FactorModel
from reprise.settings import Annotated, Field, Settings

CELLS = {"cpu": 1 << 22, "cuda": 1 << 27}  # numbers of a matrix held at a time; bounds memory, changes only rounding


class Options(Settings):
    """Settings of ExpoMF."""

    norm: Literal["official", "correct"] = Field(
        description="the normal density's factor: sqrt(lambda_y pi / 2), as the official code computes it, or "
        "sqrt(lambda_y / (2 pi))"
    )
    mu: float = Field(gt=0, lt=1, description="mu_0, every item's chance of being seen, to begin with")
    a: float = Field(ge=1, description="first parameter of the chance's Beta prior")
    b: float = Field(ge=1, description="second parameter of the chance's Beta prior")
    deviation: float = Field(gt=0, description="standard deviation of the first rows")
    precisions: tuple[
        Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]
    ] = Field(description="lambda_theta of user rows, lambda_beta of item rows, lambda_y of clicks")


class Met(NamedTuple):
    """Whom each of N rows met, `others` [cells] row after row, and how many, `degrees` [N].

    Where each row begins, `bounds` [N + 1], is known on the host, so that no block waits for the device.
    """

    others: Tensor
    degrees: Tensor
    bounds: list[int]

    @classmethod
    def of(cls, interactions: Interactions) -> Met:
        """Of users and the items that they met."""
        return cls(interactions.items, interactions.degrees, interactions.offsets.tolist())


class Method(Wrapper):
    """Expectation maximisation over all cells; ranking: theta_u . beta_i, without the exposure.

    With phi = N(0; theta_u . beta_i, 1 / lambda_y), an iteration takes A_ui = 1 where u met i and else
    phi / (phi + (1 - mu_i) / mu_i); sets theta_u = (sum_i A_ui beta_i beta_i' + lambda_theta / lambda_y I)^-1
    sum_i A_ui y_ui beta_i; beta likewise, with A from the new theta; and last mu_i = (a + sum_u A_ui - 1) /
    (a + b + n_users - 2). A user met an item or not: repeats count once.
    """

    source = "Liang et al.: Modeling User Exposure in Recommendation (WWW 2016), Eq. 2-5, as dawenl/expo-mf has it"
    trainer = "alternating"

    def __init__(self, options: Options, model: FactorModel, interactions: Interactions, generator: torch.Generator):
        super().__init__(model, interactions)
        self.options, device = options, interactions.items.device
        with torch.no_grad():
            for table in (model.user, model.item):
                table.copy_(torch.empty(table.shape).normal_(0, options.deviation, generator=generator))
        self.register_buffer("mu", torch.full((interactions.n_items,), options.mu, device=device))
        distinct = interactions.distinct()
        self.by_user, self.by_item = Met.of(distinct), Met.of(distinct.transposed())
        *_, precision = options.precisions
        self.factor = math.sqrt(precision * math.pi / 2 if options.norm == "official" else precision / (2 * math.pi))

    @torch.no_grad()
    def iterate(self) -> Tensor:
        """Take one iteration; return the mean over all cells of A (y - theta . beta)^2 after it, a scalar."""
        theta, beta, clicks = self.options.precisions
        user, item = self.model.user, self.model.item
        user.copy_(self._solved(user, item, self.by_user, self.mu[None], theta / clicks))
        item.copy_(self._solved(item, user, self.by_item, self.mu[:, None], beta / clicks))
        seen, error = torch.zeros_like(self.mu, dtype=torch.float64), self.mu.new_zeros((), dtype=torch.float64)
        for _, cells, scores, exposure in self._blocks(user, item, self.by_user, self.mu[None]):
            seen += exposure.sum(0, dtype=torch.float64)
            scores[cells] -= 1
            error += (exposure * scores.square_()).sum(dtype=torch.float64)
        self.mu.copy_((self.options.a + seen - 1) / (self.options.a + self.options.b + len(user) - 2))
        return (error / (len(user) * len(item))).float()

    def _blocks(
        self, rows: Tensor, others: Tensor, met: Met, mu: Tensor
    ) -> Iterator[tuple[slice, tuple[Tensor, Tensor], Tensor, Tensor]]:
        """Go through `rows` [N, K] in blocks of R against all `others` [O, K].

        `met` holds whom each row met, `mu` is [1, O] or [N, 1]. Yields which rows, the cells where they met, their
        products and exposures A, both [R, O].
        """
        size = max(1, CELLS[rows.device.type] // max(len(others), rows.shape[1] ** 2))
        for start in range(0, len(rows), size):
            block = slice(start, min(start + size, len(rows)))
            mine, degrees = met.others[met.bounds[block.start] : met.bounds[block.stop]], met.degrees[block]
            owner = torch.arange(len(degrees), device=rows.device)
            cells = torch.repeat_interleave(owner, degrees, output_size=len(mine)), mine
            scores = rows[block] @ others.T
            prior = mu if len(mu) == 1 else mu[block]
            density = self.factor * torch.exp(scores.square() * (-self.options.precisions[2] / 2))
            exposure = density / (density + (1 - prior) / prior)
            exposure[cells] = 1
            yield block, cells, scores, exposure

    def _solved(self, rows: Tensor, others: Tensor, met: Met, mu: Tensor, ridge: float) -> Tensor:
        """The new `rows` [N, K], given `others` [O, K]: one weighted ridge regression a row."""
        solved, width = torch.empty_like(rows), rows.shape[1]
        # b b' is symmetric: its upper half is formed for a chunk of the others, and summed by one matrix product.
        left, right = torch.triu_indices(width, width, device=rows.device)
        chunk = max(1, CELLS[rows.device.type] // len(left))
        for block, cells, _, exposure in self._blocks(rows, others, met, mu):
            half = sum(
                weights @ (part[:, left] * part[:, right])
                for weights, part in zip(exposure.split(chunk, 1), others.split(chunk), strict=True)
            ).double()
            whole = half.new_empty(len(half), width, width)
            whole[:, left, right] = whole[:, right, left] = half
            whole.diagonal(dim1=1, dim2=2).add_(ridge)
            degrees = met.degrees[block]
            starts = degrees.cumsum(0) - degrees
            sums = nn.functional.embedding_bag(cells[1], others, starts, mode="sum")
            solved[block] = torch.linalg.solve_ex(whole, sums.double())[0]  # no check, which would wait
        return solved
