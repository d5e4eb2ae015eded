"""Next item, accuracy and calibration decoupled: each has an encoder of its own, and their sum is ranked by."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reprise.losses import calibrated_over_items, softmax_over_items
from reprise.methods.calibrated_next_item import CalibratedNextItem, CalibrationOptions
from reprise.methods.next_item import Targets
from reprise.settings import Field


class Options(CalibrationOptions):
    """Settings of the three losses."""

    softened: float | None = Field(
        None, gt=0, description="tau_div: softmax(p / tau_div) takes the place of the profile p; none: p itself"
    )
    pd_in: Literal["lw", "both"] = Field("lw", description="where it does: in L_w alone, or in both calibration losses")
    detach_encoders: bool = Field(False, description="whether L_w trains the extractors alone")


class Method(CalibratedNextItem):
    """L_w of the joined scores + L_Acc of the accuracy encoder's + L_Calib of the calibration encoder's."""

    source = "Chen et al.: DACSR (arXiv 2204.10796), Eq. 9 to 12 and 19 to 21; p_d: Sec. 6.4"
    trainer = "sequences"

    def loss(self, batch: Targets) -> Tensor:
        """The loss of a batch; returns a scalar."""
        options, model = self.options, self.model
        accurate, calibrated = (self.summaries(batch, one) for one in (model.accuracy, model.calibration))
        (accurate_table, _), (calibrated_table, _) = model.accuracy.output(), model.calibration.output()
        profiles = self.profiles(batch)
        softened = profiles if options.softened is None else self.soften(profiles)
        parts = (accurate, calibrated), (accurate_table, calibrated_table)
        if options.detach_encoders:
            parts = tuple(tuple(one.detach() for one in pair) for pair in parts)
        of_all, items, temperature, cells = self.attributes, batch.items, options.temperature, options.logits
        joined = model.joined(*parts)
        wanted = softened if options.pd_in == "both" else profiles
        return (
            calibrated_over_items(*joined, items, of_all, softened, options.weight, temperature, cells)
            + softmax_over_items(accurate, accurate_table, items, cells=cells)
            + calibrated_over_items(calibrated, calibrated_table, items, of_all, wanted, 1.0, temperature, cells)
        )

    def soften(self, profiles: Tensor) -> Tensor:
        """p_d = softmax(p / tau_div) over all attributes, [T, G]; a row without a profile stays without."""
        return torch.softmax(profiles / self.options.softened, 1) * (profiles > 0).any(1, keepdim=True)
