"""What items, histories and lists are about, as a paper's `profile` says."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.data.prepared import Prepared
from reprise.data.profiles import attribute_shares, change, history_share
from reprise.errors import RepriseError
from reprise.training.options import Profile

USERS = 1024  # whose histories are looked up at a time; bounds memory and changes no digit


class Profiles:
    """The profiles of one data set.

    Attributes
    ----------
    shares : Tensor [n_items, G] float64
        p(g | x) of every item.
    smoothing : float
        Share of p that is mixed into q before the two are compared.
    base : float
        Of the logarithm in a divergence.
    ordered : bool
        Whether histories stand in order of time.

    Raises
    ------
    RepriseError
        The data know no such feature; a window of histories that stand in no order.
    """

    def __init__(self, data: Prepared, profile: Profile, device: torch.device | str):
        if profile.feature not in data.features:
            raise RepriseError("training.profile.feature", expected="one of " + (", ".join(data.features) or "none"),
                               found=profile.feature, fix="name a feature of the items, or a source that has it")
        if profile.window is not None and not data.ordered:
            raise RepriseError("training.profile.window", expected="null: this split keeps no order of time",
                               found=str(profile.window))
        self.train = data.interactions("train", device)
        self.shares = attribute_shares(self.train.features[profile.feature], torch.float64)
        self.smoothing, self.base = profile.smoothing, math.e if profile.log_base == "e" else profile.log_base
        self.ordered, self._profile = data.ordered, profile

    def of(self, users: Tensor, history: Interactions) -> Tensor:
        """p(g | s) of `users` [B] by their `history`, what each did before the moment of ranking; [B, G] float64."""
        part = self.train if self._profile.part == "train" else history
        return history_share(part, users, self.shares, self._profile.window)

    def changes(self, history: Interactions) -> Tensor:
        """How far the two halves of every user's `history` are apart, [n_users]; see `data.profiles.change`."""
        users = torch.arange(history.n_users, device=history.items.device)
        parts = [change(history, some, self.shares, self.smoothing, self.base) for some in users.split(USERS)]
        return torch.cat(parts)
