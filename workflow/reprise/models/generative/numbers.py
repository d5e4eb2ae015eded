"""From pieces that a model wrote to items: the digits of the last word, read as a number."""

from __future__ import annotations

import torch
from torch import Tensor

NOTHING, UNKNOWN = -1, -2  # no digits; a number that no item has
MANY = 10**12  # numbers stop growing here: no item has one


class Numbers:
    """Reads numbers: of each piece the digits behind its last space, and whether there is a space.

    `numbers` [n_items] are those under which the items are written, from 1.
    """

    def __init__(self, texts: list[str], numbers: Tensor):
        device = numbers.device
        last = [text.rpartition(" ")[2] for text in texts]
        digits = ["".join(letter for letter in text if letter in "0123456789") for text in last]
        self.begins = torch.tensor([" " in text for text in texts], device=device)
        self.value = torch.tensor([min(int(one or 0), MANY) for one in digits], device=device)
        self.power = torch.tensor([min(10 ** len(one), MANY) for one in digits], device=device)
        self.item = torch.full((int(numbers.max()) + 2,), UNKNOWN, dtype=torch.int64, device=device)
        self.item[numbers] = torch.arange(len(numbers), device=device)

    def read(self, tokens: Tensor) -> Tensor:
        """The items that `tokens` [..., L] name, [...]; `NOTHING` without digits, `UNKNOWN` for any other number.

        Leading zeros change no number.
        """
        value = torch.zeros_like(tokens[..., 0])
        some = torch.zeros_like(value, dtype=torch.bool)
        for piece in tokens.unbind(-1):
            begins, power = self.begins[piece], self.power[piece]
            before = torch.where(begins, 0, value)
            # The product could pass 2^63, so it is only taken where it stays below MANY.
            longer = torch.where(before > MANY // power, MANY, before * power)
            value = torch.minimum(longer + self.value[piece], torch.full_like(value, MANY))
            some = (some & ~begins) | (power > 1)
        known = self.item[value.clamp(max=len(self.item) - 1)]
        return torch.where(some, known, NOTHING)
