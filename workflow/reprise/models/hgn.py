"""HGN: gates on the features and on the items of a window."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.data.windows import Windows
from reprise.models import take
from reprise.models.sequential import SequenceModel, embedding, real
from reprise.settings import Field, Settings


class Options(Settings):
    """Settings of HGN."""

    dim: int = Field(ge=1, description="D, length of a row")
    window: int = Field(ge=1, description="L, items of a history that are read")
    aggregate: Literal["average", "max"] = Field(description="mean by instance gates, or the item of the largest gate")
    padding_counts: bool = Field(description="sum over the columns behind a window's end, too, as RecBole does")


class Model(SequenceModel):
    """h = u + sum_t s_t e'_t / sum_t s_t + sum_t e_t, with an output table of its own.

    e_t is an item row, u the user's, e'_t = e_t * sigmoid(W_1 e_t + W_2 u + b) the feature gate and
    s_t = sigmoid(<w_3, e'_t> + (W_4 u)_t) the instance gate. Aggregate `max`: s_t e'_t of the largest s_t instead.
    Where padding counts, its row is a random one that never learns, as RecBole's is.
    """

    source = "Ma, Kang and Liu: HGN (KDD 2019), as RecBole has it, without its three biases being one and the same"

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(interactions, options.window)
        dim, device = options.dim, interactions.items.device
        self.aggregate, self.padding_counts = options.aggregate, options.padding_counts
        self.user = embedding(self.n_users, dim, 1 / dim, generator, device)
        self.item = embedding(self.n_items + 1, dim, 1 / dim, generator, device)
        self.item_out = embedding(self.n_items, dim, 1 / dim, generator, device)
        self.item_feature, self.user_feature = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim)
        self.item_instance, self.user_instance = nn.Linear(dim, 1, bias=False), nn.Linear(dim, self.window, bias=False)
        for layer in (self.item_feature, self.user_feature, self.item_instance, self.user_instance):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
        nn.init.zeros_(self.user_feature.bias)
        self.to(device)

    def last(self, windows: Windows) -> Tensor:
        """[B, D]."""
        items, counted = windows.items, real(windows)
        if self.padding_counts:
            items = nn.functional.pad(items, (0, self.window - items.shape[1]), value=self.padding)
            counted = torch.ones_like(items, dtype=torch.bool)
        counted = counted[:, :, None]
        rows = nn.functional.embedding(items, self.item, padding_idx=self.padding) * counted
        user = take(self.user, windows.users)
        gated = rows * (self.item_feature(rows) + self.user_feature(user)[:, None]).sigmoid()
        position = self.user_instance(user)[:, : items.shape[1], None]
        instance = (self.item_instance(gated) + position).sigmoid() * counted  # [B, L, 1], above 0 where it counts
        if self.aggregate == "average":
            aggregate = (instance * gated).sum(1) / instance.sum(1).clamp(min=torch.finfo(instance.dtype).tiny)
        else:
            row = torch.arange(len(items), device=items.device)
            aggregate = (instance * gated)[row, instance.squeeze(2).argmax(1)]
        return user + aggregate + rows.sum(1)

    def output(self) -> tuple[Tensor, Tensor | None]:
        """A table that only scores."""
        return self.item_out, None
