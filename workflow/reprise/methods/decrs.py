"""DecRS: what a user's history says of groups is held apart from its prior, by one more vector of the user's."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.methods import pointwise
from reprise.methods.pointwise import PointwiseOptions
from reprise.models.factorisation import FactorisationMachine, Side, group_shares
from reprise.settings import Field


class Options(PointwiseOptions):
    """Settings of DecRS."""

    m: Literal["fm", "ep"] = Field(
        description="fm: M pools users' and groups' rows pair by pair (Eq. 8); ep: it is the product of their sums "
        "(Eq. 7)"
    )
    m_pairs: Literal["half", "full"] = Field(description="fm only: pairs a < b, or all of them as Eq. 8 prints it")
    prior: Literal["catalogue", "interaction", "uniform"] = Field(
        description="d-bar: the mean of q over the catalogue, over all training rows (Eq. 3 to 5), or 1/N"
    )
    v_init_std: float = Field(gt=0, description="deviation of the first draw of the groups' rows v")


class Method(pointwise.Method):
    """Pointwise training of a model that gets the back-door vector m(d-bar, u) as one more feature of the user.

    With g_a = d-bar_a v_a, v a table of its own, and u_b the model's own rows of the user's features:

    - fm: m = sum over pairs of {u_b} and {g_a} of their product, each once; all ordered pairs give (sum)^2;
    - ep: m = (sum_a g_a) (sum_b u_b), element by element.

    d-bar is fixed. m does not depend on the item, so ranking costs what the model's own does.
    """

    source = "Wang et al.: DecRS (KDD 2021), Eq. 6 to 8; half the pairs, and v from N(0, 1): WenjieWWJ/DecRS"
    trainer = "rows"

    def __init__(
        self, options: Options, model: FactorisationMachine, interactions: Interactions, generator: torch.Generator
    ):
        super().__init__(options, model, interactions, generator)
        expected = prior_of(interactions, options.prior)
        self.register_buffer("expected", expected.float(), persistent=False)  # follows from the data
        table = torch.empty(len(expected), model.rows["item"].shape[1])
        table.normal_(0, options.v_init_std, generator=generator)
        self.group_rows = nn.Parameter(table.to(expected.device))

    def side(self, users: Tensor) -> Side:
        """The user side of an instance with m among its vectors, of `users` [B]."""
        side = self.model.users(users)
        return side.joined(self.confounder(side))

    def confounder(self, user: Side) -> Tensor:
        """m(d-bar, u) of users, [B, D]."""
        rows = self.expected[:, None] * self.group_rows
        total = rows.sum(0)
        if self.options.m == "ep":
            return total * user.total
        if self.options.m_pairs == "full":
            return (user.total + total).square()
        return ((user.total + total).square() - user.squares - rows.square().sum(0)) / 2


def prior_of(interactions: Interactions, kind: str) -> Tensor:
    """d-bar, [N] float64: by `kind`, the mean of q over the catalogue or over all training rows, or even."""
    shares = group_shares(interactions).double()
    shares = shares / shares.sum(1, keepdim=True).clamp(min=0.5)  # 1/m again, to all digits; a row of zeros stays
    if kind == "uniform":
        return torch.full_like(shares[0], 1 / shares.shape[1])
    if kind == "catalogue":
        return shares.mean(0)
    counts = interactions.counts.double()
    return counts @ shares / counts.sum()
