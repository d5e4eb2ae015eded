"""IPSRec-S: one Transformer over a window's items and, behind them, their providers."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.data.windows import Windows
from reprise.models import take
from reprise.models.sequential.streams import StreamOptions, TwoStreams, ends
from reprise.models.sequential.transformer import Encoder, seen
from reprise.settings import Field


class Options(StreamOptions):
    """Settings of IPSRec-S."""

    mask: Literal["concat_causal", "aligned_causal", "bidirectional"] = Field(
        description="item t sees items up to t, provider t all items and the providers up to t; or both see both up to "
        "t; or everything sees everything"
    )


class Model(TwoStreams):
    """[h_i ; h_p] = Transformer([x_1..x_L ; z_1..z_L]) at the last item and at the last provider."""

    source = "Item-Provider Co-learning (SIGIR 2022, doi 10.1145/3477495.3531756), IPSRec-S; concat_causal: its code"

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(options, interactions, generator)
        self.mask = options.mask
        self.causal, self.causal_streams = options.mask != "bidirectional", options.mask == "aligned_causal"
        self.encoder = Encoder(options, generator, interactions.items.device)

    def states(self, windows: Windows) -> Tensor:
        """[B, L, D]."""
        if self.mask == "concat_causal":  # items see no provider, so theirs is a causal pass of their own
            return self.encoder(self.items(windows))
        return self.streams(windows)[0]

    def last(self, windows: Windows) -> Tensor:
        """[B, D]."""
        if self.mask == "concat_causal":
            return self.encoder(self.items(windows), read=ends(windows)).squeeze(1)
        return self._joint(windows, ends(windows)).squeeze(1)

    def streams(self, windows: Windows) -> tuple[Tensor, Tensor]:
        """[B, L, D] each."""
        return self._joint(windows).chunk(2, 1) if self.causal_streams else super().streams(windows)

    def last_streams(self, windows: Windows) -> tuple[Tensor, Tensor]:
        """[B, D] each."""
        item = ends(windows)
        if self.mask == "concat_causal":
            # Without the padding between them, [x_1..x_n ; z_1..z_n] needs no other mask than a plain causal one.
            return self.encoder(self._close(windows), read=torch.cat([item, 2 * item + 1], 1)).unbind(1)
        return self._joint(windows, torch.cat([item, item + windows.items.shape[1]], 1)).unbind(1)

    def _joint(self, windows: Windows, read: Tensor | None = None) -> Tensor:
        """Both streams, one behind the other and each with its padding, [B, 2L, D]; or what stands at `read` [B, P]."""
        if self.mask == "bidirectional":
            mask = seen(windows).repeat(1, 1, 1, 2)
        else:  # padding stands behind everything real in both streams
            mask = torch.ones((windows.items.shape[1],) * 2, dtype=torch.bool, device=windows.items.device).tril()
            mask = mask.repeat(2, 2)[None, None]
        return self.encoder(torch.cat([self.items(windows), self.providers(windows)], 1), mask, causal=False, read=read)

    def _close(self, windows: Windows) -> Tensor:
        """The n real rows of both streams, [x_1..x_n ; z_1..z_n], and behind them whatever fills up to [B, 2L, D]."""
        rows = torch.cat([self.items(windows), self.providers(windows)], 1)
        size, length = rows.shape[1], ends(windows) + 1
        column = torch.arange(size, device=rows.device)
        source = torch.where(column < length, column, (column - length + size // 2).clamp(max=size - 1))
        return take(rows.flatten(0, 1), source + size * torch.arange(len(rows), device=rows.device)[:, None])
