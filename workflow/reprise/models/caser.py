"""Caser: convolutions over the window as an image of L rows, and a row of the user."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.data.windows import Windows
from reprise.models import take
from reprise.models.sequential import SequenceModel, embedding, real
from reprise.settings import Field, Settings

GROUP = 25  # heights of horizontal filters that one convolution computes; fewer waste less, more start fewer


class Options(Settings):
    """Settings of Caser."""

    dim: int = Field(ge=1, description="D, length of a row")
    window: int = Field(ge=1, description="L, items of a history that are read")
    nv: int = Field(ge=1, description="vertical filters, each a weight an item of the window")
    nh: int = Field(ge=1, description="horizontal filters of each height 1..L")
    dropout: float = Field(ge=0, lt=1, description="on what the filters found")
    regularisation: float = Field(ge=0, description="weight of the sum of L2 norms, not squared")
    horizontal_penalty: bool = Field(description="whether the horizontal filters are in that sum")


class Model(SequenceModel):
    """h = ReLU(W' [ReLU(W Drop([v ; o]) + b) ; user row] + b'); the input table is the output table.

    X [L, D] holds the window's item rows, zeros behind its end. Vertical filter f gives the row sum_t f_t X_t.
    Horizontal filter F [h, D] of height h gives max over t of ReLU(<F, X_t..X_(t+h-1)> + b).
    """

    source = "Tang and Wang: Caser (WSDM 2018) with T = 1, as RecBole has it"

    def __init__(self, options: Options, interactions: Interactions, generator: torch.Generator):
        super().__init__(interactions, options.window)
        dim, length, device = options.dim, options.window, interactions.items.device
        self.weight, self.horizontal_penalty = options.regularisation, options.horizontal_penalty
        self.user = embedding(self.n_users, dim, 1 / dim, generator, device)
        self.item = embedding(self.n_items + 1, dim, 1 / dim, generator, device)
        # All heights in one tensor [L heights, nh, D, L rows]; height h has its first h rows, the others stay 0.
        height = torch.arange(1, length + 1)
        self.rows = (torch.arange(length) < height[:, None])[:, None, None, :].float().to(device)
        bound = (height * dim).float().rsqrt()[:, None]  # PyTorch's own of a convolution, here and below
        kernels = torch.empty(length, options.nh, dim, length).uniform_(-1, 1, generator=generator)
        biases = torch.empty(length, options.nh).uniform_(-1, 1, generator=generator)
        self.horizontal = nn.Parameter((kernels * bound[:, :, None, None]).to(device) * self.rows)
        self.horizontal_bias = nn.Parameter((biases * bound).to(device))
        self.vertical, self.vertical_bias = (
            nn.Parameter(torch.empty(shape).uniform_(-(length**-0.5), length**-0.5, generator=generator).to(device))
            for shape in ((options.nv, length), (options.nv,))
        )
        self.dropout = nn.Dropout(options.dropout)
        self.found = nn.Linear(options.nv * dim + options.nh * length, dim)
        self.joined = nn.Linear(2 * dim, dim)
        for layer in (self.found, self.joined):
            nn.init.xavier_normal_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
        self.to(device)

    def last(self, windows: Windows) -> Tensor:
        """[B, D]."""
        image = take(self.item, windows.items) * real(windows)[:, :, None]
        vertical = self.vertical[:, : image.shape[1]] @ image + self.vertical_bias[:, None]
        found = self.dropout(torch.cat([vertical.flatten(1), self._horizontal(image)], 1))
        joined = torch.cat([self.found(found).relu(), take(self.user, windows.users)], 1)
        return self.joined(joined).relu()

    def _horizontal(self, image: Tensor) -> Tensor:
        """Of `image` [B, W, D], W <= L, what each horizontal filter found over all of the window; [B, L * nh].

        Rows from W on are zeros, so no filter needs more than W rows, nor more than one place among the zeros.
        """
        width, length = image.shape[1], self.window
        places = min(width + 1, length)
        place = torch.arange(places, device=image.device)
        kernels, found = self.horizontal * self.rows, []
        for start in range(0, length, GROUP):
            heights = torch.arange(start + 1, min(start + GROUP, length) + 1, device=image.device)
            tall = min(start + GROUP, length, width)
            padded = nn.functional.pad(image.mT, (0, places - 1 + tall - width))
            values = nn.functional.conv1d(padded, kernels[start : start + GROUP, :, :, :tall].flatten(0, 1))
            values = values.unflatten(1, (len(heights), -1))  # [B, heights, nh, places]
            beyond = place > (length - heights)[:, None, None]
            found.append(values.masked_fill(beyond, -torch.inf).amax(3))
        return (torch.cat(found, 1) + self.horizontal_bias).relu().flatten(1)

    def penalty(self) -> Tensor:
        """Sum of L2 norms of both tables, the vertical filters and both layers, and of each height's filters."""
        norms = sum(part.norm() for part in (
            self.user, self.item[: self.n_items], self.vertical, self.found.weight, self.joined.weight
        ))
        if self.horizontal_penalty:
            norms = norms + self.horizontal.flatten(1).norm(dim=1).sum()
        return self.weight * norms

    def output(self) -> tuple[Tensor, Tensor | None]:
        """The input table without its padding row."""
        return self.item[: self.n_items], None
