"""A prefix trie: which pieces may come next in one of many sequences."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class Trie:
    """The sequences as one sorted list of edges, so that a step is a search in it and no host is asked.

    Nodes are numbered breadth first, 0 the root; edge e leads to node e + 1. An edge is kept as
    node * vocabulary + piece.
    """

    def __init__(self, sequences: Tensor, lengths: Tensor, vocabulary: int):
        """Take in `sequences` [N, L] of `lengths` [N], of pieces below `vocabulary`."""
        rows, counts = sequences.cpu().numpy(), lengths.cpu().numpy()
        node, edges, known = np.zeros(len(rows), dtype=np.int64), [], 0
        for column in range(int(counts.max())):
            going = counts > column
            keys, place = np.unique(node[going] * vocabulary + rows[going, column], return_inverse=True)
            node[going] = known + place + 1
            edges.append(keys)
            known += len(keys)
        self.edges = torch.from_numpy(np.concatenate(edges)).to(sequences.device)
        self.vocabulary = vocabulary

    def allowed(self, nodes: Tensor) -> Tensor:
        """Which pieces may follow at `nodes` [M], [M, vocabulary] bool."""
        first, last = (torch.searchsorted(self.edges, (nodes + more) * self.vocabulary) for more in (0, 1))
        owner = torch.repeat_interleave(torch.arange(len(nodes), device=nodes.device), last - first)
        before = (last - first).cumsum(0) - (last - first)
        edge = torch.arange(len(owner), device=nodes.device) - before[owner] + first[owner]
        found = torch.zeros(len(nodes), self.vocabulary, dtype=torch.bool, device=nodes.device)
        found[owner, self.edges[edge] % self.vocabulary] = True
        return found

    def step(self, nodes: Tensor, pieces: Tensor) -> Tensor:
        """The node behind `pieces` at `nodes`; a node without children where there is no such edge."""
        keys = nodes * self.vocabulary + pieces
        edge = torch.searchsorted(self.edges, keys).clamp(max=len(self.edges) - 1)
        return torch.where(self.edges[edge] == keys, edge + 1, len(self.edges) + 1)
