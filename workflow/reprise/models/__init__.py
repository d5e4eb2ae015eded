"""One file a model: what is learned, and how it scores. Nothing here knows of training, data files or metrics.

A model file defines `class Options`, what its YAML block may set, and `class Model(ScoringModel)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions


class ScoringModel(nn.Module):
    """What every model offers. `source` names the paper (and equation) that it implements."""

    source: str = ""
    trainable: bool = False

    def scores(self, users: Tensor, history: Interactions | None = None) -> Tensor:
        """Score every item for `users` [B]; returns [B, n_items].

        `history` is what everybody did up to the moment of ranking, for models that read it.
        """
        raise RuntimeError(f"{type(self).__module__} defines no scores")

    def forget(self) -> None:
        """Drop what was made for ranking and kept for the next batch; it is made again when needed."""


T = TypeVar("T")


class Kept(Generic[T]):
    """What ranking makes of all weights of `model` and needs for every batch: made once for the weights at hand.

    Where gradients are taken it is made each time. Weights that are loaded are noticed by their version; a fused
    optimiser's steps change no version, so a trainer forgets what was kept.
    """

    def __init__(self, model: nn.Module):
        self._weights = model.parameters
        self._key: list[tuple[int, int]] | None = None

    def get(self, make: Callable[[], T]) -> T:
        """What `make` makes, or made before."""
        if torch.is_grad_enabled():
            return make()
        key = [(parameter.data_ptr(), parameter._version) for parameter in self._weights()]
        if self._key != key:
            self._key, self._value = key, make()
        return self._value

    def forget(self) -> None:
        """Make it anew for the next batch."""
        self._key = self._value = None


class Rows(NamedTuple):
    """What a factor model shows of a batch of users.

    Attributes
    ----------
    user : Tensor [B, D]
        Rows that score.
    item : Tensor [n_items, D]
        Rows that score, of every item.
    learned_user : Tensor [B, D]
        The table's own rows of those users, on which L2 acts (the same as `user` where nothing is propagated).
    """

    user: Tensor
    item: Tensor
    learned_user: Tensor


class FactorModel(ScoringModel):
    """A model whose score is the inner product of a user row and an item row."""

    trainable = True

    def __init__(self, interactions: Interactions, dim: int, generator: torch.Generator):
        super().__init__()
        device = interactions.items.device
        self.user = xavier((interactions.n_users, dim), generator, device)
        self.item = xavier((interactions.n_items, dim), generator, device)

    def on(self, interactions: Interactions, generator: torch.Generator) -> FactorModel:
        """Make a fresh model with the same settings for other interactions."""
        raise RuntimeError(f"{type(self).__module__} defines no on")

    def represent(self, users: Tensor, noise: torch.Generator | None = None) -> Rows:
        """Return the rows that score: of `users` [B], and of every item.

        `noise` is what dropout draws from in training; without it, as in ranking, nothing is dropped.
        """
        raise RuntimeError(f"{type(self).__module__} defines no represent")

    def scores(self, users: Tensor, history: Interactions | None = None) -> Tensor:
        """Inner products of `users` [B] with every item, [B, n_items]."""
        rows = self.represent(users)
        return rows.user @ rows.item.T


def xavier(shape: tuple[int, int], generator: torch.Generator, device: torch.device) -> nn.Parameter:
    """A table drawn uniformly from (-a, a), a = sqrt(6 / (rows + columns)), the same on every kind of device."""
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(shape), generator=generator).to(device))


def take(table: Tensor, index: Tensor) -> Tensor:
    """Rows of `table` [N, D] at `index` [B]; its gradient adds up repeated rows in a fixed order, also on a GPU."""
    return nn.functional.embedding(index, table)
