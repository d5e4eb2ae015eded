"""The trainer of sequence models: a fixed number of targets, or of windows, a step, and Adam."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.data.unmet import Unmet
from reprise.data.windows import cut
from reprise.errors import RepriseError
from reprise.methods.next_item import NextItem, Targets
from reprise.training.build import derived_seed
from reprise.training.loop import Loop
from reprise.training.options import Training

PARTS = {"cpu": 8, "cuda": 1}  # of a batch of all lengths: a part needs no more columns than its longest window has
POOL = 64  # batches that are drawn together and, of `one_pass`, sorted by length, so that they need little padding


@dataclass(frozen=True)
class Samples:
    """What one epoch trains on, S windows on the host.

    Attributes
    ----------
    users, ends, counts : int64 arrays [S]
        A window holds the last items among the first `ends` of a user; the items that follow its last `counts`
        positions are targets.
    """

    users: np.ndarray
    ends: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, degrees: np.ndarray, window: int, kind: str, strided: bool = False) -> Samples:
        """Cut histories of `degrees` [n_users] items into samples.

        Target t = 1, 2, ... of a user (item t, counted from 0) has the last min(t, window) items before it as prefix.
        `per_prefix` gives each its own sample. `one_pass` takes targets 1..window by one pass over the user's first
        items: positions count from the window's start, so for these the prefixes are the same. Every later target's
        window starts elsewhere and stays a sample of its own. `last_window` takes the targets in one window, the last.

        `strided` lets the later targets share windows too, each window its newest floor(window / 2) targets: a later
        target's prefix is then cut to between half a window and a whole one.
        """
        prefixes = np.maximum(degrees - 1, 0)  # how many targets a user has
        users = np.arange(len(degrees))
        if kind == "last_window":
            kept = prefixes > 0
            return cls(users[kept], prefixes[kept], np.minimum(prefixes, window)[kept])
        if kind == "one_pass":
            first = np.minimum(prefixes, window)
            kept = first > 0
            beyond = np.maximum(prefixes - window, 0)
            whole = users[kept], first[kept], first[kept]
            if strided:
                return cls(*map(np.concatenate, zip(whole, _strides(users, beyond, window), strict=True)))
            ends = window + _counted(beyond)
        else:
            whole, beyond = (users[:0],) * 3, prefixes
            ends = _counted(beyond)
        single = np.repeat(users, beyond), ends, np.ones(len(ends), dtype=np.int64)
        return cls(*(np.concatenate(pair) for pair in zip(whole, single, strict=True)))


def _strides(users: np.ndarray, beyond: np.ndarray, window: int) -> tuple[np.ndarray, ...]:
    """Windows each with the next half a window of a user's targets `beyond` the first, as `Samples` has them."""
    half = max(1, window // 2)
    windows = -(-beyond // half)
    done = half * _counted(windows)
    ends = np.minimum(done, np.repeat(beyond, windows))
    return np.repeat(users, windows), window + ends, ends - (done - half)


def _counted(counts: np.ndarray) -> np.ndarray:
    """1..n for each n of `counts`, one after the other."""
    return np.arange(1, counts.sum() + 1) - np.repeat(np.cumsum(counts) - counts, counts)


@dataclass(frozen=True)
class Epoch:
    """The samples of one epoch in the order of its batches.

    Attributes
    ----------
    columns : Tensor [3, S] int64
        `users`, `ends` and `counts` on the device.
    bounds : list of int
        Batch b holds samples `bounds[b]` to `bounds[b + 1]`.
    totals : list of int
        Number of targets of each batch; known on the host, as the next are, so that the device is not waited for.
    parts : list of list of (int, int, int)
        Of each batch first row, last row + 1 and longest window of each part (`Targets.parts`), the longest first.
    """

    columns: Tensor
    bounds: list[int]
    totals: list[int]
    parts: list[list[tuple[int, int, int]]]


def _unmet(interactions: Interactions, avoid: str) -> Unmet:
    """What samples items that a user did not meet in what is trained on, or in `all` parts of the data."""
    if avoid == "all" and interactions.everything is None:
        raise RepriseError("avoid: all", expected="prepared data, of which all parts are known",
                           found="interactions alone", fix="say avoid: trained")
    met = interactions.everything() if avoid == "all" else interactions
    return Unmet(met, torch.nonzero(interactions.degrees).squeeze(1))


def _latest(interactions: Interactions, window: int) -> Interactions:
    """The last `window` rows of every user."""
    place = torch.arange(len(interactions.items), device=interactions.items.device)
    return interactions.only(place >= interactions.offsets[interactions.users + 1] - window)


class Trainer(Loop):
    """A step is a batch of about `batch` targets (of windows, for `last_window`); an epoch sees every target once.

    Where the method's windows hold their last target (`holds_target`), only the windows of a batch mean anything.

    Which windows share a batch is drawn from all, but for `one_pass`, which puts windows of like length together: a
    step has as many targets there either way. Elsewhere it would not be the same training: steps of as many windows
    would have few targets or many, so that a mean over them weighs a short history's several times as much; and
    samples that are compared with each other would be compared with such as are as long alone.

    Nothing random is carried from step to step: the order of an epoch follows from its number, and before every step
    the generators, PyTorch's global ones included, from which dropout is drawn, are seeded by the step's number.
    """

    mixed = True

    def __init__(self, method: NextItem, interactions: Interactions, options: Training, seed: int, phase: str):
        kind = method.options.samples
        if options.l2:
            raise RepriseError("training.l2", expected="0: sequence models have penalties of their own",
                               found=str(options.l2))
        device = interactions.items.device
        self.window = method.model.window
        laid = _latest(interactions, self.window) if method.latest_only else interactions
        self.options, self.data, self.seed, self.by_length = options, laid, seed, kind == "one_pass"
        strided = kind == "one_pass" and method.options.long_history == "strided"
        self.samples = Samples.of(laid.degrees.cpu().numpy(), self.window, kind, strided)
        if not len(self.samples.users):
            raise RepriseError("training data", expected="a user with two items or more", found="none")
        self.sizes = np.ones_like(self.samples.counts) if kind == "last_window" else self.samples.counts
        # Batches are equal shares of the epoch and no smaller than the largest window, so that none is left empty.
        self.batch = max(options.batch, int(self.sizes.max()))
        super().__init__(method, device, phase, max(1, int(self.sizes.sum()) // self.batch))
        self.unmet = _unmet(interactions, method.avoid) if method.negatives else None
        self.generator = torch.Generator(device)
        self.optimiser = torch.optim.Adam(method.parameters(), lr=options.learning_rate, fused=True)
        self.epoch: Epoch | None = None

    def _step(self) -> Tensor:
        number, place = divmod(self.steps, self.steps_per_epoch)
        if place == 0 or self.epoch is None:
            self.epoch = self._order(number)
        drawn = derived_seed(self.seed, f"{self.phase}/step/{self.steps}")
        torch.manual_seed(drawn)
        self.generator.manual_seed(drawn)
        self.method.train()
        batch = self._batch(self.epoch, place)
        self.optimiser.zero_grad(set_to_none=True)  # first: the loss takes as much memory as the old gradients hold
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "mixed"):
            loss = self.method.loss(batch)
        loss.backward()
        self.optimiser.step()
        self.method.eval()
        return loss.detach()

    def _order(self, number: int) -> Epoch:
        """Shuffle, sort by length within pools if `by_length`, cut into batches, and shuffle those."""
        rng = np.random.default_rng(derived_seed(self.seed, f"{self.phase}/order/{number}"))
        order = rng.permutation(len(self.sizes))
        if self.by_length:
            pool = (np.cumsum(self.sizes[order]) - 1) // (POOL * self.batch)
            order = order[np.lexsort((self.samples.ends[order], pool))]
        before = np.cumsum(self.sizes[order]) - self.sizes[order]
        share = before * self.steps_per_epoch // self.sizes.sum()
        batch = rng.permutation(self.steps_per_epoch)[share]
        lengths = np.minimum(self.samples.ends[order], self.window)
        by_batch = np.lexsort([batch] if self.by_length else [-lengths, batch])
        order, lengths = order[by_batch], lengths[by_batch]
        columns = np.stack([part[order] for part in vars(self.samples).values()])
        bounds = np.searchsorted(batch[by_batch], np.arange(self.steps_per_epoch + 1))
        totals = np.add.reduceat(columns[2], bounds[:-1])
        parts = [self._parts(lengths[start:stop]) for start, stop in itertools.pairwise(bounds.tolist())]
        return Epoch(torch.from_numpy(columns).to(self.device), bounds.tolist(), totals.tolist(), parts)

    def _parts(self, lengths: np.ndarray) -> list[tuple[int, int, int]]:
        """Cut a batch whose windows have `lengths` into parts, as `Epoch` has them."""
        if self.by_length:
            return [(0, len(lengths), int(lengths.max()))]
        cuts = np.unique(np.linspace(0, len(lengths), PARTS[self.device.type] + 1).astype(int)).tolist()
        return [(start, stop, int(lengths[start])) for start, stop in itertools.pairwise(cuts)]  # longest first

    def _batch(self, epoch: Epoch, place: int) -> Targets:
        users, ends, counts = epoch.columns[:, epoch.bounds[place] : epoch.bounds[place + 1]]
        total, width = epoch.totals[place], epoch.parts[place][0][2]
        more = int(self.method.holds_target)
        windows = cut(self.data, users, ends + more, min(width + more, self.window))
        parts = tuple(windows.part(start, stop, min(longest + more, self.window))
                      for start, stop, longest in epoch.parts[place])
        rows = torch.arange(len(users), device=self.device)
        owner = torch.repeat_interleave(rows, counts, output_size=total)
        back = torch.cumsum(counts, 0)[owner] - torch.arange(total, device=self.device)  # counts..1 in every window
        places = owner * width + windows.lengths[owner] - back
        items = self.data.items[(self.data.offsets[users] + ends)[owner] - back + 1]
        negatives = items.new_empty(total, 0)
        if self.unmet:
            chance = torch.rand(
                (total, self.method.negatives), generator=self.generator, device=self.device, dtype=torch.float64
            )
            negatives = self.unmet.at(users[owner][:, None].expand_as(chance), chance)
        return Targets(windows, places, items, negatives, ends, parts)

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, object]) -> None:
        """Put back what `state` gave."""
        super().restore(tensors, meta)
        self.epoch = None
