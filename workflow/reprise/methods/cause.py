"""CausE: one model of what was shown by habit, one of what was shown evenly, held close to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.methods import Pairs, Wrapper, binary_cross_entropy, once
from reprise.models import FactorModel, take
from reprise.settings import Field, Settings


class Options(Settings):
    """Settings of CausE."""

    penalty: Literal["bce_mse", "criteo_l1", "repo_l2"] = Field(
        description="distance of the twins' rows; bce_mse: mean square over distinct rows, as in DICE's code; "
        "criteo_l1: L1 to a fixed twin; repo_l2: root of the summed squares of rows of length 1, to a fixed twin"
    )
    weight: float = Field(ge=0, description="weight of that distance")
    share: float = Field(gt=0, lt=1, description="share of the training rows that is the treatment, even over items")
    shared_users: bool = Field(description="whether both models have one user table")


class Method(Wrapper):
    """L = binary cross-entropy of a part's pairs under that part's model + weight x distance of the models' rows.

    The control part is what remains when the treatment has been drawn. Ranking: the control model's score.
    """

    source = "Bonner, Vasile: Causal Embeddings for Recommendation (RecSys 2018), as tsinghua-fib-lab/DICE has it"

    def __init__(self, options: Options, model: FactorModel, interactions: Interactions, generator: torch.Generator):
        control, treatment = item_uniform_parts(interactions, options.share, generator)
        super().__init__(model.on(control, generator), interactions)
        self.options = options
        self.parts = tuple(_Part(**vars(part), whole=interactions) for part in (control, treatment))
        self.twin = model.on(treatment, generator)
        if options.shared_users:
            # The twin borrows the table without owning it: it is saved, and moved by Adam, once.
            del self.twin.user
            object.__setattr__(self.twin, "user", self.model.user)

    def model_of(self, part: int) -> FactorModel:
        """The control model (0) or its twin (1)."""
        return (self.model, self.twin)[part]

    def loss(self, batch: Pairs) -> Tensor:
        """Binary cross-entropy and the weighted distance of a batch; returns a scalar."""
        twin = self.model_of(1 - batch.part).represent(batch.users)
        items = torch.cat([batch.positives, batch.negatives])
        distance = self._distance(torch.cat([batch.good, batch.bad]), take(twin.item, items), items, len(twin.item))
        if not self.options.shared_users:
            distance = distance + self._distance(batch.user, twin.user, batch.users, len(self.model.user))
        return binary_cross_entropy(batch.positive, batch.negative) + self.options.weight * distance

    def _distance(self, rows: Tensor, twins: Tensor, ids: Tensor, size: int) -> Tensor:
        """How far `rows` [N, D] of `ids` [N], of `size` there are, lie from their `twins` [N, D]; returns a scalar."""
        if self.options.penalty == "bce_mse":
            weights = once(ids, size)
            return weights @ (rows - twins).square().mean(1) / weights.sum()
        twins = twins.detach()
        if self.options.penalty == "criteo_l1":
            return (rows - twins).abs().sum(1).mean()
        normal = nn.functional.normalize
        return (normal(rows) - normal(twins)).square().sum().clamp(min=1e-12).sqrt()


@dataclass(frozen=True)
class _Part(Interactions):
    """A part whose `distinct` pairs are those of all the rows: no negative is an item of the user's other part."""

    whole: Interactions

    def distinct(self) -> Interactions:
        """Each pair of the whole once."""
        return self.whole.distinct()


def item_uniform_parts(
    interactions: Interactions, share: float, generator: torch.Generator
) -> tuple[Interactions, Interactions]:
    """Draw `share` of the rows, each with a chance inverse to its item's count; return what remains and what was drawn.

    Without replacement, by the smallest of exponential times (Efraimidis & Spirakis 2006), which is drawing one after
    the other. The last row of each user and of each item is not drawn, so that whoever had rows keeps one. `generator`
    is on the CPU: the parts do not depend on the kind of device.
    """
    device, users, items = interactions.items.device, interactions.users.cpu(), interactions.items.cpu()
    times = torch.empty(len(items), dtype=torch.float64).exponential_(generator=generator)
    times *= interactions.counts.cpu()[items]
    last = torch.zeros(len(items), dtype=torch.bool)
    for ids, size in ((users, interactions.n_users), (items, interactions.n_items)):
        latest = torch.zeros(size, dtype=torch.float64).scatter_reduce(0, ids, times, "amax")
        last |= times == latest[ids]
    times[last] = torch.inf
    wanted = min(round(share * len(items)), int((~last).sum()))
    drawn = torch.zeros_like(last)
    drawn[times.topk(wanted, largest=False).indices] = True
    drawn = drawn.to(device)
    return interactions.only(~drawn), interactions.only(drawn)
