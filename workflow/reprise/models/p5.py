"""P5: T5 reads a prompt about a user's history and writes the next item's number."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reprise.data import reviews
from reprise.data.interactions import Interactions
from reprise.models import take
from reprise.models.generative import GenerativeModel
from reprise.models.generative.nets import row_std, t5
from reprise.models.generative.prompts import ANSWERS, BETWEEN, RATED, SEQUENTIAL, load_prompts
from reprise.models.generative.words import Lines
from reprise.models.sequential import embedding
from reprise.settings import Field, Settings

WORDS = 512  # of a text that are told apart


class Options(Settings):
    """Settings of P5."""

    size: Literal["tiny", "small", "base"] = Field(description="of T5; with released weights their config.json says it")
    weights: str = Field(description="random, or a source of sources.yaml that holds released ones")
    ids: Literal["appearance", "shuffled", "train_appearance"] = Field(description="how the items are numbered")
    max_tokens: int = Field(le=512, description="longest text read; the oldest items go first")


class Model(GenerativeModel):
    """Reads token + W[which word of the text]. Items are written as bare numbers, users `user_12`.

    Its words are those in which the data can be asked about, whatever is: without reviews, the sequential family's.
    """

    source = "Geng et al.: P5 (RecSys 2022), section 3, and its code"

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        reviewed = reviews.known(interactions)
        self.prompts = {name: one for name, one in load_prompts().items() if reviewed or one.family == SEQUENTIAL}
        plain = [word for prompt in self.prompts.values() for word in prompt.plain]

        def spell(numbers: Tensor) -> list[str]:
            return [str(number) for number in numbers.tolist()]

        plain = list(dict.fromkeys([*plain, BETWEEN, *ANSWERS, *(RATED if reviewed else ())]))
        super().__init__(interactions, options, spell, plain, t5, "t5", generator)
        self.word = embedding(WORDS, self.dim, row_std(options.size), generator, interactions.items.device)

    def beside(self, lines: Lines) -> Tensor:
        """W[word], [B, T, D]; the end of a text and padding are word 0."""
        ends = lines.tokens == self.special.eos
        return take(self.word, torch.where(ends, 0, lines.words.clamp(max=WORDS - 1)))
