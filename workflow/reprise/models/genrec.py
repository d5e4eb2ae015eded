"""GenRec: BART reads a user and a history as words and writes the next item's."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.models import take
from reprise.models.generative import GenerativeModel
from reprise.models.generative.nets import bart
from reprise.models.generative.words import Lines
from reprise.models.sequential import embedding
from reprise.settings import Field, Settings

DEVIATION = 0.02  # of the tables of ids


class Options(Settings):
    """Settings of GenRec."""

    size: Literal["tiny", "base"] = Field(description="of BART; with released weights their config.json says it")
    weights: str = Field(description="random, or a source of sources.yaml that holds released ones")
    ids: Literal["appearance", "shuffled", "train_appearance"] = Field(description="how the items are numbered")
    max_tokens: int = Field(le=1024, description="longest text read; the oldest items go first")
    id_tables: Literal["shared", "separate"] = Field(
        description="user n and item n share a row, as in the code; or each kind has a table of its own"
    )
    scale: Literal["root", "one"] = Field(description="of the rows of ids: 1 / sqrt(D), as in the code; or 1")


class Model(GenerativeModel):
    """Reads LN(token + position + (U[user] + V[item]) scale); row 0 stands wherever neither applies.

    Items are written `item_12`, users `user_12`.
    """

    source = "Cao and Lio: GenRec (2024), section 3, and its code"

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        def spell(numbers: Tensor) -> list[str]:
            return [f"item_{number}" for number in numbers.tolist()]

        super().__init__(interactions, options, spell, (), bart, "bart", generator)
        device, shared = interactions.items.device, options.id_tables == "shared"
        users, items = interactions.n_users + 1, interactions.n_items + 1
        self.user = embedding(max(users, items) if shared else users, self.dim, DEVIATION, generator, device)
        if not shared:
            self.item = embedding(items, self.dim, DEVIATION, generator, device)
        self.shared, self.scale = shared, self.dim**-0.5 if options.scale == "root" else 1.0

    def beside(self, lines: Lines) -> Tensor:
        """(U[user] + V[item]) scale, [B, T, D]."""
        of_items = self.user if self.shared else self.item
        return (take(self.user, lines.users) + take(of_items, lines.items)) * self.scale
