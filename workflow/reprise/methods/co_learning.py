"""Next item, with items and providers learned together: both summaries of a prefix should find each other."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reprise.contrast import nt_xent, one_way
from reprise.data.interactions import Interactions
from reprise.errors import RepriseError
from reprise.losses import softmax_over_items
from reprise.methods.next_item import NextItem, NextItemOptions, Targets
from reprise.models.sequential import SequenceModel
from reprise.models.sequential.streams import TwoStreams
from reprise.settings import Field

CONTRASTS = {"nt_xent": nt_xent, "one_way": one_way}


class Options(NextItemOptions):
    """Settings of the objective."""

    weight: float = Field(ge=0, description="lambda, of the contrastive loss; 0: it is not computed")
    temperature: float = Field(gt=0, description="tau, by which inner products are divided")
    contrast: Literal["nt_xent", "one_way"] = Field(
        description="each of both summaries against all others of the batch; or h_i against the batch's h_p"
    )
    same_user: Literal["negatives", "excluded"] = Field(
        description="what other prefixes of a user are in the batch: negatives like all others, or left out"
    )
    samples: Literal["one_pass", "per_prefix"] = Field(
        description="as of next_item; negatives are the batch's, and one pass puts a user's prefixes into one batch"
    )


class Method(NextItem):
    """L = CE(h_i E', target) + weight * CL(h_i, h_p), means over a batch's targets, plus the model's own penalty."""

    source = "Item-Provider Co-learning (SIGIR 2022, doi 10.1145/3477495.3531756), Eq. 12; nt_xent: its code"
    trainer = "sequences"

    def __init__(
        self, options: Options, model: SequenceModel, interactions: Interactions, generator: torch.Generator
    ):
        if not isinstance(model, TwoStreams):
            raise RepriseError(
                f"{type(model).__module__} with co_learning", expected="a model of items and their providers",
                found="one of items alone", fix="choose the method next_item",
            )
        super().__init__(options, model, interactions, generator)
        if options.weight and options.samples == "one_pass" and not model.causal_streams:
            raise RepriseError(
                f"{type(model).__module__}, samples: one_pass with weight {options.weight:g}",
                expected="samples: per_prefix, as one pass does not give the providers' summary after each item",
                found="one_pass", fix="set samples: per_prefix, or weight: 0",
            )

    def loss(self, batch: Targets) -> Tensor:
        """The loss of a batch; returns a scalar."""
        options, (table, bias) = self.options, self.model.output()
        items, providers = self.both(batch) if options.weight else (self.summaries(batch), None)
        loss = softmax_over_items(items, table, batch.items, bias, cells=options.logits) + self.model.penalty()
        if providers is None:
            return loss
        users = batch.windows.users[batch.places // batch.windows.items.shape[1]]
        apart = users if options.same_user == "excluded" else None
        return loss + options.weight * CONTRASTS[options.contrast](items, providers, options.temperature, apart)

    def summaries(self, batch: Targets, model: SequenceModel | None = None) -> Tensor:
        """What the model, or another, knows of the items before each target, [T, D]."""
        if self.options.samples == "per_prefix":  # each window ends before its one target
            return batch.of_parts((model or self.model).last)
        return super().summaries(batch, model)

    def both(self, batch: Targets) -> tuple[Tensor, Tensor]:
        """h_i and h_p before each target, [T, D] each."""
        if self.options.samples == "per_prefix":
            return tuple(map(torch.cat, zip(*map(self.model.last_streams, batch.parts), strict=True)))
        return tuple(map(batch.at_places, zip(*map(self.model.streams, batch.parts), strict=True)))
