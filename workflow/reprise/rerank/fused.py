"""DecRS's inference: two models' scores, of which the second counts more the more a user's interests have changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.errors import RepriseError
from reprise.evaluation.profiles import Profiles
from reprise.methods import Setting
from reprise.rerank import Finished, Ranker
from reprise.settings import Field, Settings


class Options(Settings):
    """Settings of the fusion."""

    alpha: Annotated[float, Field(ge=0)] | tuple[Annotated[float, Field(ge=0)], ...] = Field(
        description="exponent of the scaled change, one or several to choose from; 0: the second model alone"
    )
    curve: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (), description="values of alpha that nothing chooses, whose lists are measured beside"
    )
    fusion: Literal["sigmoid", "logit"] = Field(description="what is mixed: probabilities, or scores as they are")
    part: Literal["history", "train"] = Field(
        "history", description="where a change is looked for: in all before the held-out part, or the training part"
    )


class Reranker(Ranker):
    """Ranks by (1 - e) f(s_1) + e f(s_2), e = ((eta - min) / (max - min))^alpha, over all users with a history.

    eta = KL(d1 || d2) + KL(d2 || d1), the profiles of the first and the second half of a user's history (Eq. 10-12).
    """

    source = "Wang et al.: DecRS (KDD 2021), Eq. 10-13; smoothed, and of probabilities: WenjieWWJ/DecRS"
    rows = 2
    swept = "alpha"

    def __init__(self, options: Options, bases: Sequence[Finished], profiles: Profiles):
        super().__init__(options, bases, profiles)
        if not profiles.ordered:
            raise RepriseError("rerank: fused", expected="data whose split keeps an order of time", found="none")
        self._seen: tuple[Interactions, Tensor] | None = None

    def sweep(self) -> list[Setting]:
        """The values to choose from, and those of the curve."""
        chosen = {setting[self.swept] for setting in super().sweep()}
        return [{self.swept: value} for value in sorted(chosen | set(self.options.curve))]

    def shares(self, history: Interactions) -> Tensor:
        """(eta - min) / (max - min) of every user, [n_users]; all 0 where everybody has changed alike."""
        if self._seen is None or self._seen[0] is not history:
            part = self.profiles.train if self.options.part == "train" else history
            changes = self.profiles.changes(part)
            low, high = changes[part.degrees > 0].aminmax()
            self._seen = history, ((changes - low) / (high - low).clamp(min=1e-12)).clamp(min=0)
        return self._seen[1]

    def scores(self, users: Tensor, history: Interactions) -> Tensor:
        """f(s) of both models, [2, B, n_items] float64: in float32 large scores would all be 1.

        How much these users have changed is remembered for `adjust`.
        """
        self._changed = self.shares(history)[users, None]
        both = torch.stack([base.scores(users, history).double() for base in self.bases])
        return both.sigmoid() if self.options.fusion == "sigmoid" else both

    def adjust(self, scores: Tensor, setting: Setting) -> Tensor:
        """The mix, [B, n_items]."""
        return torch.lerp(*scores, self._changed ** self.value(setting))
