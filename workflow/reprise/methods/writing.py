"""What methods share that teach a model to write: questions with the words that answer them, and lists from beams."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.methods import Setting, Wrapper
from reprise.models.generative import GenerativeModel
from reprise.models.generative.words import HOLE, Histories, Lines
from reprise.processes import dealt, gathered
from reprise.settings import OfLists, Settings

# Pieces read, times beams, that are held at a time: what keys and values of a decoder take; changes only rounding.
ROOM = {"cpu": 1 << 16, "cuda": 1 << 19}


class ListOptions(Settings):
    """How lists are written, whatever was learned."""

    beams: int = OfLists(ge=1, description="texts that are followed at a time")
    kept: int = OfLists(ge=1, description="of these, the best that make a list")
    longest: int = OfLists(50, ge=2, description="pieces that an answer has at most")
    constrained: bool = OfLists(description="only items can be written; or anything")
    early_stopping: bool = OfLists(description="done with as many finished texts as beams, though a better may come")
    duplicates: Literal["kept", "first", "last"] = OfLists(
        description="an item written twice takes both ranks, or the first or the last one"
    )
    ranks: Literal["kept", "closed"] = OfLists(
        description="what is taken out of a list leaves its rank empty, or lower ranks move up"
    )
    generate_in: Literal["full", "mixed"] = OfLists("full", description="precision while lists are written")


class Texts(NamedTuple):
    """B questions and, in pieces, the answer to each: `targets` [B, L] with padding behind."""

    questions: Lines
    targets: Tensor


class Writer(Wrapper):
    """A method whose samples are questions about a part of a user's history.

    Attributes
    ----------
    average : {"pieces", "texts"}
        Whether every piece of an answer weighs the same, or every answer.
    count_pads : bool
        Whether padding behind an answer counts as pieces to be written.
    bare : bool
        Whether a question loses, when a list is asked for, what is added to its pieces.
    """

    trainer = "texts"
    average, count_pads, bare = "pieces", False, False

    def __init__(self, options: Any, model: GenerativeModel, interactions: Interactions):
        super().__init__(model, interactions)
        self.options = options

    def samples(self, rng: np.random.Generator) -> np.ndarray:
        """What an epoch trains on, int64 [C, S]: columns that `texts` understands; `rng` draws what differs by epoch.

        Every epoch has the same number S.
        """
        raise RuntimeError(f"{type(self).__module__} defines no samples")

    def sizes(self, samples: np.ndarray) -> np.ndarray:
        """About how many pieces each of `samples` [C, S] has, [S]; what batches are sorted by."""
        raise RuntimeError(f"{type(self).__module__} defines no sizes")

    def texts(self, samples: Tensor) -> Texts:
        """Write out `samples` [C, B]; what is random in them is drawn from the global generator."""
        raise RuntimeError(f"{type(self).__module__} defines no texts")

    def ask(self, users: Tensor, history: Interactions) -> Tensor:
        """The question, in words [B, W], what `users` will do after all of their `history`."""
        raise RuntimeError(f"{type(self).__module__} defines no ask")

    def loss(self, batch: Texts, some: slice = slice(None)) -> Tensor:
        """Cross-entropy of the pieces of the answers, a scalar; or what `some` of the texts add to that of all."""
        model, targets = self.model, batch.targets
        if self.count_pads:  # a pad behind the longest answer, too
            targets = nn.functional.pad(targets, (0, 1), value=model.special.pad)
        weights = (targets != model.special.pad).float()
        if self.count_pads:
            weights = torch.ones_like(weights)
        elif self.average == "texts":
            weights = weights / weights.sum(1, keepdim=True)
        questions, answers = Lines(*(part[some] for part in batch.questions)), targets[some]
        logits = model.logits(model.encode(questions), questions.real, answers, self.count_pads)
        each = nn.functional.cross_entropy(logits.float().transpose(1, 2), answers, reduction="none")
        return (each * weights[some]).sum() / weights.sum()

    def generate(
        self, users: Tensor, history: Interactions, settings: list[Setting], k: int
    ) -> list[tuple[Tensor, Tensor]]:
        """Write lists for `users` [B], the same for every one of `settings`: items and scores, [B, N] each, best first.

        An item is -1 where nothing was written that is a number, and -2 where no item has that number. Where there are
        several processes each writes for some of the users, and all have the lists.
        """
        options, model = self.options, self.model
        asked = self.ask(users, history)
        sizes = model.words.sizes(asked).sum(1)
        order = sizes.argsort(descending=True, stable=True)
        mine = dealt(order)
        longest, parts, start = sizes[mine].tolist(), [], 0
        while start < len(mine):
            together = max(1, ROOM[users.device.type] // (options.beams * longest[start]))
            words = asked[mine[start : start + together]]
            start += together
            with torch.autocast(users.device.type, torch.bfloat16, enabled=options.generate_in == "mixed"):
                parts.append(model.write(model.words.lines(words), options.beams, options.longest,
                                         options.constrained, self.bare, options.early_stopping))
        back = order.argsort()
        whole = (gathered(torch.cat(one), len(order)) for one in zip(*parts, strict=True))
        items, scores = (one[back][:, : options.kept] for one in whole)
        return [(items, scores)] * len(settings)


def prefixes(interactions: Interactions, last_only: bool) -> np.ndarray:
    """Every (user, end) such that item `end` of the user comes after `end` others, [2, S]; or each user's last one."""
    degrees = interactions.degrees.cpu().numpy()
    users, counts = np.flatnonzero(degrees > 1), degrees[degrees > 1] - 1
    if last_only:
        return np.stack([users, counts])
    before = np.repeat(np.cumsum(counts) - counts, counts)
    return np.stack([np.repeat(users, counts), np.arange(1, counts.sum() + 1) - before])


class Framed:
    """GenRec's question: `<s> user item ... item <mask> </s>`, the last items that fit."""

    def __init__(self, model: GenerativeModel, history: Interactions):
        special, words = model.special, model.words
        self.model, self.history = model, history
        self.histories = Histories(words, history)
        self.first = [words.special(special.bos)]
        self.mask, self.end = words.special(special.mask), words.special(special.eos)

    def starts(self, users: Tensor, ends: Tensor) -> Tensor:
        """From which item on the first `ends` items of `users` fit beside the rest, [B]."""
        words = self.model.words
        room = self.model.max_tokens - 3 - words.counts[words.user(users)]
        return self.histories.starts(users, torch.zeros_like(ends), ends, room)

    def sizes(self, users: Tensor, ends: Tensor) -> Tensor:
        """Pieces of the questions, [B]."""
        words = self.model.words
        return self.histories.sizes(users, self.starts(users, ends), ends) + 3 + words.counts[words.user(users)]

    def rows(self, users: Tensor, ends: Tensor, mask: bool = True) -> Tensor:
        """The questions in words, [B, W]: column 0 is `<s>`, 1 the user, then items; `mask` says whether it ends so."""
        words, count = self.model.words, len(users)
        items = self.histories.rows(users, self.starts(users, ends), ends)
        last = [self.mask, self.end] if mask else [self.end]
        return torch.cat([words.row(self.first, count), words.user(users)[:, None], items,
                          words.row(last, count)], 1)


class PrefixWriter(Writer):
    """A method whose samples are (user, end), the first `end` items of a user, read as `Framed` lays them out."""

    def __init__(self, options: Any, model: GenerativeModel, interactions: Interactions, generator: torch.Generator):
        super().__init__(options, model, interactions)
        self.count_pads = options.count_pads
        self.framed = Framed(model, interactions)
        self.every = prefixes(interactions, options.samples == "last_only")

    def samples(self, rng: np.random.Generator) -> np.ndarray:
        """(user, end), the same in every epoch; [2, S]."""
        return self.every

    def sizes(self, samples: np.ndarray) -> np.ndarray:
        """Pieces of each question, [S]."""
        users, ends = torch.from_numpy(samples).to(self.framed.history.items.device)
        return self.framed.sizes(users, ends).cpu().numpy()


def padded(rows: list[Tensor]) -> Tensor:
    """Words [B_i, W_i] of several kinds one after the other, with holes behind."""
    width = max(row.shape[1] for row in rows)
    return torch.cat([nn.functional.pad(row, (0, width - row.shape[1]), value=HOLE) for row in rows])
