"""SASRec: a causal Transformer over the items of a window."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.data.windows import Windows
from reprise.models import take
from reprise.models.sequential import SequenceModel, embedding
from reprise.models.sequential.transformer import DEVIATION, Encoder, TransformerOptions, places
from reprise.settings import Field


class Options(TransformerOptions):
    """Settings of SASRec."""

    positions_from: Literal["start", "end"] = Field(
        "start", description="of the window, as RecBole counts; or its end, as S3-Rec's left padding does"
    )
    tie: bool = Field(True, description="whether the output table is the input table; or a free one")


class Model(SequenceModel):
    """h_t = Transformer(item rows + position rows)_t; the input table is the output table, if it is not free."""

    source = "Kang and McAuley: SASRec (ICDM 2018), as S3-Rec's repository and RecBole have it"
    causal = True

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(interactions, options.window)
        self.positions_from, device = options.positions_from, interactions.items.device
        self.item = embedding(self.n_items + 1, options.dim, DEVIATION, generator, device)
        self.position = embedding(options.window, options.dim, DEVIATION, generator, device)
        self.encoder = Encoder(options, generator, device)
        self.free = None if options.tie else embedding(self.n_items, options.dim, DEVIATION, generator, device)

    def states(self, windows: Windows) -> Tensor:
        """[B, L, D]."""
        position = take(self.position, places(windows, self.window, self.positions_from))
        return self.encoder(take(self.item, windows.items) + position)

    def output(self) -> tuple[Tensor, Tensor | None]:
        """The input table without its padding row, or the free table."""
        return self.item[: self.n_items] if self.free is None else self.free, None
