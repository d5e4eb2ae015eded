"""Next item: a model of sequences learns to score, after every prefix of a history, the item that comes next."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.data.windows import Windows
from reprise.errors import RepriseError
from reprise.losses import bayesian_personalised, binary_over_sampled, sampled_softmax, softmax_over_items
from reprise.methods import Wrapper
from reprise.models import take
from reprise.models.sequential import SequenceModel
from reprise.settings import Field, Settings

SAMPLED = {"bce": binary_over_sampled, "bpr": bayesian_personalised, "sampled_softmax": sampled_softmax}


class SoftmaxOptions(Settings):
    """What every objective with a softmax over all items lets one set."""

    logits: int | None = Field(
        None, ge=1, description="scores in a block of the softmax, of which the loss over calibrated lists holds four; "
        "none: as many as suit the device. Bounds memory, and changes only the rounding of sums"
    )


class NextItemOptions(SoftmaxOptions):
    """What every objective lets one set whose targets are the items that come next."""

    samples: Literal["one_pass", "per_prefix"] = Field(
        description="every prefix a target, by one pass a user where the model is causal or by a window each"
    )
    long_history: Literal["exact", "strided"] = Field(
        "exact",
        description="of one_pass, targets beyond the first window: a window each; or windows that overlap by half, "
        "each for the targets in its newer half, whose prefixes are then cut, at worst to half a window",
    )


class Options(NextItemOptions):
    """Settings of the objective."""

    loss: Literal["softmax", "bce", "bpr", "sampled_softmax"] = Field(
        description="softmax over all items, or against sampled items that the user has not met"
    )
    negatives: int = Field(1, ge=1, description="M, sampled items a target; softmax takes none")
    avoid: Literal["trained", "all"] = Field(
        "trained",
        description="which items of a user are never sampled: those of what is trained on; or held-out ones, too, by "
        "which S3-Rec's code tells what not to push down",
    )
    samples: Literal["one_pass", "per_prefix", "last_window"] = Field(
        description="every prefix a target, by one pass a user where the model is causal or by a window each; or only "
        "the targets in a user's last window, and then a step counts windows"
    )


class Targets(NamedTuple):
    """A batch of windows and, flat, the T items that come next somewhere in them.

    Attributes
    ----------
    windows : Windows
        [B, L].
    places : Tensor [T] int64
        Where in the flattened windows [B * L] a target's prefix ends.
    items : Tensor [T] int64
        The targets.
    negatives : Tensor [T, M] int64
        Sampled items, or [T, 0].
    ends : Tensor [B] int64
        Among how many first items of its user a window holds the last.
    parts : tuple of Windows
        The same windows in the same order, those of like length together without the padding that the longest of all
        asks for: what is read a part at a time costs less. One part where all are of like length.
    """

    windows: Windows
    places: Tensor
    items: Tensor
    negatives: Tensor
    ends: Tensor
    parts: tuple[Windows, ...]

    def of_parts(self, read: Callable[[Windows], Tensor]) -> Tensor:
        """What `read` makes of the windows of each part, one after the other, [B, D]."""
        return torch.cat([read(part) for part in self.parts])

    def at_places(self, states: Sequence[Tensor]) -> Tensor:
        """Of the states [B_p, L_p, D] of each of `parts` those at `places`, [T, D]."""
        if len(states) == 1:
            return states[0].flatten(0, 1)[self.places]
        device, width = self.places.device, self.windows.items.shape[1]
        before = itertools.accumulate((len(part) * part.shape[1] for part in states), initial=0)
        first = torch.cat([torch.arange(len(part), device=device) * part.shape[1] + start
                           for part, start in zip(states, before, strict=False)])  # the place of each row's column 0
        return torch.cat([part.flatten(0, 1) for part in states])[first[self.places // width] + self.places % width]


class OfSequences(Wrapper):
    """What the trainer of sequences wants to know of a method."""

    trainer = "sequences"
    holds_target = False  # whether the last target stands in the window itself
    negatives = 0  # sampled items a target
    avoid = "trained"  # which items of a user are never sampled
    latest_only = False  # whether of a longer history only the last window's items are known


class NextItem(OfSequences):
    """What objectives on the next item share: the summary that the model has of each target's prefix."""

    def __init__(
        self, options: NextItemOptions, model: SequenceModel, interactions: Interactions, generator: torch.Generator
    ):
        super().__init__(model, interactions)
        if not model.causal and options.samples != "per_prefix":
            raise RepriseError(
                f"{type(model).__module__}, samples: {options.samples}",
                expected="samples: per_prefix, as the model reads whole windows", found=options.samples,
            )
        self.options = options

    def summaries(self, batch: Targets, model: SequenceModel | None = None) -> Tensor:
        """What the model, or another, knows before each target, [T, D]."""
        model = model or self.model
        if model.causal:
            return batch.at_places([model.states(part) for part in batch.parts])
        return batch.of_parts(model.last)


class Method(NextItem):
    """The mean over targets of the loss that the settings name, plus the model's own penalty."""

    source = "Hidasi et al. (ICLR 2016), Kang and McAuley (ICDM 2018); softmax: RecBole's default"
    trainer = "sequences"

    def __init__(
        self, options: Options, model: SequenceModel, interactions: Interactions, generator: torch.Generator
    ):
        super().__init__(options, model, interactions, generator)
        self.negatives = 0 if options.loss == "softmax" else options.negatives
        self.avoid = options.avoid

    def loss(self, batch: Targets) -> Tensor:
        """The loss of a batch; returns a scalar."""
        states = self.summaries(batch)
        table, bias = self.model.output()
        if self.options.loss == "softmax":
            return softmax_over_items(
                states, table, batch.items, bias, cells=self.options.logits) + self.model.penalty()
        ids = torch.cat([batch.items[:, None], batch.negatives], 1)
        logits = (take(table, ids) @ states[:, :, None]).squeeze(2).float()
        if bias is not None:
            logits = logits + bias[ids]
        return SAMPLED[self.options.loss](logits[:, 0], logits[:, 1:]) + self.model.penalty()
