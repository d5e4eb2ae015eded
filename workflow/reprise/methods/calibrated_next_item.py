"""Next item, calibrated: what the scores are about should be what the history is about."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.data.profiles import attribute_shares, running_shares, share_sums
from reprise.losses import Attributes, calibrated_over_items
from reprise.methods.next_item import NextItem, NextItemOptions, Targets
from reprise.models.sequential import SequenceModel, feature, real
from reprise.settings import Field


class CalibrationOptions(NextItemOptions):
    """Settings that both calibrated objectives share."""

    weight: float = Field(
        ge=0, le=1, description="lambda: share of the calibration loss in L_w; the rest is cross-entropy"
    )
    temperature: float = Field(gt=0, description="tau, by which scores are divided before the softmax of calibration")
    history: Literal["window", "full"] = Field(
        "window", description="what the profile p is of: the items that the model sees, or all that came before"
    )


class Options(CalibrationOptions):
    """Settings of the objective."""


class CalibratedNextItem(NextItem):
    """What calibrated objectives share: the profile of each target's prefix, in the window or whole.

    An item without attributes adds nothing to a profile. A prefix of such items alone has none, and its target adds 0
    to the calibration loss.
    """

    def __init__(
        self, options: CalibrationOptions, model: SequenceModel, interactions: Interactions, generator: torch.Generator
    ):
        super().__init__(options, model, interactions, generator)
        self.shares = attribute_shares(feature(interactions, "attributes"))  # [n_items, G]
        self.attributes = Attributes.of(self.shares)

    def profiles(self, batch: Targets) -> Tensor:
        """p(g | s) of each target's prefix, [T, G]."""
        windows, earlier = batch.windows, None
        if self.options.history == "full":
            earlier = share_sums(self.parts[0], windows.users, batch.ends - windows.lengths, self.shares)
        return running_shares(windows.items, real(windows), self.shares, earlier).flatten(0, 1)[batch.places]


class Method(CalibratedNextItem):
    """L_w = (1 - w) L_Acc + w L_Calib of one model; with w = 1 L_Calib alone."""

    source = "Chen et al.: DACSR (arXiv 2204.10796), Eq. 9 to 12"
    trainer = "sequences"

    def loss(self, batch: Targets) -> Tensor:
        """The loss of a batch; returns a scalar."""
        options, states, (table, _) = self.options, self.summaries(batch), self.model.output()
        wanted = self.attributes, self.profiles(batch)
        loss = calibrated_over_items(
            states, table, batch.items, *wanted, options.weight, options.temperature, options.logits)
        return loss + self.model.penalty()
