"""GRU4Rec: a recurrent network over the items of a window."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.data.windows import Windows
from reprise.models import take
from reprise.models.sequential import SequenceModel, embedding, uniform
from reprise.settings import Field, Settings


class Options(Settings):
    """Settings of GRU4Rec."""

    dim: int = Field(ge=1, description="D, length of a row")
    window: int = Field(ge=1, description="L, items of a history that are read")
    hidden: int = Field(ge=1, description="width of the recurrent state")
    dropout: float = Field(ge=0, lt=1, description="on the item rows")


class Model(SequenceModel):
    """h_t = W GRU(Drop(item rows))_t + b, one layer without bias; the input table is the output table."""

    source = "Hidasi et al. (ICLR 2016), Tan et al. (DLRS 2016), as RecBole has it"
    causal = True

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(interactions, options.window)
        device, rows = interactions.items.device, self.n_items + 1
        self.item = embedding(rows, options.dim, (2 / (rows + options.dim)) ** 0.5, generator, device)  # Xavier-normal
        self.dropout = nn.Dropout(options.dropout)
        self.recurrent = nn.GRU(options.dim, options.hidden, bias=False, batch_first=True)
        for weight in self.recurrent.parameters():
            nn.init.xavier_uniform_(weight, generator=generator)
        self.dense = nn.Linear(options.hidden, options.dim)
        uniform(self.dense, options.hidden**-0.5, generator)
        self.to(device)

    def states(self, windows: Windows) -> Tensor:
        """[B, L, D]."""
        return self.dense(self.recurrent(self.dropout(take(self.item, windows.items)))[0])

    def output(self) -> tuple[Tensor, Tensor | None]:
        """The input table without its padding row."""
        return self.item[: self.n_items], None
