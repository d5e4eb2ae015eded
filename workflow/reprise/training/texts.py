"""The trainer of methods that write: texts of like length, AdamW, a rate that rises and falls on a schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from reprise import processes
from reprise.data.interactions import Interactions
from reprise.errors import RepriseError
from reprise.methods.writing import Texts, Writer
from reprise.training.build import derived_seed
from reprise.training.loop import Loop
from reprise.training.options import Training

POOL = 64  # batches that are drawn together and sorted by length


@dataclass(frozen=True)
class Epoch:
    """The samples of one epoch in the order of its batches: `columns` [C, S] on the device, batch b from `bounds[b]`
    to `bounds[b + 1]`; `pieces` [batches] read in each."""

    columns: Tensor
    bounds: list[int]
    pieces: list[int]


class Loss(nn.Module):
    """A method's loss as a module, whose gradients several processes can share."""

    def __init__(self, method: Writer):
        super().__init__()
        self.method = method

    def forward(self, batch: Texts, some: slice) -> Tensor:
        """What `some` of the texts add to the loss of a batch."""
        return self.method.loss(batch, some)


class Trainer(Loop):
    """A step is `accumulate` batches of `batch` texts; an epoch sees every sample of the method once.

    The learning rate rises from 0 in the first `warm_up` of the schedule's steps and falls to 0 at its end, both
    evenly. Nothing random is carried from batch to batch: an epoch's samples and their order follow from its number,
    and before every batch the global generators, from which dropout and the method draw, are seeded by its number.

    Several processes deal the batches of a step, cut into parts where they could not have the same number each. The
    step is that of one process, up to the rounding of sums, and to dropout in the parts of a batch that was cut.
    """

    mixed = True
    scheduled = True

    def __init__(self, method: Writer, interactions: Interactions, options: Training, seed: int, phase: str):
        if options.schedule is None or options.l2:
            raise RepriseError("training", expected="schedule, and no l2: AdamW has a weight decay of its own",
                               found="no schedule" if options.schedule is None else f"l2: {options.l2}")
        self.options, self.schedule, self.seed = options, options.schedule, seed
        count = method.samples(np.random.default_rng(0)).shape[1]
        if not count:
            raise RepriseError("training data", expected="a user with two items or more", found="none")
        self.batches = -(-count // options.batch)
        device = interactions.items.device
        super().__init__(method, device, phase, -(-self.batches // self.schedule.accumulate))
        self.optimiser = torch.optim.AdamW(
            method.parameters(), lr=options.learning_rate, eps=self.schedule.epsilon,
            weight_decay=self.schedule.weight_decay, fused=True,
        )
        self.loss = processes.shared(Loss(method))
        self.epoch: Epoch | None = None
        self.pieces = 0  # read since it was made

    def _step(self) -> Tensor:
        number, place = divmod(self.steps, self.steps_per_epoch)
        if place == 0 or self.epoch is None:
            self.epoch = self._order(number)
        self.method.train()
        self.optimiser.zero_grad(set_to_none=True)
        first = place * self.schedule.accumulate
        several = range(first, min(first + self.schedule.accumulate, self.batches))
        mine, weight = self._dealt(several)
        count = processes.place()[1]
        total = torch.zeros((), device=self.device)
        for turn, (batch, some) in enumerate(mine, 1):
            columns = self.epoch.columns[:, self.epoch.bounds[batch] : self.epoch.bounds[batch + 1]]
            number = self.steps * self.schedule.accumulate + batch - first
            torch.manual_seed(derived_seed(self.seed, f"{self.phase}/step/{number}"))
            texts = self.method.texts(columns)
            if some.start:  # each part of a batch has dropout of its own
                torch.manual_seed(derived_seed(self.seed, f"{self.phase}/step/{number}/{some.start}"))
            with processes.accumulating(self.loss, turn < len(mine)):
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "mixed"):
                    loss = self.loss(texts, some) * weight / len(several)
                (loss * count).backward()  # what is exchanged is a mean, and a step's gradient is a sum
            total += loss.detach()
        self.pieces += sum(self.epoch.pieces[batch] for batch in several)
        if self.schedule.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.method.parameters(), self.schedule.clip)
        self.optimiser.param_groups[0]["lr"] = self.options.learning_rate * self.share(self.steps)
        self.optimiser.step()
        self.method.eval()
        return processes.summed(total)

    def _dealt(self, several: range) -> tuple[list[tuple[int, slice]], float]:
        """This process's share of a step's batches: which, and of each which texts; and what they weigh.

        That is 1, or 0 for a process for which nothing was left: it has to take part in the exchange all the same.
        """
        number, count = processes.place()
        parts = count // math.gcd(count, self.schedule.accumulate)
        bounds = self.epoch.bounds
        work = [(batch, slice(part, None, parts)) for batch in several
                for part in range(min(parts, bounds[batch + 1] - bounds[batch]))]
        mine = work[number::count]
        return mine or work[:1], float(bool(mine))

    def share(self, step: int) -> float:
        """Which share of the learning rate a step takes: transformers' `get_linear_schedule_with_warmup`."""
        steps = (self.schedule.over_epochs or self.options.max_epochs) * self.steps_per_epoch
        rising = int(self.schedule.warm_up * steps)
        if step < rising:
            return step / rising
        return max(0.0, (steps - step) / max(1, steps - rising))

    def _order(self, number: int) -> Epoch:
        """Draw, shuffle, sort by length within pools, cut into batches, and shuffle those."""
        rng = np.random.default_rng(derived_seed(self.seed, f"{self.phase}/order/{number}"))
        samples = self.method.samples(rng)
        sizes, batch = self.method.sizes(samples), self.options.batch
        order = rng.permutation(samples.shape[1])
        order = order[np.lexsort((sizes[order], np.arange(len(order)) // (POOL * batch)))]
        of_batch = np.arange(len(order)) // batch
        turn = rng.permutation(self.batches)
        order = order[np.argsort(turn[of_batch], kind="stable")]
        counts = np.bincount(turn[of_batch], minlength=self.batches)
        bounds = np.concatenate([[0], np.cumsum(counts)])
        pieces = np.add.reduceat(sizes[order], bounds[:-1])
        return Epoch(torch.from_numpy(samples[:, order]).to(self.device), bounds.tolist(), pieces.tolist())

    def pace(self) -> dict[str, str]:
        """Pieces that were read a second."""
        return {"tokens/s": f"{self.pieces / max(self.seconds, 1e-9):,.0f}"}

    def state(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Everything that the next step depends on, the rate apart, which follows from the step."""
        tensors, meta = super().state()
        return tensors, meta | {"pieces": self.pieces}

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, object]) -> None:
        """Put back what `state` gave."""
        super().restore(tensors, meta)
        self.epoch, self.pieces = None, meta["pieces"]
