"""Written item: a model that reads users and histories learns to write the next item, pretrained or not."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.methods.writing import Framed, ListOptions, PrefixWriter, Texts
from reprise.models.genrec import Model
from reprise.settings import Field


class Options(ListOptions):
    """Settings of the objective, and of how lists are written."""

    pretraining: bool = Field(True, description="start from the weights of the row that starts_from names")
    samples: Literal["all_prefixes", "last_only"] = Field(
        description="every item of a training history is a target once; or only the last of each"
    )
    count_pads: bool = Field(description="padding behind shorter answers counts in the loss, as in the official code")


class Method(PrefixWriter):
    """The mean, over the pieces of the next item's word and its end, of -log softmax over all pieces."""

    source = "Cao and Lio: GenRec (2024), sections 3.2 and 3.3, and its code"
    trainer = "texts"

    def __init__(self, options: Options, model: Model, interactions: Interactions, generator: torch.Generator):
        super().__init__(options, model, interactions, generator)
        self.duplicates, self.ranks = options.duplicates, options.ranks

    def texts(self, samples: Tensor) -> Texts:
        """The histories before the targets, and the targets' words."""
        users, ends = samples
        history = self.framed.history
        words = self.framed.rows(users, ends)
        return Texts(self.model.words.lines(words), self.model.targets(history.items[history.offsets[users] + ends]))

    def ask(self, users: Tensor, history: Interactions) -> Tensor:
        """The whole history of each of `users`, then the mask; a user without one asks as well."""
        return Framed(self.model, history).rows(users, history.degrees[users])
