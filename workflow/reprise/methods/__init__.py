"""One file a method: what wraps a model - its training loss, what inference may vary, how a score is adjusted.

A method file defines `class Options(Settings)` and `class Method(Wrapper)`. Knows models, not training or data files.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from reprise.models import FactorModel, ScoringModel, take

Setting = dict[str, Any]  # one choice of what only inference reads, such as {"c": 40}; {} where there is none


class Wrapper(nn.Module):
    """What every method offers."""

    source: str = ""

    def __init__(self, model: ScoringModel):
        super().__init__()
        self.model = model

    def loss(self, batch: Pairs) -> Tensor:
        """The training loss of a batch, without L2; returns a scalar."""
        raise RuntimeError(f"{type(self).__module__} defines no loss")

    def choices(self) -> list[Setting]:
        """The inference settings among which selection chooses."""
        return [{}]

    def sweep(self) -> list[Setting]:
        """The inference settings whose whole curve is kept; they include the choices. Empty where there is no curve."""
        return []

    def scores(self, users: Tensor) -> Tensor:
        """Score every item for `users` [B] before any setting is applied, [B, n_items]."""
        return self.model.scores(users)

    def adjust(self, scores: Tensor, setting: Setting) -> Tensor:
        """Apply an inference setting to `scores` [B, n_items]; the input is left as it is."""
        return scores


class Pairs(NamedTuple):
    """A batch of users, each with a positive and a negative item, as the model sees it.

    Attributes
    ----------
    user, good, bad : Tensor [B, D]
        Rows that score.
    positive, negative : Tensor [B]
        Their inner products.
    squared_norm : Tensor, scalar
        Sum of squares of the learned (not propagated) rows, for L2.
    """

    user: Tensor
    good: Tensor
    bad: Tensor
    positive: Tensor
    negative: Tensor
    squared_norm: Tensor


def pairs(model: FactorModel, users: Tensor, positives: Tensor, negatives: Tensor) -> Pairs:
    """Look up and score a batch; `users`, `positives`, `negatives` are [B] int64."""
    rows = model.represent(users)
    good, bad = take(rows.item, positives), take(rows.item, negatives)
    learned = (good, bad) if rows.item is model.item else (take(model.item, positives), take(model.item, negatives))
    squared_norm = sum(row.square().sum() for row in (rows.learned_user, *learned))
    return Pairs(rows.user, good, bad, (rows.user * good).sum(1), (rows.user * bad).sum(1), squared_norm)


def binary_cross_entropy(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean of -log s(positive) - log(1 - s(negative)) over logits [B]: the sum, not the mean, of a pair's two terms."""
    return nn.functional.softplus(-positive).mean() + nn.functional.softplus(negative).mean()


def setting_name(setting: Setting) -> str:
    """Name a setting for a folder: {"c": 40} -> `c40`, {} -> ``."""
    return "-".join(f"{key}{value}" for key, value in setting.items())
