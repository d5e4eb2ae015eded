"""FDSA: one causal Transformer over a window's items, another over their attributes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.data.windows import Windows
from reprise.models import take
from reprise.models.sequential import SequenceModel, embedding, feature
from reprise.models.sequential.transformer import DEVIATION, EPSILON, Blocks, TransformerOptions, normal
from reprise.settings import Field


class Options(TransformerOptions):
    """Settings of FDSA."""

    dropout: float = Field(ge=0, lt=1, description="on the inputs, after each part of a block and on the output")
    pooling: Literal["attention", "mean"] = Field(
        description="of an item's attributes: by attention, each a feature of its own; or all one field, so their mean"
    )


class Model(SequenceModel):
    """h_t = Drop(LN(W [Transformer(items)_t ; Transformer(features)_t] + b)); the input table is the output table.

    Both streams read Drop(LN(row + position row)); there is one table of positions, and one LN for both inputs and the
    output. The feature row of an item is sum_a w_a a over its attribute rows, w = softmax over them of
    v' ReLU(W a + b), or their mean; zero for an item without attributes.
    """

    source = "Zhang et al.: FDSA (IJCAI 2019), as RecBole has it"
    causal = True

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(interactions, options.window)
        dim, device, lists = options.dim, interactions.items.device, feature(interactions, "attributes")
        self.values, self.starts = lists.values, lists.offsets  # one bag more than items: the empty one of padding
        self.owner = torch.repeat_interleave(torch.arange(self.n_items, device=device), lists.offsets.diff())
        self.item = embedding(self.n_items + 1, dim, DEVIATION, generator, device)
        self.attribute = embedding(lists.size, dim, DEVIATION, generator, device)
        self.position = embedding(options.window, dim, DEVIATION, generator, device)
        self.energy = None
        if options.pooling == "attention":  # a bias of the last layer would leave every softmax as it is
            self.energy = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 1, bias=False))
        self.item_blocks, self.feature_blocks = (Blocks(options) for _ in range(2))
        self.norm, self.dropout = nn.LayerNorm(dim, EPSILON), nn.Dropout(options.dropout)
        self.joined = nn.Linear(2 * dim, dim)
        normal(self, generator)
        self.to(device)

    def states(self, windows: Windows) -> Tensor:
        """[B, L, D]."""
        position = self.position[: windows.items.shape[1]]
        streams = [
            blocks(self.dropout(self.norm(take(table, windows.items) + position)))
            for blocks, table in ((self.item_blocks, self.item), (self.feature_blocks, self.features()))
        ]
        return self.dropout(self.norm(self.joined(torch.cat(streams, 2))))

    def features(self) -> Tensor:
        """The feature row of every item, and of padding (zero), [n_items + 1, D]."""
        bags = nn.functional.embedding_bag
        if self.energy is None:
            return bags(self.values, self.attribute, self.starts, mode="mean")
        energy = self.energy(self.attribute).float()
        highest = bags(self.values, energy.detach(), self.starts, mode="max")
        shares = (take(energy, self.values) - highest[self.owner]).exp()
        sums = bags(torch.arange(len(shares), device=shares.device), shares, self.starts, mode="sum")
        rows = bags(self.values, self.attribute, self.starts, mode="sum", per_sample_weights=shares.squeeze(1))
        return rows / sums.clamp(min=1)  # the largest share is 1, so only a sum of none is below

    def output(self) -> tuple[Tensor, Tensor | None]:
        """The input table without its padding row."""
        return self.item[: self.n_items], None
