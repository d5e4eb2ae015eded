"""Neural factorisation machine: the pooled pairs of features go through a hidden layer."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.models.factorisation import FactorisationMachine, FactorisationOptions, Side, norm, scale_and_shift
from reprise.settings import Field

# Users and items whose hidden units are held at a time in ranking; bounds memory. On a CPU what its core's cache holds.
TILE = {"cpu": (64, 64), "cuda": (512, 4096)}


class Options(FactorisationOptions):
    """Settings of the neural factorisation machine."""

    hidden: int = Field(ge=1, description="H, units of the hidden layer")
    dropout: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        description="of the pooled pairs, and of the hidden layer"
    )
    batch_norm: bool = Field(description="of both, before dropout and ReLU")


class Model(FactorisationMachine):
    """y(u, i) = p . drop(ReLU(BN(W drop(BN(pool)) + c))) + sum_f x_f w_f + b, pool as in `models.fm`; one layer."""

    source = "He, Chua: Neural Factorization Machines (SIGIR 2017), Eq. 4 to 7, as WenjieWWJ/DecRS has it"

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(options, interactions, generator)
        self.normalised = norm(options.dim, options.batch_norm)
        self.hidden_normalised = norm(options.hidden, options.batch_norm)
        # A batch norm takes away whatever constant comes before it, and adds one of its own.
        self.layer = nn.Linear(options.dim, options.hidden, bias=not options.batch_norm)
        self.prediction = nn.Linear(options.hidden, 1, bias=False)
        for linear in (self.layer, self.prediction):
            nn.init.xavier_normal_(linear.weight, generator=generator)
        if not options.batch_norm:
            nn.init.uniform_(self.layer.bias, -(options.dim**-0.5), options.dim**-0.5, generator=generator)
        self.dropouts = nn.ModuleList(map(nn.Dropout, options.dropout))
        self.to(interactions.items.device)

    def head(self, pooled: Tensor) -> Tensor:
        """The pooled pairs [B, D] through the hidden layer; [B]."""
        first, second = self.dropouts
        hidden = self.hidden_normalised(self.layer(first(self.normalised(pooled))))
        return self.prediction(second(hidden.relu())).squeeze(1)

    def against_all(self, user: Side) -> Tensor:
        """[B, n_items], a tile of some users and items at a time.

        Up to ReLU everything is linear in the pooled pairs, of which only s t needs both sides (see `models.fm`): the
        hidden layer of a user and some items is one product of a matrix [H, D + 1] of that user's, the last column its
        own part, with the items' totals over ones.
        """
        item, (layer, shift) = self.items(), self._folded()
        of_item = layer @ item.pool().T  # [H, n_items]
        totals = torch.cat([item.total.T, torch.ones_like(item.linear[None])])  # [D + 1, n_items]
        of_user = (user.pool() @ layer.T + shift)[:, :, None]  # [B, H, 1]
        prediction = self.prediction.weight.squeeze(0)
        few, some = TILE[totals.device.type]
        blocks = [(part.contiguous(), both.contiguous())
                  for part, both in zip(of_item.split(some, 1), totals.split(some, 1), strict=True)]
        rows = []
        for total, own in zip(user.total.split(few), of_user.split(few), strict=True):
            matrices = torch.cat([total[:, None] * layer, own], 2)  # [b, H, D + 1]
            size = (len(own), -1, -1)
            hidden = (torch.baddbmm(part.expand(size), matrices, both.expand(size)) for part, both in blocks)
            rows.append(torch.cat([prediction @ units.relu_() for units in hidden], 1))
        return torch.cat(rows).add_(item.linear).add_((user.linear + self.bias)[:, None])

    def _folded(self) -> tuple[Tensor, Tensor]:
        """The hidden layer with both batch norms folded in, from pooled pairs to before ReLU: [H, D] and [H]."""
        scale, shift = scale_and_shift(self.normalised, self.layer.weight[0])
        hidden_scale, hidden_shift = scale_and_shift(self.hidden_normalised, self.layer.weight[:, 0])
        constant = self.layer.weight @ shift
        if self.layer.bias is not None:
            constant = constant + self.layer.bias
        return hidden_scale[:, None] * self.layer.weight * scale, hidden_scale * constant + hidden_shift
