"""Prompted: P5's training, in which the same history comes up in many questions that all are answered in words."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.data.reviews import Reviews
from reprise.data.unmet import Unmet
from reprise.errors import RepriseError
from reprise.methods.writing import ListOptions, Texts, Writer, padded
from reprise.models.generative.prompts import (
    BETWEEN,
    DIRECT,
    DISLIKE,
    LIKE,
    NO,
    RATING,
    SEQUENTIAL,
    STARS,
    YES,
    Prompt,
)
from reprise.models.generative.words import Histories, cut, joined
from reprise.models.p5 import Model
from reprise.settings import Field, OfLists

LIKED = 4  # stars, at least


class Options(ListOptions):
    """Settings of the objective, and of how lists are written."""

    families: Literal["sequential", "sequential+rating+direct"] = Field(
        description="of P5's five kinds of tasks; rating needs stars; explanation and review, which need texts of "
        "reviews, are not built"
    )
    leaked: Literal["kept", "removed"] = Field(
        "kept", description="rating: whether pairs that the sequences hold out stay among the reviews trained on"
    )
    asked_sequential: int = Field(20, ge=1, description="questions of the sequential family, a user and epoch")
    asked_rating: int = Field(1, ge=1, description="questions of the rating family, a review and epoch")
    asked_direct: int = Field(15, ge=1, description="questions of the direct family, a user and epoch")
    candidates: int = Field(100, ge=2, description="items on such a list, the right one among them")
    prompt: str = OfLists(description="the prompt that asks for lists: 2-3 is trained on, 2-13 is not")
    whole_words_at_test: bool = OfLists(description="which word a piece belongs to is told when lists are written, too")


class Method(Writer):
    """The mean, over answers, of the mean over an answer's pieces of -log softmax over all pieces.

    Every question is asked with any of its family's prompts. The sequential family asks about one of a user's last
    three training items, after a history that begins at one of the first three; wrong items are uniform over those that
    the user has not met.

    Two more families may be trained beside it. Rating asks about a review: its stars, yes or no to stars that are right
    half of the time, or whether it is liked (four stars or five). Its reviews are the training part of a random split
    of all, with most pairs that the sequences hold out, unless they are removed. Direct recommendation asks, without a
    history, for one of a user's training items among wrong ones, or for yes or no to an item. P5's other two families,
    explanation and review, are not built.
    """

    source = "Geng et al.: P5 (RecSys 2022), and its code"
    trainer = "texts"
    average = "texts"

    def __init__(self, options: Options, model: Model, interactions: Interactions, generator: torch.Generator):
        super().__init__(options, model, interactions)
        self.duplicates, self.ranks = options.duplicates, options.ranks
        if options.prompt not in model.prompts or model.prompts[options.prompt].asks != "next":
            known = ", ".join(name for name, one in model.prompts.items() if one.asks == "next")
            raise RepriseError("method.prompt", expected=f"one of {known}", found=options.prompt)
        self.bare = not options.whole_words_at_test
        families = options.families.split("+")
        self.names = [name for name, one in model.prompts.items() if one.family in families and not one.held_out]
        self.between = model.words.plain(BETWEEN)[0]
        self.answers = model.words.plain(NO, YES)
        self.history = interactions
        self.histories = Histories(model.words, interactions, self.between)
        self.rated = _rated(interactions, options.leaked == "removed") if RATING in families else None
        self.degrees = interactions.degrees.cpu().numpy()
        self.unmet = Unmet(interactions, torch.nonzero(interactions.degrees).squeeze(1))

    def samples(self, rng: np.random.Generator) -> np.ndarray:
        """(user, start, end, prompt): the item at `end` comes after those from `start` on; [4, S].

        Of the direct family `end` alone counts; of the rating family it is a place among the reviews.
        """
        if self.rated is None:
            return self._sequential(rng)
        return np.concatenate([self._sequential(rng), self._rating(rng), self._direct(rng)], 1)

    def _any(self, rng: np.random.Generator, family: str, count: int) -> np.ndarray:
        """Draw `count` of a family's prompts."""
        return rng.choice([place for place, name in enumerate(self.names)
                           if self.model.prompts[name].family == family], count)

    def _sequential(self, rng: np.random.Generator) -> np.ndarray:
        users = np.repeat(np.flatnonzero(self.degrees > 1), self.options.asked_sequential)
        last = self.degrees[users] - 1
        ends = rng.integers(np.maximum(np.minimum(2, last), last - 2), last + 1)
        starts = rng.integers(0, np.clip(ends - 2, 0, 2) + 1)
        return np.stack([users, starts, ends, self._any(rng, SEQUENTIAL, len(users))])

    def _rating(self, rng: np.random.Generator) -> np.ndarray:
        places = np.repeat(np.arange(self.rated.shape[1]), self.options.asked_rating)
        users = self.rated[0].cpu().numpy()[places]
        return np.stack([users, np.zeros_like(users), places, self._any(rng, RATING, len(places))])

    def _direct(self, rng: np.random.Generator) -> np.ndarray:
        users = np.repeat(np.flatnonzero(self.degrees), self.options.asked_direct)
        ends = rng.integers(0, self.degrees[users])
        return np.stack([users, np.zeros_like(users), ends, self._any(rng, DIRECT, len(users))])

    def sizes(self, samples: np.ndarray) -> np.ndarray:
        """About how many pieces each question has, [S]."""
        prompts = [self.model.prompts[name] for name in self.names]
        read = np.array(["{history}" in one.words for one in prompts])[samples[3]]
        users, starts, ends = torch.from_numpy(samples[:3] * read).to(self.history.items.device)
        words = self.model.words
        spoken = np.array([int(words.counts[words.plain(*one.plain)].sum()) for one in prompts])
        lists = np.array([one.asks == "candidates" for one in prompts])[samples[3]]
        per_item = 1 + int(words.counts[: self.history.n_items].max())
        listed = lists * self.options.candidates * per_item
        return self.histories.sizes(users, starts, ends).cpu().numpy() + listed + spoken[samples[3]]

    def texts(self, samples: Tensor) -> Texts:
        """The questions, those of one prompt together, and their answers.

        A list of candidates may leave no room for a history, and may itself be cut at its end, as in P5's code.
        """
        words, answers = [], []
        for number in samples[3].unique().tolist():
            users, starts, ends, _ = samples[:, samples[3] == number]
            rows, answer = self._asked(self.model.prompts[self.names[number]], users, starts, ends)
            words.append(rows)
            answers.append(answer)
        lines = cut(self.model.words.lines(padded(words)), self.model.max_tokens, self.model.special.eos)
        return Texts(lines, self.model.targets(torch.cat(answers)))

    def _asked(self, prompt: Prompt, users: Tensor, starts: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        """The questions of one prompt in words, and the words that answer them."""
        if prompt.family == RATING:
            return self._about(prompt, users, ends)
        target = self.history.items[self.history.offsets[users] + ends]
        count = self.options.candidates - 1 if prompt.asks == "candidates" else int(prompt.asks == "yes_no")
        chance = torch.rand(len(users), count, dtype=torch.float64, device=users.device)
        wrong = self.unmet.at(users[:, None].expand_as(chance), chance)
        slots, answer = {}, target
        if prompt.asks == "candidates":
            both = torch.cat([target[:, None], wrong], 1)
            order = torch.rand(both.shape, device=users.device).argsort(1)
            slots["{candidates}"] = joined(both.gather(1, order), self.between)
        elif prompt.asks == "yes_no":
            right = torch.rand(len(users), 1, device=users.device) < 0.5
            slots["{item}"] = torch.where(right, target[:, None], wrong)
            no, yes = self.answers
            answer = torch.where(right[:, 0], yes, no)
        return self._filled(prompt, self.histories, users, starts, ends, slots), answer

    def _about(self, prompt: Prompt, users: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """The questions about the reviews at `places` [B], and their answers."""
        words, device = self.model.words, users.device
        _, items, stars = self.rated[:, places]
        spelt = torch.tensor(words.plain(*STARS), device=device)
        slots = {"{item}": items[:, None]}
        if prompt.asks == "stars":
            answer = spelt[stars - 1]
        elif prompt.asks == "yes_no":
            right = torch.rand(len(users), device=device) < 0.5
            others = (stars - 1 + torch.randint(1, len(STARS), stars.shape, device=device)) % len(STARS)
            slots["{stars}"] = spelt[torch.where(right, stars - 1, others)][:, None]
            no, yes = self.answers
            answer = torch.where(right, yes, no)
        else:
            dislike, like = words.plain(DISLIKE, LIKE)
            answer = torch.where(stars >= LIKED, like, dislike)
        return self._filled(prompt, self.histories, users, places, places, slots), answer  # no history is read

    def _filled(self, prompt: Prompt, histories: Histories, users: Tensor, starts: Tensor, ends: Tensor,
                slots: dict[str, Tensor]) -> Tensor:
        """A prompt's words with its slots filled; of the history as much as fits beside the rest."""
        model, words = self.model, self.model.words
        end = words.special(model.special.eos)
        slots = slots | {"{user}": words.user(users)[:, None]}
        parts = [slots.get(word) if word in slots else None if word == "{history}" else
                 words.row(words.plain(word), len(users)) for word in prompt.words] + [words.row([end], len(users))]
        fixed = torch.cat([part for part in parts if part is not None], 1)
        if "{history}" not in prompt.words:
            return fixed
        starts = histories.starts(users, starts, ends, model.max_tokens - words.sizes(fixed).sum(1))
        history = histories.rows(users, starts, ends)
        return torch.cat([history if part is None else part for part in parts], 1)

    def ask(self, users: Tensor, history: Interactions) -> Tensor:
        """The prompt of lists, filled with all of the history."""
        histories = Histories(self.model.words, history, self.between)
        ends = history.degrees[users]
        return self._filled(self.model.prompts[self.options.prompt], histories, users, torch.zeros_like(ends), ends, {})


def _rated(interactions: Interactions, removed: bool) -> Tensor:
    """User, item and stars of the reviews that are trained on, [3, R]; raises RepriseError where the data have none."""
    reviews = Reviews.of(interactions)
    trained = reviews.trained(removed)
    columns = np.stack([reviews.user, reviews.item, reviews.stars])[:, trained]
    return torch.from_numpy(columns).to(interactions.items.device)
