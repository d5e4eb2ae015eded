"""S3-Rec: SASRec, first trained to tell items, attributes and segments that belong to a sequence."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.data.windows import Windows
from reprise.models import take
from reprise.models.sequential import SequenceModel, embedding, feature
from reprise.models.sequential.transformer import DEVIATION, Encoder, TransformerOptions, normal, places, seen
from reprise.settings import Field


class Options(TransformerOptions):
    """Settings of S3-Rec."""

    positions_from: Literal["start", "end"] = Field(
        description="of the window, as RecBole counts; or its end, as S3-Rec's left padding does"
    )


class Model(SequenceModel):
    """Ranks and learns the next item as SASRec does. For what comes before it reads in both directions, and scores

    - an attribute a at position t by <a, W h_t + b>, with a W of its own for positions that are masked (`map`) and
      positions that are not (`aap`);
    - an item i at a masked position by sigmoid(<e_i, W_mip h_t + b>);
    - a segment in the place of the masked one by sigmoid(<s, W_sp h + b>), h and s the last states of both sequences.
    """

    source = "Zhou et al.: S3-Rec (CIKM 2020), Eq. 5 to 8, as its code has them"
    causal = True

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(interactions, options.window)
        self.positions_from, device = options.positions_from, interactions.items.device
        lists = feature(interactions, "attributes")
        owner = torch.repeat_interleave(torch.arange(self.n_items, device=device), lists.offsets.diff())
        self.has = torch.zeros(self.n_items + 2, lists.size, dtype=torch.bool, device=device)
        self.has[owner, lists.values] = True
        self.item = embedding(self.n_items + 2, options.dim, DEVIATION, generator, device)  # padding, then the mask
        self.attribute = embedding(lists.size, options.dim, DEVIATION, generator, device)
        self.position = embedding(options.window, options.dim, DEVIATION, generator, device)
        self.encoder = Encoder(options, generator, device)
        self.aap, self.mip, self.map, self.sp = (nn.Linear(options.dim, options.dim) for _ in range(4))
        for layer in (self.aap, self.mip, self.map, self.sp):
            normal(layer, generator)
        self.to(device)

    @property
    def mask(self) -> int:
        """The id of what is masked."""
        return self.n_items + 1

    def states(self, windows: Windows) -> Tensor:
        """[B, L, D]."""
        return self.encoder(self._rows(windows))

    def both_ways(self, windows: Windows) -> Tensor:
        """States [B, L, D] that see the whole window; where it is masked, its items are `mask`."""
        return self.encoder(self._rows(windows), seen(windows), causal=False)

    def _rows(self, windows: Windows) -> Tensor:
        position = take(self.position, places(windows, self.window, self.positions_from))
        return take(self.item, windows.items) + position

    def attribute_logits(self, states: Tensor, masked: bool) -> Tensor:
        """Logits [..., A] of every attribute at positions with `states` [..., D], all masked or none."""
        return (self.map if masked else self.aap)(states) @ self.attribute.T

    def attributes(self, items: Tensor) -> Tensor:
        """Which attributes `items` [...] have, [..., A] bool; none of padding and the mask."""
        return self.has[items]

    def item_scores(self, states: Tensor, items: Tensor) -> Tensor:
        """Scores [...] in (0, 1) of `items` [...] at masked positions with `states` [..., D]."""
        return (self.mip(states) * take(self.item, items)).sum(-1).sigmoid()

    def segment_scores(self, context: Windows, segment: Windows) -> Tensor:
        """Scores [B] in (0, 1) of a `segment`, masked around, in the place that is masked in its `context`."""
        rows = torch.arange(len(context.lengths), device=context.lengths.device)
        around, inside = (
            self.both_ways(windows)[rows, windows.lengths.clamp(min=1) - 1] for windows in (context, segment)
        )
        return (self.sp(around) * inside).float().sum(1).sigmoid()

    def output(self) -> tuple[Tensor, Tensor | None]:
        """The input table without padding and mask."""
        return self.item[: self.n_items], None
