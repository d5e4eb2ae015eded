"""IPSRec-C: a window's items and their providers, each looking where the other points (co-attention)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.data.windows import Windows
from reprise.models.sequential.streams import StreamOptions, TwoStreams, ends
from reprise.models.sequential.transformer import EPSILON, Blocks, at, normal, visible
from reprise.settings import Field

# Whether the query, and whether key and value, come from the other stream.
CROSSED = {"cross_query": (1, 0), "own": (0, 0), "cross_key_value": (0, 1)}


class Options(StreamOptions):
    """Settings of IPSRec-C."""

    layers: int = Field(ge=1, description="of co-attention")
    self_layers: int = Field(0, ge=0, description="Transformer blocks of each stream before co-attention")
    coattention: Literal["cross_query", "own", "cross_key_value"] = Field(
        description="what a stream takes from the other: the query; nothing; or key and value"
    )


class Model(TwoStreams):
    """Layers of two Transformer blocks, which exchange part of what attention reads; h_i and h_p at their ends.

    With `cross_query`, by head: items = softmax(Q_p(z) K_i(x)' / sqrt(D / heads)) V_i(x) and providers = softmax(Q_i(x)
    K_p(z)' / sqrt(D / heads)) V_p(z), causal, both from the layer's inputs x and z. What follows is the block's own:
    W_o, the residual of the own stream, feed-forward layers. So the other stream says where to look and adds nothing.
    """

    source = "Item-Provider Co-learning (SIGIR 2022, doi 10.1145/3477495.3531756), IPSRec-C; Eq. 7 to 11: own"
    causal = True
    causal_streams = True

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(options, interactions, generator)
        self.crossed = CROSSED[options.coattention]
        self.norms = nn.ModuleList(nn.LayerNorm(options.dim, EPSILON) for _ in range(2))
        self.dropout = nn.Dropout(options.dropout)
        self.encoders, self.blocks = (
            nn.ModuleList(Blocks(options, layers) for _ in range(2))
            for layers in (options.self_layers, options.layers)
        )
        normal(self, generator)
        self.to(interactions.items.device)

    def states(self, windows: Windows) -> Tensor:
        """[B, L, D]."""
        return self._encoded(windows, wanted=1)[0]

    def last(self, windows: Windows) -> Tensor:
        """[B, D]."""
        return self._encoded(windows, ends(windows), wanted=1)[0].squeeze(1)

    def streams(self, windows: Windows) -> tuple[Tensor, Tensor]:
        """[B, L, D] each."""
        return tuple(self._encoded(windows))

    def last_streams(self, windows: Windows) -> tuple[Tensor, Tensor]:
        """[B, D] each."""
        return tuple(rows.squeeze(1) for rows in self._encoded(windows, ends(windows)))

    def _encoded(self, windows: Windows, read: Tensor | None = None, wanted: int = 2) -> list[Tensor]:
        """The first `wanted` of items and providers, [B, L, D] each; of the places `read` [B, P] alone, if given."""
        inputs = zip(self.encoders, self.norms, (self.items(windows), self.providers(windows)), strict=True)
        streams = [encoder(self.dropout(norm(rows))) for encoder, norm, rows in inputs]
        *layers, final = zip(*self.blocks, strict=True)
        for blocks in layers:
            streams = self._layer(blocks, streams)
        return self._layer(final, streams, read, wanted)

    def _layer(
        self, blocks: tuple[nn.Module, ...], streams: list[Tensor], read: Tensor | None = None, wanted: int = 2
    ) -> list[Tensor]:
        """One layer of co-attention; see `_encoded`."""
        parts = [block.split(rows, read) for block, rows in zip(blocks, streams, strict=True)]
        mask = None
        if read is not None:
            mask, streams = visible(None, True, read, streams[0].shape[1]), [at(rows, read) for rows in streams]
        of_query, of_key = self.crossed
        found = []
        for own in range(wanted):
            (query, _, _), (_, key, value) = parts[own ^ of_query], parts[own ^ of_key]
            found.append(blocks[own].join(streams[own], blocks[own].attend(query, key, value, mask, read is None)))
        return found
