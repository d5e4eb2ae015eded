"""What is known of items (or users) beside who met whom: named lists of small integers, one list each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Lists:
    """One list of integers for each of N items, as one flat array with offsets.

    Attributes
    ----------
    values : Tensor [M] int64
        The lists, one after the other.
    offsets : Tensor [N + 1] int64
        `values[offsets[i]:offsets[i + 1]]` is the list of item i; it may be empty.
    """

    values: Tensor
    offsets: Tensor

    @classmethod
    def of(cls, values: np.ndarray, lengths: np.ndarray, device: torch.device | str = "cpu") -> Lists:
        """Lay out lists of `lengths` [N] whose `values` [M] follow one another."""
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        return cls(torch.from_numpy(values.astype(np.int64)).to(device), torch.from_numpy(offsets).to(device))

    @property
    def size(self) -> int:
        """One more than the largest value: how many rows a table of embeddings needs."""
        return int(self.values.max()) + 1 if len(self.values) else 0

    def single(self) -> Tensor:
        """The one value of every item, [N]; for lists that all have length 1."""
        if len(self.values) != len(self.offsets) - 1:
            raise ValueError(f"{len(self.values)} values for {len(self.offsets) - 1} items: expected one each")
        return self.values
