"""LightGCN as DICE's code has it: every node is its own neighbour, too, and propagated rows are dropped out."""

from __future__ import annotations

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.models import FactorModel, Kept, Rows, take
from reprise.models.lightgcn import Product, Sparse, to_some
from reprise.settings import Field, Settings


class Options(Settings):
    """Settings of LightGCN with self loops and dropout."""

    dim: int = Field(ge=1, description="D, length of a row")
    layers: int = Field(ge=1, description="L, rounds of propagation")
    dropout: float = Field(ge=0, lt=1, description="share of a propagated layer's numbers that training sets to 0")


class Model(FactorModel):
    """y(u, i) = <e_u, e_i>, e the mean of layers 0..L, layer l+1 = dropout(D^-1/2 (A + I) D^-1/2 layer l).

    D counts the loop. The last layer is formed for the batch's users alone; a user who is in a batch twice is dropped
    out there once for each time, which is the one difference to propagating everything.
    """

    source = "He et al.: LightGCN (SIGIR 2020), as tsinghua-fib-lab/DICE has it (LGNDICE)"

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(interactions, options.dim, generator)
        self.options = options
        self.graph = interactions.distinct()
        users, items = self.graph.users, self.graph.items
        degrees, counts = self.graph.degrees + 1, self.graph.counts + 1
        self.user_loop, self.item_loop = (1 / size.float()[:, None] for size in (degrees, counts))
        self._kept: Kept[tuple[list[Tensor], Tensor, Tensor]] = Kept(self)
        self.weights = (degrees[users].double() * counts[items]).rsqrt().float()
        by_items = torch.argsort(items, stable=True)
        starts = torch.cumsum(self.graph.counts, 0) - self.graph.counts
        self.to_users = Sparse(items, self.graph.offsets[:-1], self.weights)
        self.to_items = Sparse(users[by_items], starts, self.weights[by_items])

    def on(self, interactions: Interactions, generator: torch.Generator) -> Model:
        """Make a fresh model with the same settings for other interactions."""
        return Model(self.options, interactions, generator)

    def represent(self, users: Tensor, noise: torch.Generator | None = None) -> Rows:
        """Propagated rows: [B, D] of `users` [B], and [n_items, D]; without `noise` nothing is dropped."""
        layers, before, items = self._propagated(noise) if noise else self._kept.get(self._propagated)
        learned, *others = (take(layer, users) for layer in layers)
        last = self._drop(
            self.user_loop[users] * take(layers[-1], users)
            + to_some(users, before, self.graph, self.to_users, self.to_items), noise
        )
        return Rows(sum(others, learned + last) / (self.options.layers + 1), items, learned)

    def forget(self) -> None:
        """Propagate anew for the next batch."""
        self._kept.forget()

    def _propagated(self, noise: torch.Generator | None = None) -> tuple[list[Tensor], Tensor, Tensor]:
        """User layers 0..L-1, item layer L-1, and the mean of item layers 0..L; each of all rows."""
        of_users, of_items = [self.user], [self.item]
        for layer in range(self.options.layers):
            users, items = of_users[-1], of_items[-1]
            if layer < self.options.layers - 1:
                spread = self.user_loop * users + Product.apply(items, self.to_users, self.to_items)
                of_users.append(self._drop(spread, noise))
            spread = self.item_loop * items + Product.apply(users, self.to_items, self.to_users)
            of_items.append(self._drop(spread, noise))
        return of_users, of_items[-2], sum(of_items) / (self.options.layers + 1)

    def _drop(self, rows: Tensor, noise: torch.Generator | None) -> Tensor:
        kept = 1 - self.options.dropout
        if noise is None or kept == 1:
            return rows
        return rows * torch.empty_like(rows).bernoulli_(kept, generator=noise).div_(kept)
