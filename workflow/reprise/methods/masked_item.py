"""Masked item: a model that reads both ways learns to fill in the items of a window that are masked."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.data.windows import Windows
from reprise.losses import softmax_over_items
from reprise.methods.next_item import OfSequences, SoftmaxOptions, Targets
from reprise.models.bert4rec import Model
from reprise.models.sequential import real
from reprise.settings import Field


class Options(SoftmaxOptions):
    """Settings of the objective."""

    samples: Literal["per_prefix", "last_window"] = Field(
        description="a window for every prefix of a history, as RecBole has it; or only its last window, and then a "
        "step counts windows"
    )
    share: float = Field(gt=0, lt=1, description="chance of an item to be masked")
    last_only: float = Field(ge=0, le=1, description="share of windows in which the last item alone is masked, instead")


class Method(OfSequences):
    """The mean, over masked items, of -log softmax over all items at their position.

    A window holds its target as its last item. At most `share` times the model's window are masked in it; where none
    was drawn, the last is. RecBole leaves a prefix's target out of its window, lets a window without a draw pass, masks
    all that were drawn and counts some, and draws `last_only` once a batch.
    """

    source = "Sun et al.: BERT4Rec (CIKM 2019), with RecBole's shares and lengths"
    trainer = "sequences"
    holds_target = True

    def __init__(self, options: Options, model: Model, interactions: Interactions, generator: torch.Generator):
        super().__init__(model, interactions)
        self.options = options
        self.most = max(1, int(options.share * model.window))

    def loss(self, batch: Targets) -> Tensor:
        """The loss of a batch; returns a scalar."""
        states, items, counted = (torch.cat(some) for some in zip(*map(self.masked, batch.parts), strict=True))
        table, bias = self.model.output()
        return softmax_over_items(states, table, items, bias, counted, self.options.logits)

    def masked(self, windows: Windows) -> tuple[Tensor, Tensor, Tensor]:
        """The states of B * M masked places [B * M, D], what stood there, and which of them count, both [B * M]."""
        positions, drawn = self.draw(windows)
        counted = drawn & self.model.counted(positions)
        states = self.model.masked(windows, positions)
        return states.flatten(0, 1), windows.items.gather(1, positions).flatten(), counted.flatten()

    def draw(self, windows: Windows) -> tuple[Tensor, Tensor]:
        """Positions to mask [B, M], and which of them were drawn, [B, M] bool; the others repeat the row's first."""
        there = real(windows)
        chance = torch.rand(there.shape, device=there.device)
        masked = (chance < self.options.share) & there
        column = torch.arange(there.shape[1], device=there.device)
        last = column == windows.lengths[:, None] - 1
        alone = torch.rand(len(there), 1, device=there.device) < self.options.last_only
        masked = torch.where(alone | ~masked.any(1, keepdim=True), last, masked)
        order = torch.where(masked, chance, chance + 1)  # those to mask come first, in random order
        positions = order.topk(min(self.most, there.shape[1]), dim=1, largest=False).indices
        drawn = masked.gather(1, positions)
        return torch.where(drawn, positions, positions[:, :1]), drawn
