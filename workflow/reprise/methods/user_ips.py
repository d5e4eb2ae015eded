"""IPS over users: what active users did counts less."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.methods import pointwise
from reprise.methods.pointwise import PointwiseOptions, Rows
from reprise.models.factorisation import FactorisationMachine
from reprise.settings import Field


class Options(PointwiseOptions):
    """Settings of IPS over users."""

    clip: float = Field(gt=0, description="the most that a weight can be")
    norm: Literal["mean", "max", "none"] = Field(
        description="what the propensity P(d_u), a user's share of all rows, is divided by: its mean, its maximum, "
        "or nothing; as it is it lies near 1 / users, so that every weight is the clip"
    )
    weighed: Literal["both", "positive"] = Field(description="a user's sampled items too, or training rows alone")


class Method(pointwise.Method):
    """Pointwise training with weights min(1 / rho_u, clip), rho_u the propensity P(d_u) = |H_u| / sum_v |H_v|."""

    source = "Wang et al.: DecRS (KDD 2021), section 4.1 (its baseline IPS), after Saito et al. (WSDM 2020)"
    trainer = "rows"

    def __init__(
        self, options: Options, model: FactorisationMachine, interactions: Interactions, generator: torch.Generator
    ):
        super().__init__(options, model, interactions, generator)
        degrees = interactions.degrees.double()
        # Of users with rows: the others have no propensity, and are never drawn.
        whole = {"mean": degrees.sum() / (degrees > 0).sum(), "max": degrees.max(), "none": degrees.sum()}[options.norm]
        weights = (whole / degrees).clamp(max=options.clip).float()
        self.register_buffer("weights", weights, persistent=False)  # follows from the training data

    def weigh(self, batch: Rows) -> Tensor:
        """The users' weights, [B]."""
        weights = self.weights[batch.users]
        return weights if self.options.weighed == "both" else torch.where(batch.labels > 0, weights, 1.0)
