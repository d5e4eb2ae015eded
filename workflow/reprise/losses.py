"""Losses over a whole catalogue, in memory that a setting bounds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CELLS = {
    "cpu": 1 << 19,
    "cuda": 1 << 27,
}  # logits held at a time: what a core's cache, or a GPU, likes; changes only a sum's rounding


def softmax_over_items(
    states: Tensor, table: Tensor, targets: Tensor, bias: Tensor | None = None, counted: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy of `targets` [T] under softmax(states table' + bias); returns a scalar.

    `states` is [T, D], `table` [N, D], `bias` [N]; of the targets only those `counted` [T] bool count, if given. The
    logits [T, N] are formed once, a block of rows at a time, and both gradients with them: nothing of their size is
    kept for the way back.
    """
    counted = torch.ones_like(targets, dtype=torch.bool) if counted is None else counted
    weights = counted.to(states.dtype) / counted.sum().clamp(min=1)
    return _SoftmaxOverItems.apply(states, table, bias, targets, weights)


class _SoftmaxOverItems(torch.autograd.Function):
    """With e = exp(logit - max) and s their sum over a row of weight w: its loss is w (log s + max - logit of the
    target); d/dstates = w (e table / s - table[target]), d/dtable = e' (w states / s) - w states, summed at targets."""

    @staticmethod
    def forward(ctx, states: Tensor, table: Tensor, bias: Tensor | None, targets: Tensor, weights: Tensor) -> Tensor:
        total = states.new_zeros(())
        by_state, by_table = torch.empty_like(states), torch.zeros_like(table)
        by_bias = None if bias is None else torch.zeros_like(bias)
        start = 0
        for rows in states.split(max(1, CELLS[states.device.type] // len(table))):
            block = slice(start, start + len(rows))
            start = block.stop
            wanted, weight = targets[block], weights[block, None]
            logits = rows @ table.T if bias is None else torch.addmm(bias, rows, table.T)
            highest = logits.amax(1, keepdim=True)
            total -= (weight * (logits.gather(1, wanted[:, None]) - highest)).sum()
            shares = logits.sub_(highest).exp_()
            sums = shares.sum(1, keepdim=True)
            total += (weight * sums.log()).sum()
            weighted = weight / sums
            torch.mul(shares @ table, weighted, out=by_state[block])
            by_table.addmm_(shares.T, rows * weighted)
            if by_bias is not None:
                by_bias.addmv_(shares.T, weighted.squeeze(1))
        by_state -= weights[:, None] * table[targets]
        # One sum a target, in a fixed order also on a GPU: the gradient of a look-up.
        by_table -= _summed(states * weights[:, None], targets, len(table))
        if by_bias is not None:
            by_bias -= _summed(weights[:, None], targets, len(table)).squeeze(1)
        ctx.save_for_backward(by_state, by_table, by_bias)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None, None]:
        by_state, by_table, by_bias = ctx.saved_tensors
        return by_state * gradient, by_table * gradient, None if by_bias is None else by_bias * gradient, None, None


def _summed(rows: Tensor, index: Tensor, size: int) -> Tensor:
    """Sums [size, D] of `rows` [T, D] that share an `index` [T]."""
    return torch.ops.aten.embedding_dense_backward(rows, index, size, -1, False)


def binary_over_sampled(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean over T targets of -log s(positive) - sum of log(1 - s(negative)), for logits [T] and [T, M]."""
    return (nn.functional.softplus(-positive) + nn.functional.softplus(negative).sum(1)).mean()


def bayesian_personalised(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean of -log s(positive - negative) over logits [T] and [T, M] (Rendle et al., UAI 2009)."""
    return nn.functional.softplus(negative - positive[:, None]).mean()


def sampled_softmax(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean cross-entropy of the target among itself and its M negatives, drawn evenly; logits [T] and [T, M]."""
    return (torch.cat([positive[:, None], negative], 1).logsumexp(1) - positive).mean()
