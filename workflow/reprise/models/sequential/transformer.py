"""The Transformer block of S3-Rec's and RecBole's SASRec: post-norm, with dropout after each of its two parts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reprise.data.windows import Windows
from reprise.errors import RepriseError
from reprise.settings import Field, Settings

EPSILON = 1e-12  # of every LayerNorm
DEVIATION = 0.02  # of the initial weights


class TransformerOptions(Settings):
    """Settings that models made of these blocks share."""

    dim: int = Field(ge=1, description="D, length of a row")
    window: int = Field(ge=1, description="L, items of a history that are read")
    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    inner: int = Field(ge=1, description="width of the feed-forward layers")
    dropout: float = Field(ge=0, lt=1, description="on the inputs and after each part of a block")
    attention_dropout: float = Field(ge=0, lt=1, description="on the weights of attention")


class Block(nn.Module):
    """a = LN(x + Drop(W_o Attn(x))), y = LN(a + Drop(W_2 GELU(W_1 a))).

    Attn is softmax(Q K' / sqrt(D / heads)) V by head, with dropout on its weights.
    """

    def __init__(self, dim: int, heads: int, inner: int, dropout: float, attention_dropout: float):
        super().__init__()
        if dim % heads:
            raise RepriseError("model.heads", expected=f"a divisor of dim, {dim}", found=str(heads))
        self.heads, self.attention_dropout = heads, attention_dropout
        self.inputs, self.outputs = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.widen, self.narrow = nn.Linear(dim, inner), nn.Linear(inner, dim)
        self.attended, self.mixed = nn.LayerNorm(dim, EPSILON), nn.LayerNorm(dim, EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, rows: Tensor, mask: Tensor | None, causal: bool, read: Tensor | None = None) -> Tensor:
        """Rows [B, L, D] to rows [B, L, D]; `mask` [B, 1, L, L] bool is true where a query (row) may see a key.

        The mask may have size 1 in place of B and of the first L. Of rows at the places `read` [B, P] alone, if given:
        then the result is [B, P, D].
        """
        parts = self.split(rows, read)
        if read is not None:
            mask, causal, rows = visible(mask, causal, read, rows.shape[1]), False, at(rows, read)
        return self.join(rows, self.attend(*parts, mask, causal))

    def split(self, rows: Tensor, read: Tensor | None = None) -> tuple[Tensor, ...]:
        """Query, key and value by head, [B, heads, L, D / heads] each; queries of the places `read` alone, if given."""
        if read is None:
            parts = self.inputs(rows).chunk(3, dim=-1)
        else:
            dim, weight, bias = rows.shape[-1], self.inputs.weight, self.inputs.bias
            query = nn.functional.linear(at(rows, read), weight[:dim], bias[:dim])
            parts = query, *nn.functional.linear(rows, weight[dim:], bias[dim:]).chunk(2, dim=-1)
        return tuple(part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        """What each query finds, its heads side by side, [B, queries, D]."""
        attended = nn.functional.scaled_dot_product_attention(
            query, key, value, mask, dropout_p=self.attention_dropout if self.training else 0.0, is_causal=causal
        )
        return attended.transpose(1, 2).flatten(2)

    def join(self, rows: Tensor, attended: Tensor) -> Tensor:
        """From rows and what they found, [B, L, D] each, to the block's rows."""
        rows = self.attended(rows + self.dropout(self.outputs(attended)))
        return self.mixed(rows + self.dropout(self.narrow(nn.functional.gelu(self.widen(rows)))))


class Blocks(nn.ModuleList):
    """Several blocks, one after the other; `layers`, if not as many as the options say."""

    def __init__(self, options: TransformerOptions, layers: int | None = None):
        super().__init__(
            Block(options.dim, options.heads, options.inner, options.dropout, options.attention_dropout)
            for _ in range(options.layers if layers is None else layers)
        )

    def forward(
        self, rows: Tensor, mask: Tensor | None = None, causal: bool = True, read: Tensor | None = None
    ) -> Tensor:
        """Encode rows [B, L, D].

        Windows stand at the left, so under a causal mask a real position never sees padding; without it (`causal`
        false) `mask` has to hide the padding. Where the rows at `read` [B, P] alone are wanted, the last block computes
        no others, and the result is [B, P, D].
        """
        for number, block in enumerate(self, 1):
            rows = block(rows, mask, causal, read if number == len(self) else None)
        return rows


class Encoder(nn.Module):
    """Several blocks over Drop(LN(rows))."""

    def __init__(self, options: TransformerOptions, generator: torch.Generator, device: torch.device):
        super().__init__()
        self.norm, self.dropout = nn.LayerNorm(options.dim, EPSILON), nn.Dropout(options.dropout)
        self.blocks = Blocks(options)
        normal(self, generator)
        self.to(device)

    def forward(
        self, rows: Tensor, mask: Tensor | None = None, causal: bool = True, read: Tensor | None = None
    ) -> Tensor:
        """Encode rows [B, L, D]; see `Blocks`."""
        return self.blocks(self.dropout(self.norm(rows)), mask, causal, read)


def at(rows: Tensor, read: Tensor) -> Tensor:
    """Of rows [B, L, D] those at the places `read` [B, P], [B, P, D]."""
    return rows[torch.arange(len(read), device=read.device)[:, None], read]


def visible(mask: Tensor | None, causal: bool, read: Tensor, length: int) -> Tensor | None:
    """What queries at the places `read` [B, P] may see of `length` keys, [B, 1, P, L]; see `Block`."""
    if causal:
        return (torch.arange(length, device=read.device) <= read[:, :, None])[:, None]
    if mask is None or mask.shape[2] == 1:
        return mask
    return at(mask.expand(len(read), -1, -1, -1).squeeze(1), read)[:, None]


def places(windows: Windows, window: int, counted_from: str) -> Tensor:
    """Which row of a table of `window` positions each column takes, [B, L].

    From the `start` the first item has row 0; from the `end`, as left padding puts it, the last item has the last row.
    """
    column = torch.arange(windows.items.shape[1], device=windows.lengths.device)
    if counted_from == "start":
        return column.expand_as(windows.items)
    return (column + window - windows.lengths[:, None]).clamp(max=window - 1)


def seen(windows: Windows) -> Tensor:
    """The mask [B, 1, 1, L] of attention in both directions: every real position; the first one always."""
    column = torch.arange(windows.items.shape[1], device=windows.lengths.device)
    return (column < windows.lengths.clamp(min=1)[:, None])[:, None, None, :]


def normal(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of linear layers from N(0, 0.02^2), on the CPU; biases 0, LayerNorm 1 and 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, 0, DEVIATION, generator=generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
