"""Masked word: GenRec's pretraining, in which one word of a history becomes a mask and has to be written."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.methods import Setting
from reprise.methods.writing import PrefixWriter, Texts
from reprise.settings import Field, Settings

LAST = 0.3  # chance that the last item is masked, where the code draws
FIRST_ITEM = 2  # the column of the first item, behind the text's begin and the user


class Options(Settings):
    """Settings of the objective."""

    samples: Literal["all_prefixes", "last_only"] = Field(
        description="the histories of fine-tuning: before every target, or before the last of each user"
    )
    count_pads: bool = Field(description="padding behind shorter answers counts in the loss, as in the official code")
    pretrain_mask: Literal["as_code", "item_only"] = Field(
        description="with a chance of 0.3 the last item, else any word, the user's too; or any item"
    )


class Method(PrefixWriter):
    """The mean, over the pieces of the masked word and its end, of -log softmax over all pieces.

    A fresh word is drawn every time that a history comes up. The mask is no word of a user or an item, and is one piece
    whatever the word had. There is no list: nothing asks what comes next.
    """

    source = "Cao and Lio: GenRec (2024), section 3.2, and its code"
    trainer = "texts"
    duplicates, ranks = "kept", "kept"

    def texts(self, samples: Tensor) -> Texts:
        """The histories with a word masked, and that word."""
        users, ends = samples
        words = self.framed.rows(users, ends, mask=False)
        last = FIRST_ITEM - 1 + ends - self.framed.starts(users, ends)  # column of the last item
        first = FIRST_ITEM - (self.options.pretrain_mask == "as_code")
        chance = torch.rand(2, len(users), device=users.device)
        place = first + (chance[0] * (last - first + 1)).long()
        place = torch.minimum(place, last)
        if self.options.pretrain_mask == "as_code":
            place = torch.where(chance[1] < LAST, last, place)
        hidden = words.gather(1, place[:, None])[:, 0]
        words = words.scatter(1, place[:, None], self.framed.mask)
        return Texts(self.model.words.lines(words), self.model.targets(hidden))

    def generate(
        self, users: Tensor, history: Interactions, settings: list[Setting], k: int
    ) -> list[tuple[Tensor, Tensor]]:
        """Empty lists."""
        items = torch.full((len(users), k), -1, device=users.device)
        return [(items, torch.full(items.shape, -torch.inf, device=users.device))] * len(settings)
