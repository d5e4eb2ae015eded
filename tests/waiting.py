"""What an operation must not do on a GPU, seen on a CPU: ask for a number, so that the host waits for the device."""

import weakref
from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode

ANSWERS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal", "aten::_unique2",
           "aten::unique_dim", "aten::unique_consecutive", "aten::bincount", "aten::_linalg_check_errors")


class Watched(TorchDispatchMode):
    """Notes `waits`, the operations whose answer the host needs, `calls` of each, and the `results`, held weakly."""

    def __init__(self):
        super().__init__()
        self.waits, self.results, self.largest, self.calls = [], [], 0, Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().partition(".")[0]
        self.calls[name] += 1
        by_mask = name in ("aten::index", "aten::index_put", "aten::index_put_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        sized = name != "aten::repeat_interleave" or (kwargs or {}).get("output_size") is not None
        if name in ANSWERS or by_mask or not sized:
            self.waits.append(func.name())
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.largest = max(self.largest, result.numel())
            self.results.append(weakref.ref(result))
        return result

    def held(self):
        """Elements of the largest result that is still there."""
        there = [result() for result in self.results]
        return max((tensor.numel() for tensor in there if tensor is not None), default=0)
