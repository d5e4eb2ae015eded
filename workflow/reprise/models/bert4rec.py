"""BERT4Rec: a Transformer in both directions that fills in what is masked."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.data.windows import Windows
from reprise.models import take
from reprise.models.sequential import SequenceModel, embedding
from reprise.models.sequential.transformer import DEVIATION, EPSILON, Encoder, TransformerOptions, normal, seen
from reprise.settings import Field


class Options(TransformerOptions):
    """Settings of BERT4Rec."""

    window: int = Field(ge=2, description="L, columns that are read; in scoring the mask takes one of them")
    drop_first: bool = Field(
        description="as RecBole does, leave position 0 out of the loss, and in scoring the first item of every window"
    )


class Model(SequenceModel):
    """h_t = LN(GELU(W Transformer(item rows + position rows)_t + b)); scores <h, e_i> + b_i, e the input table."""

    source = "Sun et al.: BERT4Rec (CIKM 2019), as RecBole has it"

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(interactions, options.window)
        self.drop_first, device = options.drop_first, interactions.items.device
        self.item = embedding(self.n_items + 2, options.dim, DEVIATION, generator, device)  # padding, then the mask
        self.position = embedding(options.window, options.dim, DEVIATION, generator, device)
        self.encoder = Encoder(options, generator, device)
        self.dense, self.norm = nn.Linear(options.dim, options.dim), nn.LayerNorm(options.dim, EPSILON)
        normal(self.dense, generator)
        self.bias = nn.Parameter(torch.zeros(self.n_items))
        self.to(device)

    @property
    def mask(self) -> int:
        """The id of what is masked."""
        return self.n_items + 1

    def masked(self, windows: Windows, positions: Tensor) -> Tensor:
        """Summaries [B, M, D] at `positions` [B, M] of the windows, all of which are masked.

        A window with fewer than M masked positions names one of them again; the loss leaves out the surplus.
        """
        items = windows.items.scatter(1, positions, self.mask)
        rows = take(self.item, items) + self.position[: items.shape[1]]
        states = self.encoder(rows, seen(windows), causal=False)
        states = states[torch.arange(len(items), device=items.device)[:, None], positions]
        return self.norm(nn.functional.gelu(self.dense(states)))

    def counted(self, positions: Tensor) -> Tensor:
        """Which masked `positions` [B, M] count in the loss, [B, M] bool."""
        return positions > 0 if self.drop_first else torch.ones_like(positions, dtype=torch.bool)

    def last(self, windows: Windows) -> Tensor:
        """The summary at a mask behind the window's items, [B, D]; a full window makes room for it."""
        lengths, width = windows.lengths, windows.items.shape[1]
        kept = (lengths - 1).clamp(min=0) if self.drop_first else lengths.clamp(max=self.window - 1)
        column = torch.arange(min(width + 1, self.window), device=lengths.device) + (lengths - kept)[:, None]
        items = nn.functional.pad(windows.items, (0, 1), value=self.padding).gather(1, column.clamp(max=width))
        return self.masked(Windows(windows.users, items, kept + 1), kept[:, None]).squeeze(1)

    def output(self) -> tuple[Tensor, Tensor | None]:
        """The input table without padding and mask, and a bias an item."""
        return self.item[: self.n_items], self.bias
