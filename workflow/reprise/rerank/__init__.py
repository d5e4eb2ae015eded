"""One file a re-ranker: how what finished runs score is ranked in another way. Nothing here is trained.

A re-ranker's file defines `class Options`, its settings, and `class Reranker(Ranker)`. Knows methods, not how they are
trained.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.errors import RepriseError
from reprise.evaluation.profiles import Profiles
from reprise.methods import Setting, Wrapper
from reprise.settings import Settings


class Finished:
    """A finished run as a re-ranker sees it: its scores, under the inference setting that it chose."""

    def __init__(self, method: Wrapper, setting: Setting):
        self._method, self._setting = method, setting

    def scores(self, users: Tensor, history: Interactions) -> Tensor:
        """Score every item for `users` [B] after their `history`; [B, n_items]."""
        return self._method.adjust(self._method.scores(users, history), self._setting)

    def forget(self) -> None:
        """Drop what was made for ranking and kept for the next batch."""
        self._method.forget()


class Ranker:
    """What every re-ranker offers. It is ranked as a method is; one with `reorder` gets the best items instead.

    Attributes
    ----------
    source : str
        The paper, and equation, that it implements.
    rows : int
        How many rows it re-ranks.
    swept : str
        The option that selection may choose: where `paper.yaml` gives it several values, these are the choices.
    """

    source = ""
    rows = 1
    swept = ""

    def __init__(self, options: Settings, bases: Sequence[Finished], profiles: Profiles):
        if len(bases) != self.rows:
            raise RepriseError(f"{type(self).__module__}", expected=f"reranks: {self.rows} of the paper's rows",
                               found=str(len(bases)))
        self.options, self.bases, self.profiles = options, bases, profiles

    def choices(self) -> list[Setting]:
        """The inference settings among which selection chooses."""
        values = getattr(self.options, self.swept)
        return [{self.swept: value} for value in values] if isinstance(values, tuple) else [{}]

    def sweep(self) -> list[Setting]:
        """The inference settings whose whole curve is kept; empty where there is none."""
        return [setting for setting in self.choices() if setting]

    def value(self, setting: Setting) -> object:
        """What the swept option is under a setting."""
        return setting.get(self.swept, getattr(self.options, self.swept))

    def scores(self, users: Tensor, history: Interactions) -> Tensor:
        """Score every item for `users` [B], before any setting is applied; [B, n_items]."""
        return self.bases[0].scores(users, history)

    def forget(self) -> None:
        """Drop what was made for ranking and kept for the next batch."""
        for base in self.bases:
            base.forget()

    def adjust(self, scores: Tensor, setting: Setting) -> Tensor:
        """Apply a setting to what `scores` gave; [B, n_items]."""
        return scores
