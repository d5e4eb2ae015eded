"""What models share that write a recommendation: they read a text about a user and write the item's number in pieces.

Dropout draws from the global generator; the trainer seeds it anew before every batch from the run's one seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.errors import RepriseError
from reprise.models import ScoringModel, take
from reprise.models.generative import beams
from reprise.models.generative.nets import Net
from reprise.models.generative.numbers import Numbers
from reprise.models.generative.pieces import MadePieces, ReadPieces
from reprise.models.generative.trie import Trie
from reprise.models.generative.weights import RANDOM, config_of, fill
from reprise.models.generative.words import HOLE, Lines, Words
from reprise.models.sequential import feature

SHORTEST = 16  # pieces that a model must be able to read: a user, an item and what stands around them


class GenerativeModel(ScoringModel):
    """An encoder that reads, a decoder that writes.

    Attributes
    ----------
    words : Words
        All words there are, in pieces.
    max_tokens : int
        The longest text that is read; of longer histories the oldest items are left out.
    """

    trainable = True

    def __init__(self, interactions: Interactions, options: Any, spell: Callable[[Tensor], list[str]],
                 plain: Sequence[str], make: Callable[..., Net], kind: str, generator: torch.Generator):
        """`spell` writes the items with given numbers, `plain` are the other words, `make` the net, a `kind` of it."""
        super().__init__()
        if options.max_tokens < SHORTEST:
            raise RepriseError("model.max_tokens", expected=f"at least {SHORTEST}", found=str(options.max_tokens))
        numbers = feature(interactions, options.ids).single()
        items, users = spell(numbers), [f"user_{number + 1}" for number in range(interactions.n_users)]
        released = None if options.weights == RANDOM else Path(options.weights)
        if released:
            config = config_of(released, kind)
            pieces = ReadPieces(released, config)
        else:
            config, pieces = None, MadePieces([*items, *users, *plain])
        net = make(options.size, config, pieces.rows, pieces.special.pad, generator)
        if released:
            fill(net, released)
        self.special, self.max_tokens, self.factor = pieces.special, options.max_tokens, net.factor
        self.token = nn.Parameter(net.token)
        self.encoder, self.decoder = net.encoder, net.decoder
        self.words = Words(pieces, items, users, plain, numbers)
        self.numbers = Numbers(pieces.texts, numbers)
        self._trie: Trie | None = None
        self.to(interactions.items.device)

    @property
    def dim(self) -> int:
        """D, the length of a row."""
        return self.token.shape[1]

    def beside(self, lines: Lines) -> Tensor:
        """What is added to the rows of the pieces that are read, [B, T, D]."""
        raise RuntimeError(f"{type(self).__module__} defines no beside")

    def encode(self, lines: Lines, bare: bool = False) -> Tensor:
        """Read texts; states [B, T, D]. `bare`: nothing is added to the rows of the pieces."""
        rows = take(self.token, lines.tokens)
        if not bare:
            rows = rows + self.beside(lines)
        return self.encoder(inputs_embeds=rows, attention_mask=lines.real.long()).last_hidden_state

    def targets(self, words: Tensor) -> Tensor:
        """The pieces to write for one word each, [B, L]: its own, the end, padding behind."""
        end = self.words.row([self.words.special(self.special.eos)], len(words))
        return self.words.lines(torch.cat([words[:, None], end], 1)).tokens

    def logits(self, states: Tensor, real: Tensor, targets: Tensor, count_pads: bool = False) -> Tensor:
        """Logits [B, L, V] of each piece of `targets` [B, L] after those before it.

        Padding says nothing to what comes after it, which matters where padding counts.
        """
        inputs = torch.nn.functional.pad(targets[:, :-1], (1, 0), value=self.special.start)
        seen = (inputs != self.special.pad).long() if count_pads else None
        if seen is not None:
            seen[:, 0] = 1  # T5 starts with a pad
        rows = self.decoder(inputs_embeds=take(self.token, inputs), attention_mask=seen, encoder_hidden_states=states,
                            encoder_attention_mask=real.long(), use_cache=False).last_hidden_state
        return self._over_pieces(rows)

    def _over_pieces(self, rows: Tensor) -> Tensor:
        """Logits, in full precision: rounded to bfloat16, pieces close to each other would tie."""
        with torch.autocast(rows.device.type, enabled=False):
            return (rows.float() * self.factor) @ self.token.T

    def trie(self) -> Trie:
        """What may be written where only items may: the word of each, and the end."""
        if self._trie is None:
            words = torch.arange(self.words.n_items, device=self.token.device)
            targets = self.targets(words)
            self._trie = Trie(targets, self.words.counts[words] + 1, len(self.token))
        return self._trie

    def forget(self) -> None:
        """Drop the trie."""
        self._trie = None

    def write(
        self, lines: Lines, width: int, longest: int, constrained: bool, bare: bool = False,
        early_stopping: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """The `width` best answers to each of B texts: items [B, K] as `Numbers.read` names them, scores [B, K].

        A text is read once, and so are its keys and values in the decoder; only then is it copied for every beam.
        """
        from transformers import DynamicCache, EncoderDecoderCache

        states, real = self.encode(lines, bare), lines.real.long()
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())

        def step(pieces: Tensor, order: Tensor | None) -> Tensor:
            nonlocal states, real
            if len(pieces) > len(states):
                cache.batch_repeat_interleave(width)
                # Of the states themselves nothing is read any more, only of what the cache made of them.
                states = states[:1].expand(len(pieces), -1, -1)
                real = real.repeat_interleave(width, 0)
            if order is not None:
                cache.self_attention_cache.reorder_cache(order)
            rows = self.decoder(inputs_embeds=take(self.token, pieces[:, None]), encoder_hidden_states=states,
                                encoder_attention_mask=real, cache=cache, use_cache=True).last_hidden_state
            return self._over_pieces(rows[:, 0])

        special = self.special
        found = beams.search(step, len(states), width, longest, special.start, special.eos, special.pad,
                             self.token.device, self.trie() if constrained else None, early_stopping)
        items = torch.where(found.scores > -torch.inf, self.numbers.read(found.tokens), HOLE)
        return items, found.scores
