"""What models of sequences share: they read a window of a user's history and score what comes next.

Dropout and the layers of PyTorch draw from the global generator; the trainer seeds it anew before every step from the
run's one seed, so nothing is drawn that a resumed run would not draw again.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reprise.data.features import Lists
from reprise.data.interactions import Interactions
from reprise.data.windows import Windows, latest
from reprise.errors import RepriseError
from reprise.models import ScoringModel

TOGETHER = 64  # users whose windows are padded to one width where all are ranked; changes only a product's rounding


class SequenceModel(ScoringModel):
    """A model whose score of an item is <h, q_i> + b_i, h [D] its summary of the window and q the output table.

    Item ids run from 0; the padding id is `n_items`, so an input table has n_items + 1 rows.

    Attributes
    ----------
    window : int
        L, how many items of a history it reads at most. A batch's windows may be narrower.
    causal : bool
        Whether `states` gives every position a summary of the items up to it, and of nothing later. Then one pass over
        a window trains every position in it.
    """

    trainable = True
    causal = False

    def __init__(self, interactions: Interactions, window: int):
        super().__init__()
        self.n_users, self.n_items, self.window = interactions.n_users, interactions.n_items, window

    @property
    def padding(self) -> int:
        """The id behind the end of a window."""
        return self.n_items

    def states(self, windows: Windows) -> Tensor:
        """A summary after each position, [B, L, D]; only of causal models, and only real positions mean anything."""
        raise RuntimeError(f"{type(self).__module__} defines no states")

    def last(self, windows: Windows) -> Tensor:
        """The summary of whole windows, [B, D]."""
        rows = torch.arange(len(windows.lengths), device=windows.lengths.device)
        return self.states(windows)[rows, windows.lengths.clamp(min=1) - 1]

    def penalty(self) -> Tensor | float:
        """What the model adds to every batch's loss, a scalar; 0 where it regularises nothing."""
        return 0.0

    def output(self) -> tuple[Tensor, Tensor | None]:
        """The output table [n_items, D] and its bias [n_items], or None."""
        raise RuntimeError(f"{type(self).__module__} defines no output")

    def scores(self, users: Tensor, history: Interactions) -> Tensor:
        """Score every item for `users` [B] after their `history`, [B, n_items]."""
        summary = self.summaries(users, history)
        table, bias = self.output()
        return summary @ table.T if bias is None else torch.addmm(bias, summary, table.T)

    def summaries(self, users: Tensor, history: Interactions) -> Tensor:
        """The summary of each of `users` [B] after all of their `history`, [B, D].

        Users with histories of like length are read together: most are short, and padding all to the longest window
        would cost several times what they do.
        """
        lengths = history.degrees[users].clamp(max=self.window)
        order = lengths.argsort(stable=True)
        widths = lengths[order].tolist()
        parts = [
            self.last(latest(history, users[piece], max(1, widths[min(start + TOGETHER, len(widths)) - 1])))
            for start, piece in zip(range(0, len(users), TOGETHER), order.split(TOGETHER), strict=True)
        ]
        return torch.cat(parts)[order.argsort()]


def real(windows: Windows) -> Tensor:
    """Which columns hold an item and not padding, [B, L] bool."""
    return torch.arange(windows.items.shape[1], device=windows.lengths.device) < windows.lengths[:, None]


def embedding(rows: int, dim: int, deviation: float, generator: torch.Generator, device: torch.device) -> nn.Parameter:
    """A table [rows, dim] drawn from N(0, deviation^2), the same on every kind of device."""
    return nn.Parameter(torch.empty(rows, dim).normal_(0, deviation, generator=generator).to(device))


def uniform(module: nn.Module, bound: float, generator: torch.Generator) -> None:
    """Draw every parameter of `module` evenly from (-bound, bound), on the CPU; 1 / sqrt(inputs) is PyTorch's own."""
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator=generator)


def feature(interactions: Interactions, name: str) -> Lists:
    """What the data hold under `name`, or one clear error."""
    if name not in interactions.features:
        raise RepriseError(
            f"a model that reads {name} of items", expected=f"data prepared with {name}",
            found=", ".join(sorted(interactions.features)) or "no features of items",
            fix="choose a data set that has them, or another model",
        )
    return interactions.features[name]
