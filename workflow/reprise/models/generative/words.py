"""Texts as rows of words, cut and laid on the device: every word is taken to pieces once, and a batch is look-ups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.errors import RepriseError
from reprise.models.generative.pieces import Pieces

HOLE = -1  # where a row of words holds none


class Lines(NamedTuple):
    """B texts in pieces, each from column 0 on, padded to the longest.

    Attributes
    ----------
    tokens : Tensor [B, T] int64
    lengths : Tensor [B] int64
    users, items : Tensor [B, T] int64
        Number of the user, or of the item, whose word a piece belongs to; 0 of every other piece.
    words : Tensor [B, T] int64
        Which word of the text a piece belongs to, counted from 1; 0 behind the end.
    """

    tokens: Tensor
    lengths: Tensor
    users: Tensor
    items: Tensor
    words: Tensor

    @property
    def real(self) -> Tensor:
        """Which columns hold a piece, [B, T] bool."""
        return self.words > 0


def cut(lines: Lines, room: int, end: int) -> Lines:
    """The first `room` pieces of every text, the last of them `end` where there were more."""
    if lines.tokens.shape[1] <= room:
        return lines
    tokens, lengths, *rest = (part[:, :room] if part.dim() == 2 else part for part in lines)
    last = torch.arange(room, device=tokens.device) == room - 1
    return Lines(torch.where((lengths > room)[:, None] & last, end, tokens), lengths.clamp(max=room), *rest)


class Words:
    """All words that texts are made of, by id: first the items, then the users, then plain words, then special pieces.

    Attributes
    ----------
    counts : Tensor [N] int64
        Pieces of every word.
    n_items, n_users : int
        Word i is item i, word n_items + u user u.
    numbers : Tensor [n_items] int64
        The number under which each item is written.
    """

    def __init__(self, pieces: Pieces, items: Sequence[str], users: Sequence[str], plain: Sequence[str],
                 numbers: Tensor):
        self.n_items, self.n_users, self.numbers, self.pad = len(items), len(users), numbers, pieces.special.pad
        special = [number for number in (pieces.special.bos, pieces.special.eos, pieces.special.mask)
                   if number is not None]
        every = pieces.of([*items, *users, *plain]) + [[number] for number in special]
        device, first_plain = numbers.device, len(items) + len(users)
        self._plain = {word: first_plain + place for place, word in enumerate(plain)}
        self._special = {number: first_plain + len(plain) + place for place, number in enumerate(special)}
        self.counts = torch.tensor([len(one) for one in every], device=device)
        width = max(map(len, every))
        self.pieces = torch.tensor([one + [self.pad] * (width - len(one)) for one in every], device=device)
        rest = torch.zeros(len(every) - first_plain, dtype=torch.int64, device=device)
        of_users = torch.arange(1, self.n_users + 1, device=device)
        self._item = torch.cat([numbers, torch.zeros_like(of_users), rest])
        self._user = torch.cat([torch.zeros_like(numbers), of_users, rest])

    def plain(self, *words: str) -> list[int]:
        """Ids of plain words."""
        return [self._plain[word] for word in words]

    def special(self, number: int | None) -> int:
        """Id of the word that is the special piece `number` alone; raises RepriseError where there is none."""
        if number is None:
            raise RepriseError("the tokenizer", expected="<s>, </s> and <mask>, as BART's has", found="not all of them",
                               kind="weights", fix="put the tokenizer there that was released with the weights")
        return self._special[number]

    def user(self, users: Tensor) -> Tensor:
        """Ids of the words of `users`."""
        return users + self.n_items

    def row(self, ids: Sequence[int], batch: int) -> Tensor:
        """The same words in every text, [batch, len(ids)]."""
        return torch.tensor(ids, dtype=torch.int64, device=self.counts.device).expand(batch, -1)

    def sizes(self, words: Tensor) -> Tensor:
        """Pieces of each of `words` [B, W], none of a `HOLE`; [B, W]."""
        return torch.where(words >= 0, self.counts[words.clamp(min=0)], 0)

    def lines(self, words: Tensor) -> Lines:
        """Lay out texts of `words` [B, W], among them `HOLE`s, which stand for nothing."""
        known, counts = words.clamp(min=0), self.sizes(words)
        ends = counts.cumsum(1)
        lengths = ends[:, -1]
        column = torch.arange(max(1, int(lengths.max())), device=words.device).expand(len(words), -1).contiguous()
        place = torch.searchsorted(ends, column, right=True).clamp(max=words.shape[1] - 1)
        there = column < lengths[:, None]
        word, offset = known.gather(1, place), column - (ends - counts).gather(1, place)
        tokens = self.pieces[word, offset.clamp(min=0, max=self.pieces.shape[1] - 1)]
        index = (words >= 0).long().cumsum(1).gather(1, place)
        return Lines(torch.where(there, tokens, self.pad), lengths, *(
            torch.where(there, one, 0) for one in (self._user[word], self._item[word], index)))


class Histories:
    """Histories of all users as words: how long any stretch of them is in pieces is a difference of two sums.

    `between` is the id of a word that stands between two items, such as a comma; None where nothing does.
    """

    def __init__(self, words: Words, history: Interactions, between: int | None = None):
        self.words, self.history, self.between = words, history, between
        extra = 0 if between is None else int(words.counts[between])
        cost = words.counts[history.items] + extra
        self.sums = torch.nn.functional.pad(cost.cumsum(0), (1, 0))  # pieces before every event
        self.extra = extra

    def starts(self, users: Tensor, starts: Tensor, ends: Tensor, room: Tensor) -> Tensor:
        """From which event on, at the earliest `starts` [B], the events before `ends` [B] fit into `room` [B] pieces.

        The oldest are dropped. [B]; equal to `ends` where not even the last event fits.
        """
        first = self.history.offsets[users]
        # The word between items does not stand behind the last one.
        least = torch.searchsorted(self.sums, self.sums[first + ends] - self.extra - room)
        return torch.minimum(torch.maximum(least - first, starts), ends)

    def sizes(self, users: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
        """Pieces of the events from `starts` to `ends` of `users`, [B]."""
        first = self.history.offsets[users]
        return (self.sums[first + ends] - self.sums[first + starts] - self.extra).clamp(min=0)

    def rows(self, users: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
        """Those events as words, [B, W], the oldest in column 0, holes behind the last."""
        counts = ends - starts
        column = torch.arange(max(1, int(counts.max())), device=users.device)
        there = column < counts[:, None]
        place = (self.history.offsets[users] + starts)[:, None] + column
        if not len(self.history.items):
            return torch.full_like(place, HOLE)
        items = torch.where(there, self.history.items[place.clamp(max=len(self.history.items) - 1)], HOLE)
        return items if self.between is None else joined(items, self.between)


def joined(items: Tensor, between: int) -> Tensor:
    """Words [B, W] with the word `between` between each two of them; holes stand behind, [B, 2 W]."""
    following = torch.nn.functional.pad(items[:, 1:], (0, 1), value=HOLE)
    return torch.stack([items, torch.where(following >= 0, between, HOLE)], 2).flatten(1)
