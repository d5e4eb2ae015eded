"""S3-Rec's pretraining: what belongs together in a sequence - items, their attributes, its segments."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.data.unmet import Unmet
from reprise.data.windows import Windows
from reprise.methods.next_item import OfSequences, Targets
from reprise.models.s3rec import Model
from reprise.models.sequential import real
from reprise.settings import Field, Settings


class Options(Settings):
    """Settings of the four objectives."""

    samples: Literal["per_prefix"] = Field(description="a window for every prefix of a history")
    share: float = Field(gt=0, lt=1, description="chance of an item to be masked; the last of a window always is")
    aap: float = Field(ge=0, description="weight of the attributes of items that are not masked")
    mip: float = Field(ge=0, description="weight of the masked items")
    map: float = Field(ge=0, description="weight of the attributes of masked items")
    sp: float = Field(ge=0, description="weight of the masked segment")


class Method(OfSequences):
    """The weighted sum of four losses, each a sum over a batch, not a mean.

    - `aap`, `map`: binary cross-entropy of every attribute, over positions that are not masked, and that are;
    - `mip`: -log s(score of the masked item - score of an item that the user never met), s the sigmoid;
    - `sp`: the same for a segment of 1 to half of the window's items, against as many items that follow one another
      somewhere in the histories of all users. A window of one item has none.

    Scores are sigmoids already, as in the official code. Windows hold their target, so one of one item is left out;
    other users' segments come from what is trained on, where the official code takes them from held-out items, too.
    """

    source = "Zhou et al.: S3-Rec (CIKM 2020), Eq. 5 to 8, as its code has them"
    trainer = "sequences"
    holds_target = True
    latest_only = True  # the code takes the prefixes of the last window, all of which start with it

    def __init__(self, options: Options, model: Model, interactions: Interactions, generator: torch.Generator):
        super().__init__(model, interactions)
        self.options = options
        self.unmet = Unmet(interactions, torch.nonzero(interactions.degrees).squeeze(1))

    def loss(self, batch: Targets) -> Tensor:
        """The loss of a batch, a sum over its windows; returns a scalar."""
        return torch.stack([self._loss(part) for part in batch.parts]).sum()

    def _loss(self, windows: Windows) -> Tensor:
        model, weigh = self.model, self.options
        there, last = real(windows), windows.lengths[:, None] - 1
        column = torch.arange(there.shape[1], device=there.device)
        masked = there & ((torch.rand(there.shape, device=there.device) < weigh.share) | (column == last))
        states = model.both_ways(self._masked(windows, masked))

        has = model.attributes(windows.items).float()
        attributes = sum(
            weight * self._attribute_loss(states, has, where, which)
            for weight, where, which in ((weigh.aap, there & ~masked, False), (weigh.map, masked, True))
        )
        chance = torch.rand(windows.items.shape, device=there.device, dtype=torch.float64)
        negatives = self.unmet.at(windows.users[:, None].expand_as(chance), chance)
        gain = model.item_scores(states, windows.items) - model.item_scores(states, negatives)
        items = (nn.functional.softplus(-gain) * masked).sum()
        return attributes + weigh.mip * items + weigh.sp * self._segment_loss(windows)

    def _attribute_loss(self, states: Tensor, has: Tensor, where: Tensor, masked: bool) -> Tensor:
        logits = self.model.attribute_logits(states, masked).float()
        return (nn.functional.binary_cross_entropy_with_logits(logits, has, reduction="none").sum(2) * where).sum()

    def _segment_loss(self, windows: Windows) -> Tensor:
        inside = self.segment(windows)
        # Items that follow one another anywhere: the flat array of all histories, read from a random place on.
        flat, width = self.parts[0].items, windows.items.shape[1]
        starts = (torch.rand(len(inside), device=flat.device, dtype=torch.float64) * (len(flat) - width + 1)).long()
        other = flat[(starts.clamp(min=0)[:, None] + torch.arange(width, device=flat.device)).clamp(max=len(flat) - 1)]
        context = self._masked(windows, inside)
        right = self._masked(windows, ~inside & real(windows))
        wrong = self._masked(windows._replace(items=torch.where(inside, other, windows.items)), ~inside & real(windows))
        gain = self.model.segment_scores(context, right) - self.model.segment_scores(context, wrong)
        return (nn.functional.softplus(-gain) * inside.any(1)).sum()

    def segment(self, windows: Windows) -> Tensor:
        """A random segment of each window, [B, L] bool: its length even over 1..half, its start over what is left."""
        chance = torch.rand(2, len(windows.lengths), device=windows.lengths.device)
        half = windows.lengths // 2
        length = (chance[0] * half).long() + (half > 0)
        start = (chance[1] * (windows.lengths - length + 1)).long()
        column = torch.arange(windows.items.shape[1], device=length.device)
        return (column >= start[:, None]) & (column < (start + length)[:, None])

    def _masked(self, windows: Windows, where: Tensor) -> Windows:
        return windows._replace(items=torch.where(where, self.model.mask, windows.items))
