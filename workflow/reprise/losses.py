"""Losses over a whole catalogue, in memory that a setting bounds."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import torch
from torch import Tensor, nn

# Logits held at a time unless a setting says it. A CPU likes what its core's cache holds (2 MB); a GPU 256 MB, so that
# a batch of usual size is one block.
CELLS = {"cpu": 1 << 19, "cuda": 1 << 26}
TILE = {"cpu": 16, "cuda": 1}  # a block has a multiple of it targets, and no fewer: each block reads the table thrice
TALLER = {"cpu": 8, "cuda": 1}  # times as many where products take narrow numbers: a block costs a sum of its own
SPARSE_FROM = 64  # attributes: from here on a CPU multiplies faster by what is filled than by all
PIECE = 1 << 16  # rows of a table whose gradient of a look-up is made at a time
BITS = 1 / math.log(2)  # in a nat
TINY = 1e-12  # a profile's length below which it points nowhere


def softmax_over_items(
    states: Tensor, table: Tensor, targets: Tensor, bias: Tensor | None = None, counted: Tensor | None = None,
    cells: int | None = None,
) -> Tensor:
    """Mean cross-entropy of `targets` [T] under softmax(states table' + bias); returns a scalar.

    `states` is [T, D], `table` [N, D], `bias` [N]; of the targets only those `counted` [T] bool count, if given. The
    logits [T, N] are formed once, a block of rows at a time, and both gradients with them: nothing of their size is
    kept for the way back, and the host waits for nothing. `cells` logits are held at a time, or those of one target;
    how many changes only the rounding of sums. Under autocast the three products take numbers of its type;
    exponentials and sums keep those of `table`.
    """
    kind = states.device.type
    narrow = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else table.dtype
    with torch.autocast(kind, enabled=False):
        states = states.to(table.dtype)
        counted = torch.ones_like(targets, dtype=torch.bool) if counted is None else counted
        weights = counted.to(states.dtype) / counted.sum().clamp(min=1)
        rows = _rows(len(table), kind, narrow == table.dtype, cells)
        return _SoftmaxOverItems.apply(states, table, bias, targets, weights, narrow, rows)


class _SoftmaxOverItems(torch.autograd.Function):
    """With e = exp(logit - max) and s their sum over a target of weight w: its loss is w (log s + max - logit of the
    target); d/dstates = w (e table / s - table[target]), d/dtable = e' (w states / s) - w states, summed at targets.

    `narrow` is the type of the numbers that products take, `at_once` the targets of a block. Logits are laid out items
    first, [N, B], which a CPU multiplies up to twice as fast, and in bits, as powers of 2 take half the time of
    exponentials.
    """

    @staticmethod
    def forward(
        ctx, states: Tensor, table: Tensor, bias: Tensor | None, targets: Tensor, weights: Tensor, narrow: torch.dtype,
        at_once: int,
    ) -> Tensor:
        total = states.new_zeros(())
        by_state, by_table = torch.empty_like(states), torch.zeros_like(table)
        by_bias = None if bias is None else torch.zeros_like(bias)
        items, start = table.to(narrow), 0
        for rows in states.split(at_once):
            block = slice(start, start + len(rows))
            start = block.stop
            wanted, weight = targets[block], weights[block]
            logits = (items @ (rows * BITS).to(narrow).T).to(table.dtype)
            if bias is not None:
                logits.add_(bias[:, None], alpha=BITS)
            highest = logits.amax(0)
            total -= (weight * (logits.gather(0, wanted[None]).squeeze(0) - highest)).sum()
            shares = logits.sub_(highest).exp2_()
            sums = shares.sum(0)
            total += (weight * sums.log2()).sum()
            weighted = weight / sums
            if by_bias is not None:
                by_bias.addmv_(shares, weighted)
            shares, weighted = shares.to(narrow), weighted[:, None]
            torch.mul(shares.T @ items, weighted, out=by_state[block])
            if narrow == table.dtype:
                by_table.addmm_(shares, rows * weighted)
            else:  # a product of narrow numbers is narrow, the sum over blocks is not
                by_table += shares @ (rows * weighted).to(narrow)
        by_state -= weights[:, None] * table[targets]
        _subtract(by_table, states * weights[:, None], targets)
        if by_bias is not None:
            by_bias -= _summed(weights[:, None], targets, len(table)).squeeze(1)
        ctx.save_for_backward(by_state, by_table, by_bias)
        return total / BITS

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        by_state, by_table, by_bias = ctx.saved_tensors
        by_bias = None if by_bias is None else by_bias * gradient
        # In place, as a table of a million rows has no room for another; a second way back through it is refused.
        return by_state * gradient, by_table.mul_(gradient), by_bias, None, None, None, None


def _rows(n_items: int, kind: str, full: bool, cells: int | None) -> int:
    """How many targets a block of logits over `n_items` has: what `cells` hold, or what suits the `kind` of device."""
    if cells:
        return max(1, cells // n_items)
    cells = CELLS[kind] * (1 if full else TALLER[kind])
    return max(1, cells // n_items // TILE[kind]) * TILE[kind]


def _subtract(table: Tensor, rows: Tensor, index: Tensor) -> None:
    """Take `rows` [T, D] from those of `table` [N, D] at `index` [T]; what shares an index is summed before.

    One sum an index, in a fixed order also on a GPU: the gradient of a look-up, made without another table.
    """
    for start in range(0, len(table), PIECE):
        piece = table[start : start + PIECE]
        inside = (index >= start) & (index < start + len(piece))
        piece -= _summed(rows, torch.where(inside, index - start, len(piece)), len(piece) + 1)[:-1]


def _summed(rows: Tensor, index: Tensor, size: int) -> Tensor:
    """Sums [size, D] of `rows` [T, D] that share an `index` [T]."""
    return torch.ops.aten.embedding_dense_backward(rows, index, size, -1, False)


class Attributes(NamedTuple):
    """p(g | x) of every item, [N, G], and the same turned, [G, N]; dense or sparse, as is faster to multiply by."""

    of_items: Tensor
    turned: Tensor

    @classmethod
    def of(cls, shares: Tensor) -> Attributes:
        """Lay out dense `shares` [N, G]: on a CPU many columns, few of them filled, are faster sparse."""
        turned = shares.T.contiguous()
        if shares.device.type == "cpu" and shares.shape[1] > SPARSE_FROM:
            with warnings.catch_warnings(action="ignore", category=UserWarning):  # "sparse CSR is in beta state"
                return cls(shares.to_sparse_csr(), turned.to_sparse_csr())
        return cls(shares, turned)


def calibrated_over_items(
    states: Tensor, table: Tensor, targets: Tensor, attributes: Attributes, wanted: Tensor, weight: float,
    temperature: float = 1.0, cells: int | None = None,
) -> Tensor:
    """Mean over T targets of (1 - w) * cross-entropy + w * (1 - cos(q, p)), w = `weight`; returns a scalar.

    Cross-entropy is that of `softmax_over_items`. q = softmax(s / `temperature`) p(g | x) over all N items is what the
    scores s = `states` [T, D] `table` [N, D]' are about, p = `wanted` [T, G] what they should be about (DACSR, Eq. 6, 9
    and 12). A row of `wanted` that is all 0 asks for nothing. Memory as `softmax_over_items`, but for four blocks of
    `cells` numbers.
    """
    if weight == 0:
        return softmax_over_items(states, table, targets, cells=cells)
    with torch.autocast(states.device.type, enabled=False):  # in full: much of it is no product
        states = states.to(table.dtype)
        rows = max(1, (cells or CELLS[states.device.type]) // len(table))  # four blocks are held, none need be tiled
        return _CalibratedOverItems.apply(states, table, targets, attributes, wanted, weight, temperature, rows)


class _CalibratedOverItems(torch.autograd.Function):
    """With a = softmax(s), b = softmax(s / t), c = cos(q, p), and g = p / |q||p| - c q / |q|^2 the gradient of c by q:
    d/ds = (1 - w)(a - target) - (w / t) b A g. (The gradient of b has b <b, A g> = b <q, g> as well, which is 0: c does
    not depend on the length of q.) `at_once` are the targets of a block."""

    @staticmethod
    def forward(ctx, states, table, targets, attributes, wanted, weight, temperature, at_once) -> Tensor:
        total, share = states.new_zeros(()), (1 - weight) / len(states)
        by_state, by_table = torch.empty_like(states), torch.zeros_like(table)
        start = 0
        for rows in states.split(at_once):
            block = slice(start, start + len(rows))
            start = block.stop
            logits = rows @ table.T
            logits -= logits.amax(1, keepdim=True)
            if weight < 1:
                total -= share * logits.gather(1, targets[block, None]).sum()
            tempered = torch.softmax(logits / temperature, 1) if temperature != 1 else None
            shares = logits.exp_()
            sums = shares.sum(1, keepdim=True)
            total += share * sums.log().sum()
            shares /= sums
            b = shares if tempered is None else tempered
            q, p = (attributes.turned @ b.T).T, wanted[block]
            asked = (p > 0).any(1, keepdim=True).to(p.dtype)
            q_norm, p_norm = (one.norm(dim=1, keepdim=True).clamp(min=TINY) for one in (q, p))
            cosine = (q * p).sum(1, keepdim=True) / (q_norm * p_norm)
            total += (weight * asked * (1 - cosine)).sum() / len(states)
            by_q = asked * (p / (q_norm * p_norm) - cosine * q / q_norm**2)
            pull = (attributes.of_items @ by_q.T).T * (-weight / (temperature * len(states)))
            slope = shares.mul_(pull + share) if tempered is None else shares.mul_(share).addcmul_(tempered, pull)
            torch.mm(slope, table, out=by_state[block])
            by_table.addmm_(slope.T, rows)
        if weight < 1:
            by_state -= share * table[targets]
            by_table -= _summed(share * states, targets, len(table))
        ctx.save_for_backward(by_state, by_table)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        by_state, by_table = ctx.saved_tensors
        return by_state * gradient, by_table * gradient, None, None, None, None, None, None


def binary_over_sampled(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean over T targets of -log s(positive) - sum of log(1 - s(negative)), for logits [T] and [T, M]."""
    return (nn.functional.softplus(-positive) + nn.functional.softplus(negative).sum(1)).mean()


def bayesian_personalised(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean of -log s(positive - negative) over logits [T] and [T, M] (Rendle et al., UAI 2009)."""
    return nn.functional.softplus(negative - positive[:, None]).mean()


def sampled_softmax(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean cross-entropy of the target among itself and its M negatives, drawn evenly; logits [T] and [T, M]."""
    return (torch.cat([positive[:, None], negative], 1).logsumexp(1) - positive).mean()
