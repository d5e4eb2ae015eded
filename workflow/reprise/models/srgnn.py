"""SR-GNN: a gated graph network over the window as a graph of its items."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.data.windows import Windows
from reprise.models import take
from reprise.models.sequential import SequenceModel, real, uniform
from reprise.settings import Field, Settings


class Options(Settings):
    """Settings of SR-GNN."""

    dim: int = Field(ge=1, description="D, length of a row")
    window: int = Field(ge=1, description="L, items of a history that are read")
    steps: int = Field(ge=1, description="times that the graph's nodes hear from their neighbours")


class Model(SequenceModel):
    """h = W [sum_t a_t h_t ; h_last] + b, a_t = q' sigmoid(W_1 h_last + W_2 h_t + b); input table = output table.

    h_t is the state of the node of item t. A step is h <- GRU(h, [In (W_in h + b) + b' ; Out (W_out h + b) + b']). In
    and Out hold the edges u -> v between items that followed one another, each once, divided by how many edges enter v
    (row v of In) or leave u (row u of Out).
    """

    source = "Wu et al.: SR-GNN (AAAI 2019), as RecBole has it"

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(interactions, options.window)
        dim, device = options.dim, interactions.items.device
        self.steps = options.steps
        self.item = nn.Parameter(torch.empty(self.n_items + 1, dim))
        self.incoming, self.outgoing = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.incoming_bias, self.outgoing_bias = nn.Parameter(torch.empty(dim)), nn.Parameter(torch.empty(dim))
        self.gated = nn.GRUCell(2 * dim, dim)
        self.of_last, self.of_each = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.attention, self.joined = nn.Linear(dim, 1, bias=False), nn.Linear(2 * dim, dim)
        uniform(self, dim**-0.5, generator)
        self.to(device)

    def last(self, windows: Windows) -> Tensor:
        """[B, D]."""
        into, out_of = graph(windows)
        states = take(self.item, windows.items)
        for _ in range(self.steps):
            heard = torch.cat([
                into @ self.incoming(states) + self.incoming_bias, out_of @ self.outgoing(states) + self.outgoing_bias
            ], 2)
            states = self.gated(heard.flatten(0, 1), states.flatten(0, 1)).view_as(states)
        last = states[torch.arange(len(states), device=states.device), windows.lengths.clamp(min=1) - 1]
        attention = self.attention((self.of_last(last)[:, None] + self.of_each(states)).sigmoid())
        summary = (attention * states * real(windows)[:, :, None]).sum(1)
        return self.joined(torch.cat([summary, last], 1))

    def output(self) -> tuple[Tensor, Tensor | None]:
        """The input table without its padding row."""
        return self.item[: self.n_items], None


@torch.no_grad()
def graph(windows: Windows) -> tuple[Tensor, Tensor]:
    """The matrices In and Out of windows, [B, L, L] each, over columns rather than nodes.

    A column's row is that of its item's node, so columns of one item keep equal states; as a neighbour, a node counts
    in the column where its item stands first.
    """
    items, inside = windows.items, real(windows)
    same = (items[:, :, None] == items[:, None, :]) & inside[:, :, None] & inside[:, None, :]
    follows = same[:, :, :-1].float() @ same[:, 1:, :].float() > 0  # [t, s]: somewhere, item s comes after item t
    first = ~same.tril(-1).any(2)
    return tuple(
        edges / edges.sum(2, keepdim=True).clamp(min=1)
        for edges in ((matrix & first[:, None, :]).float() for matrix in (follows.mT, follows))
    )
