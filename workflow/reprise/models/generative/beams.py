"""Beam search, for all users of a batch at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from reprise.models.generative.trie import Trie


class Beams(NamedTuple):
    """What was written: `tokens` [B, K, L], best first, padded behind the end; `scores` [B, K], -inf of an empty place.
    """

    tokens: Tensor
    scores: Tensor


def search(
    step: Callable[[Tensor, Tensor | None], Tensor], batch: int, beams: int, longest: int, start: int, eos: int,
    pad: int, device: torch.device, trie: Trie | None = None, early_stopping: bool = False,
) -> Beams:
    """The `beams` best texts of at most `longest` pieces, each for `batch` users.

    As transformers' `generate` has it with `num_beams` and its other settings as they are by default: each round keeps
    the best unfinished texts, and of the best `beams` continuations those that end. A finished text's score is its log
    probability over its length. A user is done when no unfinished text, as long as it is, scores above the worst
    finished one; with `early_stopping` already when `beams` texts are finished. Where `longest` is reached, texts end
    as they are.

    Parameters
    ----------
    step : function
        Takes the last pieces [M] and, from the third call on, which of the M texts before each of them continues, [M];
        returns logits [M, V] of the next piece. First it is asked for one text a user (M = batch), then for all.
    trie : Trie, optional
        What may be written, ends included; None: anything.
    """
    logits = step(torch.full((batch,), start, device=device), None)
    vocabulary = logits.shape[1]
    running = torch.full((batch, beams), -torch.inf, device=device)
    running[:, 0] = 0
    written = torch.full((batch, beams, longest), pad, device=device)
    done, done_scores = written.clone(), torch.full_like(running, -torch.inf)
    nodes = torch.zeros(batch, beams, dtype=torch.int64, device=device)
    going = torch.ones(batch, 1, dtype=torch.bool, device=device)
    row = torch.arange(batch, device=device)[:, None]
    for length in range(1, longest + 1):
        chances = logits.float().log_softmax(1)
        if trie is not None:
            here = nodes[:, 0] if length == 1 else nodes.flatten()
            chances = chances.masked_fill(~trie.allowed(here), -torch.inf)
        chances = chances.view(batch, -1, vocabulary) + running[:, :, None][:, : len(logits) // batch]
        scores, place = chances.flatten(1).topk(min(2 * beams, chances[0].numel()), dim=1)
        origin, pieces = place // vocabulary, place % vocabulary
        texts = written[row, origin]
        texts[:, :, length - 1] = pieces
        ends = (pieces == eos) | torch.tensor(length == longest, device=device)
        # Ends among the best; the others only fill up what goes on.
        ended = torch.where(ends & going, scores / length, -torch.inf)[:, :beams]
        done_scores, best = torch.cat([done_scores, ended], 1).topk(beams, dim=1)
        done = torch.cat([done, texts[:, :beams]], 1)[row, best]
        running, best = _padded(torch.where(ends, -torch.inf, scores), beams).topk(beams, dim=1)
        best = best.clamp(max=place.shape[1] - 1)
        written, origin, pieces = texts[row, best], origin.gather(1, best), pieces.gather(1, best)
        going = going & (running[:, :1] / length > done_scores[:, -1:])
        if early_stopping:
            going = going & (done_scores[:, -1:] == -torch.inf)
        if length == longest or not bool(going.any()):
            break
        if trie is not None:
            nodes = trie.step(nodes.gather(1, origin), pieces)
        logits = step(pieces.flatten(), None if length == 1 else (row * beams + origin).flatten())
    return Beams(torch.where(done_scores[:, :, None] > -torch.inf, done, pad), done_scores)


def _padded(scores: Tensor, width: int) -> Tensor:
    """`scores` [B, N] with N brought to at least `width` by -inf."""
    return torch.nn.functional.pad(scores, (0, max(0, width - scores.shape[1])), value=-torch.inf)
