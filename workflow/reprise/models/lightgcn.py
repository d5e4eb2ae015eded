"""LightGCN: rows smoothed over the graph of training pairs, without weights or activations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.models import FactorModel, Kept, Rows, take
from reprise.settings import Field, Settings

WHOLE_PRODUCT = {"cuda"}  # kinds of device that form a product for all users rather than for a batch's
DENSE_ITEMS = 4096  # up to here the item-to-item matrix fits in 64 MiB, and one dense product beats two sparse ones


class Options(Settings):
    """Settings of LightGCN."""

    dim: int = Field(ge=1, description="D, length of a row")
    layers: int = Field(ge=1, description="L, rounds of propagation")


class Model(FactorModel):
    """y(u, i) = <e_u, e_i>, e the mean of layers 0..L, layer l+1 = D^-1/2 A D^-1/2 layer l, no self loops.

    The graph is bipartite, R [n_users, n_items] its normalised user-item block, so layers of users and items take
    turns: U(l+1) = R I(l) and I(l+1) = R' U(l). Two consequences make a step cheap and change nothing else. All item
    layers follow from layer 0 by I(1) = R' U(0) and I(l+2) = (R'R) I(l), so no user layer is ever computed for all
    users. And the sum over a user's layers 1..L is R times the sum of item layers 0..L-1, a product with the rows of
    the batch's users alone.
    """

    source = "He et al.: LightGCN (SIGIR 2020), Eq. 3, 4 and 8 with equal layer weights"

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(interactions, options.dim, generator)
        self.options = options
        self.layers = options.layers
        self.graph = interactions.distinct()
        users, items = self.graph.users, self.graph.items
        by_user, by_item = self.graph.degrees.clamp(min=1), self.graph.counts.clamp(min=1)
        self.weights = (by_user[users].double() * by_item[items]).rsqrt().float()
        # Both orders are kept: the gradient of a product is a product with the transpose.
        by_items = torch.argsort(items, stable=True)
        ends = torch.cumsum(self.graph.counts, 0)
        self.to_users = Sparse(items, self.graph.offsets[:-1], self.weights)
        self.to_items = Sparse(users[by_items], ends - self.graph.counts, self.weights[by_items])
        self._layers: Kept[tuple[Tensor, Tensor]] = Kept(self)
        self.item_item = None
        if interactions.n_items <= DENSE_ITEMS:
            dense = torch.zeros(interactions.n_users, interactions.n_items, device=items.device)
            dense[users, items] = self.weights
            self.item_item = self.to_items.times(dense)

    def _two_hops(self, items: Tensor) -> Tensor:
        """R'R times `items` [n_items, D]."""
        if self.item_item is not None:
            return self.item_item @ items
        return Product.apply(Product.apply(items, self.to_users, self.to_items), self.to_items, self.to_users)

    def on(self, interactions: Interactions, generator: torch.Generator) -> Model:
        """Make a fresh model with the same settings for other interactions."""
        return Model(self.options, interactions, generator)

    def represent(self, users: Tensor, noise: torch.Generator | None = None) -> Rows:
        """Propagated rows: [B, D] of `users` [B], and [n_items, D]."""
        before, items = self._layers.get(self._propagated)
        smoothed = to_some(users, before, self.graph, self.to_users, self.to_items)
        learned = take(self.user, users)
        return Rows((learned + smoothed) / (self.layers + 1), items, learned)

    def forget(self) -> None:
        """Propagate anew for the next batch."""
        self._layers.forget()

    def _propagated(self) -> tuple[Tensor, Tensor]:
        """Of the item layers the sum of 0..L-1 and the mean of 0..L, [n_items, D] each."""
        layers = [self.item, Product.apply(self.user, self.to_items, self.to_users)]
        while len(layers) <= self.layers:
            layers.append(self._two_hops(layers[-2]))
        return sum(layers[:-1]), sum(layers) / (self.layers + 1)


@dataclass(frozen=True)
class Sparse:
    """A sparse matrix by rows: row r holds `values` at `columns`, from `starts[r]` on. PyTorch's bags of embeddings
    multiply with it several times faster than its CSR matrices do, and on a GPU in a fixed order."""

    columns: Tensor
    starts: Tensor
    values: Tensor

    def times(self, rows: Tensor) -> Tensor:
        """The product with `rows` [columns, D]."""
        return nn.functional.embedding_bag(self.columns, rows, self.starts, mode="sum", per_sample_weights=self.values)


def to_some(users: Tensor, items: Tensor, graph: Interactions, to_users: Sparse, to_items: Sparse) -> Tensor:
    """Rows `users` [B] of `to_users` times `items` [n_items, D]; [B, D]. `graph` has the pattern of `to_users`.

    A CPU forms those rows alone. How many numbers that takes depends on the users, so a GPU's host would have to wait
    for the answer: there, the whole product is formed, at a fraction of that wait.
    """
    if users.device.type in WHOLE_PRODUCT:
        return take(Product.apply(items, to_users, to_items), users)
    owner, position = graph.of_users(users)
    starts = torch.searchsorted(owner, torch.arange(len(users), device=users.device))
    return nn.functional.embedding_bag(
        graph.items[position], items, starts, mode="sum", per_sample_weights=to_users.values[position]
    )


class Product(torch.autograd.Function):
    """`matrix` times rows, with the transpose at hand for the gradient."""

    @staticmethod
    def forward(ctx, rows: Tensor, matrix: Sparse, transpose: Sparse) -> Tensor:
        ctx.transpose = transpose
        return matrix.times(rows)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.transpose.times(gradient.contiguous()), None, None
