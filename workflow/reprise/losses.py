"""Losses over a whole catalogue, in memory that a setting bounds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Logits held at a time; changes only a sum's rounding. A CPU likes what its core's cache holds (2 MB); a GPU 256 MB, so
# that a batch of usual size is one block.
CELLS = {"cpu": 1 << 19, "cuda": 1 << 26}
TALLER = {"cpu": 8, "cuda": 1}  # times as many where products take narrow numbers: a block costs a sum of its own


def softmax_over_items(
    states: Tensor, table: Tensor, targets: Tensor, bias: Tensor | None = None, counted: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy of `targets` [T] under softmax(states table' + bias); returns a scalar.

    `states` is [T, D], `table` [N, D], `bias` [N]; of the targets only those `counted` [T] bool count, if given. The
    logits [T, N] are formed once, a block of rows at a time, and both gradients with them: nothing of their size is
    kept for the way back, and the host waits for nothing. Under autocast the three products take numbers of its type;
    exponentials and sums keep those of `table`.
    """
    kind = states.device.type
    narrow = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else table.dtype
    with torch.autocast(kind, enabled=False):
        states = states.to(table.dtype)
        counted = torch.ones_like(targets, dtype=torch.bool) if counted is None else counted
        weights = counted.to(states.dtype) / counted.sum().clamp(min=1)
        return _SoftmaxOverItems.apply(states, table, bias, targets, weights, narrow)


class _SoftmaxOverItems(torch.autograd.Function):
    """With e = exp(logit - max) and s their sum over a row of weight w: its loss is w (log s + max - logit of the
    target); d/dstates = w (e table / s - table[target]), d/dtable = e' (w states / s) - w states, summed at targets.
    `narrow` is the type of the numbers that products take."""

    @staticmethod
    def forward(
        ctx, states: Tensor, table: Tensor, bias: Tensor | None, targets: Tensor, weights: Tensor, narrow: torch.dtype
    ) -> Tensor:
        total = states.new_zeros(())
        by_state, by_table = torch.empty_like(states), torch.zeros_like(table)
        by_bias = None if bias is None else torch.zeros_like(bias)
        items, kind = table.to(narrow), states.device.type
        cells = CELLS[kind] * (1 if narrow == table.dtype else TALLER[kind])
        start = 0
        for rows in states.split(max(1, cells // len(table))):
            block = slice(start, start + len(rows))
            start = block.stop
            wanted, weight = targets[block], weights[block, None]
            if narrow == table.dtype:
                logits = rows @ table.T if bias is None else torch.addmm(bias, rows, table.T)
            else:  # items first: six times as fast on a CPU
                logits = (items @ rows.to(narrow).T).T.to(table.dtype)
                logits = logits if bias is None else logits.add_(bias)
            highest = logits.amax(1, keepdim=True)
            total -= (weight * (logits.gather(1, wanted[:, None]) - highest)).sum()
            shares = logits.sub_(highest).exp_()
            sums = shares.sum(1, keepdim=True)
            total += (weight * sums.log()).sum()
            weighted = weight / sums
            if by_bias is not None:
                by_bias.addmv_(shares.T, weighted.squeeze(1))
            shares = shares.to(narrow)
            torch.mul(shares @ items, weighted, out=by_state[block])
            if narrow == table.dtype:
                by_table.addmm_(shares.T, rows * weighted)
            else:  # a product of narrow numbers is narrow, the sum over blocks is not
                by_table += shares.T @ (rows * weighted).to(narrow)
        by_state -= weights[:, None] * table[targets]
        # One sum a target, in a fixed order also on a GPU: the gradient of a look-up.
        by_table -= _summed(states * weights[:, None], targets, len(table))
        if by_bias is not None:
            by_bias -= _summed(weights[:, None], targets, len(table)).squeeze(1)
        ctx.save_for_backward(by_state, by_table, by_bias)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None, None, None]:
        by_state, by_table, by_bias = ctx.saved_tensors
        by_bias = None if by_bias is None else by_bias * gradient
        return by_state * gradient, by_table * gradient, by_bias, None, None, None


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
