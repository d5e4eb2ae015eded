"""What models of items and their providers share: a window read as two aligned streams, with a summary of each."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.data.windows import Windows
from reprise.models import take
from reprise.models.sequential import SequenceModel, embedding, feature
from reprise.models.sequential.transformer import DEVIATION, TransformerOptions
from reprise.settings import Field


class StreamOptions(TransformerOptions):
    """Settings of every model of two streams."""

    tie: bool = Field(True, description="whether the items' input table is the output table, too")
    providers: Literal["known", "permuted"] = Field(
        "known", description="of items; or dealt out anew at random among the items, as a control"
    )


class TwoStreams(SequenceModel):
    """A model that reads a window as its items and as their providers; ranking reads its summary of the items.

    x_t = item row + position row + segment row 0, z_t = provider row + position row + segment row 1, with a table of
    positions each. Padding has a row in both tables. The output table is the input table of items, or a free one.

    Attributes
    ----------
    causal : bool
        As of every model of sequences; of the items' summaries.
    causal_streams : bool
        Whether `streams` does the same for the providers' summaries, too.
    """

    causal_streams = False

    def __init__(self, options: StreamOptions, interactions: Interactions, generator: torch.Generator):
        super().__init__(interactions, options.window)
        dim, device, providers = options.dim, interactions.items.device, feature(interactions, "provider")
        self.item = embedding(self.n_items + 1, dim, DEVIATION, generator, device)
        self.provider = embedding(providers.size + 1, dim, DEVIATION, generator, device)
        self.item_position, self.provider_position = (
            embedding(options.window, dim, DEVIATION, generator, device) for _ in range(2)
        )
        self.segment = embedding(2, dim, DEVIATION, generator, device)
        self.free = None if options.tie else embedding(self.n_items, dim, DEVIATION, generator, device)
        # Drawn in either case, so that a run and its control start from the same weights.
        order, permuted = torch.randperm(self.n_items, generator=generator), options.providers == "permuted"
        of_items = providers.single()[order.to(device)] if permuted else providers.single()
        of_padding = of_items.new_full((1,), providers.size)
        self.register_buffer("provider_of", torch.cat([of_items, of_padding]), persistent=permuted)

    def items(self, windows: Windows) -> Tensor:
        """x, [B, L, D]."""
        width = windows.items.shape[1]
        return take(self.item, windows.items) + (self.item_position[:width] + self.segment[0])

    def providers(self, windows: Windows) -> Tensor:
        """z, [B, L, D]."""
        width = windows.items.shape[1]
        rows = take(self.provider, self.provider_of[windows.items])
        return rows + (self.provider_position[:width] + self.segment[1])

    def streams(self, windows: Windows) -> tuple[Tensor, Tensor]:
        """Summaries of items and of providers after each position, [B, L, D] each; only where `causal_streams`."""
        raise RuntimeError(f"{type(self).__module__} defines no streams")

    def last_streams(self, windows: Windows) -> tuple[Tensor, Tensor]:
        """The summaries h_i and h_p of whole windows, [B, D] each."""
        raise RuntimeError(f"{type(self).__module__} defines no last_streams")

    def output(self) -> tuple[Tensor, Tensor | None]:
        """The input table without its padding row, or the free table."""
        return self.item[: self.n_items] if self.free is None else self.free, None


def ends(windows: Windows) -> Tensor:
    """The last real place of each window, [B, 1]; the first of a window without any."""
    return windows.lengths.clamp(min=1)[:, None] - 1
