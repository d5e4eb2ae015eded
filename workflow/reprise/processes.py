"""One training in several processes: which part of the work is whose, and how the parts come together again.

Outside `together` there is one process, and all work is its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
import torch.distributed as group
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@contextlib.contextmanager
def together(device: str) -> Iterator[None]:
    """Work as one of the processes that torchrun started; when the block ends, all of them have reached its end.

    A process that fails leaves at once: the others find out, or torchrun ends them.
    """
    group.init_process_group("nccl" if device == "cuda" else "gloo",
                             device_id=torch.device("cuda", 0) if device == "cuda" else None)
    yield
    group.barrier()
    group.destroy_process_group()


def place() -> tuple[int, int]:
    """The number of this process, from 0, and how many there are."""
    alone = not (group.is_available() and group.is_initialized())
    return (0, 1) if alone else (group.get_rank(), group.get_world_size())


def shared(module: nn.Module) -> nn.Module:
    """The module, made such that a backward pass leaves the mean of all processes' gradients in every one of them."""
    if place()[1] == 1:
        return module
    return DistributedDataParallel(module, forward_sync_buffers=False, gradient_as_bucket_view=True)


def accumulating(module: nn.Module, more: bool) -> contextlib.AbstractContextManager[None]:
    """While `more` passes are to come, gradients of a `shared` module are added up here and not yet exchanged."""
    return module.no_sync() if more and isinstance(module, DistributedDataParallel) else contextlib.nullcontext()


def summed(value: Tensor) -> Tensor:
    """The sum of every process's `value`, the same to the bit in all of them; it may take the place of `value`."""
    if place()[1] > 1:
        group.all_reduce(value)
    return value


def dealt(rows: Tensor) -> Tensor:
    """Of `rows` [B, ...], at least one, this process's: every n-th, and the last again where others have one more."""
    number, processes = place()
    mine = torch.arange(number, number + len(rows), processes, device=rows.device)
    return rows[mine.clamp(max=len(rows) - 1)]


def gathered(mine: Tensor, count: int) -> Tensor:
    """Of `count` rows that were `dealt` what every process made of its own, in their order; [count, ...]."""
    processes = place()[1]
    if processes == 1:
        return mine
    parts = [torch.empty_like(mine) for _ in range(processes)]
    group.all_gather(parts, mine.contiguous())
    return torch.stack(parts, 1).flatten(0, 1)[:count]
