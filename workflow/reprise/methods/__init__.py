"""One file a method: what wraps a model - its training loss, what inference may vary, how a score is adjusted.

A method file defines `class Options`, its settings, and `class Method(Wrapper)`. Knows models, not training or data
files.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.models import FactorModel, ScoringModel, take

Setting = dict[str, Any]  # one choice of what only inference reads, such as {"c": 40}; {} where there is none


class Wrapper(nn.Module):
    """What every method offers.

    `trainer` names the file of `reprise/training` whose class `Trainer` fits it (a plain text: the code of a run is
    found by reading it). `parts` is the training data, in as many parts as batches are drawn from.
    """

    source: str = ""
    trainer = "trainer"

    def __init__(self, model: ScoringModel, interactions: Interactions):
        super().__init__()
        self.model = model
        self.parts: tuple[Interactions, ...] = (interactions,)

    def batch(
        self, part: int, users: Tensor, positives: Tensor, negatives: Tensor, noise: torch.Generator | None = None
    ) -> Pairs:
        """Look up and score pairs of one of the `parts`; `users`, `positives` are [B] int64, `negatives` too,
        or [B, M]."""
        return pairs(self.model_of(part), users, positives, negatives, noise)._replace(part=part)

    def start_from(self, weights: dict[str, Tensor], part: str = "") -> None:
        """Take over the `weights` of another method's run: its model's, which must be of the same kind and size as this
        model, or as a `part` of it."""
        of_model = {
            name.removeprefix("model."): tensor for name, tensor in weights.items() if name.startswith("model.")
        }
        self.model.get_submodule(part).load_state_dict(of_model)

    def model_of(self, part: int) -> FactorModel:
        """The model that learns from one of the `parts`."""
        return self.model

    def loss(self, batch: Pairs) -> Tensor:
        """The training loss of a batch, without L2; returns a scalar."""
        raise RuntimeError(f"{type(self).__module__} defines no loss")

    def choices(self) -> list[Setting]:
        """The inference settings among which selection chooses."""
        return [{}]

    def sweep(self) -> list[Setting]:
        """The inference settings whose whole curve is kept; they include the choices. Empty where there is no curve."""
        return []

    def scores(self, users: Tensor, history: Interactions | None = None) -> Tensor:
        """Score every item for `users` [B] after their `history`, before any setting is applied; [B, n_items]."""
        return self.model.scores(users, history)

    def forget(self) -> None:
        """Drop what was made for ranking and kept for the next batch."""
        self.model.forget()

    def adjust(self, scores: Tensor, setting: Setting) -> Tensor:
        """Apply an inference setting to `scores` [B, n_items]; the input is left as it is."""
        return scores


class Pairs(NamedTuple):
    """A batch of users, each with a positive and a negative item, as the model sees it.

    Where a positive has M negatives, `bad` is [B, M, D], and `negative` and `negatives` are [B, M].

    Attributes
    ----------
    user, good, bad : Tensor [B, D]
        Rows that score.
    positive, negative : Tensor [B]
        Their inner products.
    squared_norm : Tensor, scalar
        Sum of squares of the learned (not propagated) rows, for L2.
    users, positives, negatives : Tensor [B] int64
        Who they are.
    part : int
        Which of the method's parts they come from.
    """

    user: Tensor
    good: Tensor
    bad: Tensor
    positive: Tensor
    negative: Tensor
    squared_norm: Tensor
    users: Tensor
    positives: Tensor
    negatives: Tensor
    part: int = 0


def pairs(
    model: FactorModel, users: Tensor, positives: Tensor, negatives: Tensor, noise: torch.Generator | None = None
) -> Pairs:
    """Look up and score a batch; `users`, `positives` are [B] int64, `negatives` too, or [B, M]."""
    rows = model.represent(users, noise)
    good, bad = take(rows.item, positives), take(rows.item, negatives)
    learned = (good, bad) if rows.item is model.item else (take(model.item, positives), take(model.item, negatives))
    squared_norm = sum(row.square().sum() for row in (rows.learned_user, *learned))
    scores = (rows.user * good).sum(1), ((rows.user if bad.ndim == 2 else rows.user[:, None]) * bad).sum(-1)
    return Pairs(rows.user, good, bad, *scores, squared_norm, users, positives, negatives)


def binary_cross_entropy(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean of -log s(positive) - log(1 - s(negative)) over logits [B]: the sum, not the mean, of a pair's two terms."""
    return nn.functional.softplus(-positive).mean() + nn.functional.softplus(negative).mean()


def once(ids: Tensor, size: int) -> Tensor:
    """Weights [N] that make each distinct one of `ids` [N], all below `size`, count once: 1 / how often it occurs.

    In place of `unique`, which would make a GPU's host wait for the answer's length.
    """
    counts = torch.zeros(size, dtype=torch.int64, device=ids.device).scatter_add_(0, ids, torch.ones_like(ids))
    return counts[ids].float().reciprocal()


def setting_name(setting: Setting) -> str:
    """Name a setting for a folder: {"c": 40} -> `c40`, {} -> ``."""
    return "-".join(f"{key}{value}" for key, value in setting.items())
