"""MACR: learn how popular an item and how active a user is beside the match, and take that away when ranking."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from reprise.data.interactions import Interactions
from reprise.methods import Pairs, Setting, Wrapper, binary_cross_entropy
from reprise.models import FactorModel, take, xavier
from reprise.settings import Field, Settings

NODES = 64  # gates at which the loss over all pairs of a batch is formed


class Options(Settings):
    """Settings of MACR."""

    alpha: float = Field(ge=0, description="weight of the item branch's loss (Eq. 8)")
    beta: float = Field(ge=0, description="weight of the user branch's loss (Eq. 8)")
    fusion: Literal["pairwise", "batch_outer"] = Field(description="pairwise: Eq. 6-7; batch_outer: the official code")
    c: tuple[int, ...] | Literal["all"] = Field(
        description="reference values that selection may choose; all: the sweep's"
    )
    sweep: tuple[int, int] = Field(description="first and last reference value of the curve, in steps of 1")
    head: Literal["linear", "mlp"] = Field(
        "linear", description="of the branches: a linear map, as in the official code; mlp: a hidden layer of D before"
    )
    ego: bool = Field(False, description="whether the branches read the tables' own rows, not the propagated ones")
    item_branch: bool = Field(True, description="false: no s(y_i) in the gate, no L_I (an ablation)")
    user_branch: bool = Field(True, description="false: no s(y_u) in the gate, no L_U (an ablation)")


class Method(Wrapper):
    """Training: L = L_O + alpha L_I + beta L_U (Eq. 8); ranking: (y_k - c) s(y_i) s(y_u) (Eq. 9).

    y_k is the model's score, y_i and y_u are linear maps of the rows that score, without bias, as in the official code
    (the paper says MLP of the embeddings: `head`, `ego`). The user's gate multiplies all items of a user alike, so
    ranking leaves it out. Without the item branch that leaves y_k - c, which ranks like y_k whatever c is: there is no
    c to choose.
    """

    source = "Wei et al.: MACR (KDD 2021), Eq. 6-9"

    def __init__(self, options: Options, model: FactorModel, interactions: Interactions, generator: torch.Generator):
        super().__init__(model, interactions)
        dim, device = model.item.shape[1], model.item.device
        self.options = options
        self.item_head = xavier((dim, 1), generator, device)
        self.user_head = xavier((dim, 1), generator, device)
        if options.head == "mlp":
            self.item_hidden, self.user_hidden = (xavier((dim, dim), generator, device) for _ in range(2))

    def item_logits(self, rows: Tensor) -> Tensor:
        """y_i of items with `rows` [..., D]; [...]."""
        hidden = (rows @ self.item_hidden).relu() if self.options.head == "mlp" else rows
        return (hidden @ self.item_head).squeeze(-1)

    def user_logits(self, rows: Tensor) -> Tensor:
        """y_u of users with `rows` [..., D]; [...]."""
        hidden = (rows @ self.user_hidden).relu() if self.options.head == "mlp" else rows
        return (hidden @ self.user_head).squeeze(-1)

    def loss(self, batch: Pairs) -> Tensor:
        """L_O + alpha L_I + beta L_U of a batch; returns a scalar."""
        read, good, bad = batch.user, batch.good, batch.bad
        if self.options.ego:
            read = take(self.model.user, batch.users)
            good, bad = (take(self.model.item, items) for items in (batch.positives, batch.negatives))
        user, item_good, item_bad = self.user_logits(read), self.item_logits(good), self.item_logits(bad)
        gate_good, gate_bad = self._gates(item_good, user), self._gates(item_bad, user)
        if self.options.fusion == "pairwise":
            fused = binary_cross_entropy(batch.positive * gate_good, batch.negative * gate_bad)
        else:
            fused = outer_softplus(-batch.positive, gate_good) + outer_softplus(batch.negative, gate_bad)
        if self.options.item_branch:
            fused = fused + self.options.alpha * binary_cross_entropy(item_good, item_bad)
        # One positive and one negative share the user, so L_U is smallest at s(y_u) = 1/2 and says nothing about
        # activity.
        if self.options.user_branch:
            fused = fused + self.options.beta * binary_cross_entropy(user, user)
        return fused

    def _gates(self, item: Tensor, user: Tensor) -> Tensor:
        """s(y_i) s(y_u) for logits [B], of the branches there are; [B]."""
        if not self.options.user_branch:
            return item.sigmoid()
        return item.sigmoid() * user.sigmoid() if self.options.item_branch else user.sigmoid()

    def choices(self) -> list[Setting]:
        """The reference values that selection may choose."""
        if not self.options.item_branch:
            return [{}]
        return self.sweep() if self.options.c == "all" else [{"c": c} for c in self.options.c]

    def sweep(self) -> list[Setting]:
        """Every reference value of the curve."""
        if not self.options.item_branch:
            return []
        first, last = self.options.sweep
        fixed = () if self.options.c == "all" else self.options.c
        return [{"c": c} for c in sorted({*range(first, last + 1), *fixed})]

    def item_gate(self, users: Tensor) -> Tensor:
        """s(y_i) of every item, [n_items]."""
        rows = self.model.item if self.options.ego else self.model.represent(users[:1]).item
        return self.item_logits(rows).sigmoid()

    def scores(self, users: Tensor, history: Interactions | None = None) -> Tensor:
        """y_k [B, n_items]; the item gate is remembered for `adjust`."""
        self._gate = self.item_gate(users)
        return self.model.scores(users, history)

    def adjust(self, scores: Tensor, setting: Setting) -> Tensor:
        """(y_k - c) s(y_i), [B, n_items]; y_k where there is no item branch."""
        if not self.options.item_branch:
            return scores
        return (scores - setting["c"]) * self._gate


def outer_softplus(scores: Tensor, gates: Tensor) -> Tensor:
    """Mean over all pairs (a, b) of softplus(gates[a] * scores[b]), for `scores` [B] and `gates` [B]; a scalar.

    The official code multiplies a [B] score with a [B, 1] gate, which broadcasts to [B, B]: every score meets the gates
    of all other pairs. But summed over b this is one smooth function of a gate, and so is its derivative: `NODES`
    values of them, interpolated, give loss and gradients to the rounding of float32, in memory that grows with B alone.
    """
    return _OuterSoftplus.apply(scores, gates)


class _OuterSoftplus(torch.autograd.Function):
    """d/dscores[b] = sum_a g_a s(g_a s_b) / B^2, d/dgates[a] = sum_b s_b s(g_a s_b) / B^2, s( ) the sigmoid.

    softplus(g s_b) has its nearest poles at g = +-i pi / s_b, so polynomials through `NODES` gates err by less than
    1e-7 while |s_b| times the range of the gates is below some 75 (Trefethen: Approximation Theory and Approximation
    Practice, Theorem 8.2); trained scores stay below 20.
    """

    @staticmethod
    def forward(ctx, scores: Tensor, gates: Tensor) -> Tensor:
        nodes, weights = interpolation(gates)
        cells = torch.outer(nodes, scores)
        shares, times = cells.sigmoid(), weights.sum(0)
        pairs = len(scores) ** 2
        ctx.save_for_backward((times * nodes) @ shares / pairs, weights @ (shares @ scores) / pairs)
        return times @ nn.functional.softplus(cells).sum(1) / pairs

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        by_score, by_gate = ctx.saved_tensors
        return gradient * by_score, gradient * by_gate


def interpolation(points: Tensor) -> tuple[Tensor, Tensor]:
    """Chebyshev nodes [n] over the range of `points` [B], and weights [B, n]: f(points) is nearly weights @ f(nodes).

    The barycentric formula of the second form (Berrut and Trefethen, SIAM Review 46, 2004, Eq. 4.2 and 5.3).
    """
    place = torch.arange(NODES, dtype=points.dtype, device=points.device)
    angles = (2 * place + 1) * (math.pi / (2 * NODES))
    grid, signed = angles.cos(), angles.sin() * (1 - 2 * (place % 2))
    low, high = points.aminmax()
    middle, half = (low + high) / 2, ((high - low) / 2).clamp(min=1e-6)
    apart = ((points - middle) / half)[:, None] - grid
    terms = signed / torch.where(apart == 0, 1e-20, apart)  # a point on a node takes that node's value alone
    return middle + half * grid, terms / terms.sum(1, keepdim=True)
