"""Full ranking: every item of the catalogue for every test user, in chunks of users, on the device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.errors import RepriseError
from reprise.evaluation.metrics import per_user
from reprise.evaluation.written import Duplicates, Ranks, cleaned, counted

CELLS = 1 << 22  # scores held at a time; bounds memory and changes no digit
TIE_SEED = 20210814
Mask = Literal["history", "train", "none", "zero"]
MASKED_SCORES: dict[Mask, float | None] = {"history": -torch.inf, "train": -torch.inf, "none": None, "zero": 0.0}


class Scorer(Protocol):
    """What can be ranked: scores computed once, then adjusted by each inference setting."""

    def scores(self, users: Tensor, history: Interactions) -> Tensor: ...

    def adjust(self, scores: Tensor, setting: dict) -> Tensor: ...


class Reorderer(Protocol):
    """What gets the best `candidates` items of its scores that may be offered, and puts them in another order."""

    candidates: int

    def scores(self, users: Tensor, history: Interactions) -> Tensor: ...

    def reorder(
        self, users: Tensor, history: Interactions, items: Tensor, scores: Tensor, settings: Sequence[dict], k: int
    ) -> list[Tensor]: ...


class Generator(Protocol):
    """What writes lists by itself: items [B, N], -1 where an output is no number and -2 where no item has it.

    `duplicates` and `ranks` say what becomes of what is no recommendation: see `evaluation.written.cleaned`.
    """

    duplicates: Duplicates
    ranks: Ranks

    def generate(
        self, users: Tensor, history: Interactions, settings: Sequence[dict], k: int
    ) -> list[tuple[Tensor, Tensor]]: ...


class Ranking:
    """The users to rank for, what each has to find, what each did before, and which of that is not offered again.

    Equal scores are ordered by a fixed pseudo-random order of the items, shifted for each user, so that a constant
    score ranks like chance and an item's id carries no information. (The official code orders them by ascending id;
    with float32 scores of a trained model ties at the cut hardly occur, and `ties@k` says how often they did.)
    """

    def __init__(
        self,
        held_out: np.ndarray,
        history: np.ndarray,
        n_users: int,
        n_items: int,
        device: torch.device | str,
        mask: Mask = "history",
        ordered: bool = False,
        trained: np.ndarray | None = None,
    ):
        """Lay out `held_out` [N, 2] and `history` [M, 2] (user, item) pairs on `device`.

        Users are those with held-out rows. `mask` says what becomes of the scores of a user's own history: `history`,
        it is not offered; `train`, the part of it that is `trained` [T, 2] is not; `none`, nothing; `zero`, they are
        set to 0, as S3-Rec's code does, so that where most scores are negative what was met moves up. `ordered`: the
        history stands in order of time.
        """
        self.held_out = Interactions.of(held_out, n_users, n_items, device)
        self.history = Interactions.of(history, n_users, n_items, device, ordered)
        self.masked = self.history if trained is None else Interactions.of(trained, n_users, n_items, device)
        self.masked_score = MASKED_SCORES[mask]
        self.users = torch.nonzero(self.held_out.degrees).squeeze(1)
        if len(self.users) == 0:
            raise RepriseError("ranking", expected="at least one user with held-out items", found="none")
        self.relevant = self.held_out.degrees[self.users]
        generator = torch.Generator().manual_seed(TIE_SEED)
        self.tie_order = torch.randperm(n_items, generator=generator).to(device)
        self.chunk = max(1, CELLS // n_items)
        self.tally: Counter[str] = Counter()  # of the outputs of a `Generator`, as `written.counted` counts them

    def lists(
        self, scorer: Scorer | Reorderer | Generator, settings: Sequence[dict], k: int
    ) -> Iterator[tuple[int, slice, Tensor, Tensor]]:
        """Rank chunk by chunk; each chunk is scored once for all settings.

        Yields
        ------
        number : int
            Position in `settings`.
        rows : slice
            Which of `self.users` the chunk holds.
        items : Tensor [B, k] int64
            Best first; -1 where fewer than k items can be offered.
        scores : Tensor [B, k]
            What they are ranked by; of a `Reorderer` what it chose from, of a `Generator` how sure it was.

        Raises
        ------
        RepriseError
            A score is NaN; scores are to be set to 0 where there are none.
        """
        self.tally.clear()
        for start in range(0, len(self.users), self.chunk):
            rows = slice(start, min(start + self.chunk, len(self.users)))
            users = self.users[rows]
            if hasattr(scorer, "generate"):
                yield from self._written(scorer, rows, settings, k)
                continue
            base = scorer.scores(users, self.history)
            if self.masked_score is not None:
                owner, position = self.masked.of_users(users)
                cells = (owner, self.masked.items[position])
            if hasattr(scorer, "reorder"):
                if self.masked_score is not None:
                    base = base.clone()
                    base[cells] = self.masked_score
                items, scores = self._top(base, users, scorer.candidates)
                for number, places in enumerate(scorer.reorder(users, self.history, items, scores, settings, k)):
                    yield number, rows, _taken(items, places, -1), _taken(scores, places, -torch.inf)
                continue
            for number, setting in enumerate(settings):
                scores = scorer.adjust(base, setting)
                if self.masked_score is not None:
                    scores = scores.clone() if scores.data_ptr() == base.data_ptr() else scores
                    scores[cells] = self.masked_score
                yield number, rows, *self._top(scores, users, k)

    def _written(
        self, generator: Generator, rows: slice, settings: Sequence[dict], k: int
    ) -> Iterator[tuple[int, slice, Tensor, Tensor]]:
        """What `lists` yields of a chunk, from lists that are written."""
        if self.masked_score == 0:
            raise RepriseError("training.mask", expected="none or history: what is written has no scores to set",
                               found="zero")
        users = self.users[rows]
        owner, position = self.history.of_users(users)
        met = torch.zeros((len(users), self.history.n_items), dtype=torch.bool, device=users.device)
        met[owner, self.history.items[position]] = True
        barred = None if self.masked_score is None else met
        for number, (items, scores) in enumerate(generator.generate(users, self.history, settings, k)):
            if number == 0:
                self.tally.update(counted(items, met))
            yield number, rows, *cleaned(items, scores, barred, generator.duplicates, generator.ranks, k)

    def hits(self, rows: slice, items: Tensor) -> Tensor:
        """Say which of `items` [B, k] are held-out items of the users in `rows`; [B, k] bool."""
        owner, position = self.held_out.of_users(self.users[rows])
        sought = torch.zeros((len(items), self.held_out.n_items + 1), dtype=torch.bool, device=items.device)
        sought[owner, self.held_out.items[position]] = True
        return sought.gather(1, items.remainder(self.held_out.n_items + 1))  # -1 falls on the extra, empty column

    def measure(self, scorer: Scorer, settings: Sequence[dict], k: int, names: Sequence[str]) -> list[dict[str, float]]:
        """Mean metrics at `k` for each setting, keyed `hr@20`."""
        totals: list[dict[str, float]] = [{} for _ in settings]
        for number, rows, items, _ in self.lists(scorer, settings, k):
            values = per_user(self.hits(rows, items), self.relevant[rows], [k], names)
            for name, value in values.items():
                totals[number][name] = totals[number].get(name, 0.0) + float(value.sum())
        return [{name: total / len(self.users) for name, total in one.items()} for one in totals]

    def _top(self, scores: Tensor, users: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The best k of `scores` [B, n_items], ties in the stated order."""
        width = min(k + 1, scores.shape[1])
        values, items = scores.topk(width, dim=1)
        if bool(values[:, 0].isnan().any()):  # topk puts NaN first
            raise RepriseError(
                f"ranking, user {int(users[values[:, 0].isnan()][0])}",
                kind="diverged",
                expected="finite scores",
                found="NaN",
                fix="lower the learning rate, or look at the last losses in history.csv",
            )
        tied = ((values[:, 1:] == values[:, :-1]) & (values[:, 1:] > -torch.inf)).any(1)  # -inf is not offered
        if bool(tied.any()):
            items[tied] = self._ordered(scores[tied], users[tied], width)
            values[tied] = scores[tied].gather(1, items[tied])
        items, values = items[:, :k], values[:, :k]
        if width < k:
            items, values = (
                torch.nn.functional.pad(x, (0, k - width), value=v) for x, v in ((items, -1), (values, -torch.inf))
            )
        return items.masked_fill(values == -torch.inf, -1), values

    def _ordered(self, scores: Tensor, users: Tensor, width: int) -> Tensor:
        """Items of the best `width` where some scores are equal: one 64-bit key of score, then tie order."""
        n_items = scores.shape[1]
        tie = (self.tie_order + (users * 0x9E3779B1 % n_items)[:, None]) % n_items
        if scores.dtype == torch.float64:  # which leaves no room for a tie order in the key
            order = tie.argsort(dim=1, descending=True)
            best = scores.gather(1, order).sort(dim=1, descending=True, stable=True).indices[:, :width]
            return order.gather(1, best)
        bits = (scores.float() + 0.0).view(torch.int32).long()  # + 0.0 makes -0.0 equal to 0.0
        ascending = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)  # float order as integer order
        return (ascending * (1 << 32) + tie).topk(width, dim=1).indices


def _taken(values: Tensor, places: Tensor, nothing: float) -> Tensor:
    """Of `values` [B, N] those at `places` [B, k]; `nothing` at place N."""
    return torch.nn.functional.pad(values, (0, 1), value=nothing).gather(1, places)
