"""DACSR: one encoder for accuracy, one for calibration, and two small networks that join what both know."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.data.windows import Windows
from reprise.models import Kept, gru4rec, sasrec
from reprise.models.sequential import SequenceModel
from reprise.models.sequential.transformer import normal
from reprise.settings import Field, Settings


class Options(Settings):
    """Settings of DACSR. Both encoders have the same."""

    encoder: Literal["sasrec", "gru4rec"] = Field(description="what both encoders are")
    dim: int = Field(ge=1, description="D, length of an encoder's row; the joined one has 2 D")
    window: int = Field(ge=1, description="L, items of a history that are read")
    layers: int = Field(ge=1, description="of sasrec")
    heads: int = Field(ge=1, description="of sasrec")
    inner: int = Field(ge=1, description="of sasrec, width of the feed-forward layers")
    hidden: int = Field(ge=1, description="of gru4rec, width of the recurrent state")
    dropout: float = Field(ge=0, lt=1, description="on the input; of sasrec also after each part of a block")
    attention_dropout: float = Field(ge=0, lt=1, description="of sasrec, on the weights of attention")
    depth: int = Field(ge=0, description="t, linear maps of an extractor; 0: none, the two are only put side by side")
    act_after: bool = Field(False, description="whether ReLU comes after each linear map of an extractor, not before")


class Extractor(nn.Module):
    """z_n = W_n ReLU(z_{n-1}) + b_n from z_0 = x; gives z_t + x, and x itself for t = 0 (Eq. 18)."""

    def __init__(self, dim: int, depth: int, act_after: bool):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(dim, dim) for _ in range(depth))
        self.act_after = act_after

    def forward(self, rows: Tensor) -> Tensor:
        """Rows [..., 2D] to rows [..., 2D]."""
        if not self.layers:
            return rows
        found = rows
        for layer in self.layers:
            found = layer(found).relu() if self.act_after else layer(found.relu())
        return found + rows


class Model(SequenceModel):
    """Ranks by <X_s [h_p, h_c], X_i [e_p, e_c]>, X_s and X_i the extractors, h and e of the two encoders.

    Without extractors this is s_p + s_c, the sum of both encoders' scores.
    """

    source = "Chen et al.: DACSR (arXiv 2204.10796), Eq. 13 to 19"
    causal = True

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(interactions, options.window)
        self.accuracy, self.calibration = (_encoder(options, interactions, generator) for _ in range(2))
        self.of_sequence, self.of_item = (
            Extractor(2 * options.dim, options.depth, options.act_after) for _ in range(2)
        )
        for extractor in (self.of_sequence, self.of_item):
            normal(extractor, generator)
        self.to(interactions.items.device)
        self._table: Kept[Tensor] = Kept(self)

    def joined(self, summaries: tuple[Tensor, Tensor], tables: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """h_a [T, 2D] and E_a [n_items, 2D], from both encoders' summaries [T, D] and tables [n_items, D]."""
        return self.of_sequence(torch.cat(summaries, 1)), self.of_item(torch.cat(tables, 1))

    def states(self, windows: Windows) -> Tensor:
        """h_a at every position, [B, L, 2D]."""
        both = [encoder.states(windows) for encoder in (self.accuracy, self.calibration)]
        return self.of_sequence(torch.cat(both, 2))

    def output(self) -> tuple[Tensor, Tensor | None]:
        """E_a, [n_items, 2D]."""
        both = (self.accuracy, self.calibration)
        return self._table.get(lambda: self.of_item(torch.cat([one.output()[0] for one in both], 1))), None

    def forget(self) -> None:
        """Make E_a anew for the next batch."""
        self._table.forget()


def _encoder(options: Options, interactions: Interactions, generator: torch.Generator) -> SequenceModel:
    """One encoder, with rows and weights of its own."""
    shared = {"dim": options.dim, "window": options.window, "dropout": options.dropout}
    if options.encoder == "gru4rec":
        return gru4rec.Model(gru4rec.Options(**shared, hidden=options.hidden), interactions, generator)
    blocks = {"layers": options.layers, "heads": options.heads, "inner": options.inner}
    settings = sasrec.Options(**shared, **blocks, attention_dropout=options.attention_dropout)
    return sasrec.Model(settings, interactions, generator)
