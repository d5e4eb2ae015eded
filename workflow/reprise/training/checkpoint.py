"""A checkpoint is one safetensors file: tensors, and everything else as JSON in its header.

Written beside, then renamed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from reprise.errors import RepriseError
from reprise.files import replacing


def save(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write `tensors` and `meta` (JSON values) atomically."""
    written = to_bytes(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, metadata={"reprise": json.dumps(meta)}
    )
    # Not by `save_file`: it writes to a name of its own first, which a killed run would leave behind for good.
    with replacing(path) as beside:
        beside.write_bytes(written)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint back, on the CPU.

    Raises
    ------
    RepriseError
        The file is not a checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {})["reprise"])
            return {name: file.get_tensor(name) for name in file.keys()}, meta
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise RepriseError(
            str(path), expected="a checkpoint of Reprise", found=str(error), fix="delete it and run again"
        ) from None


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keep the tensors named `<prefix>/...`, without the prefix."""
    return {
        name.removeprefix(prefix + "/"): tensor for name, tensor in tensors.items() if name.startswith(prefix + "/")
    }


def over(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name every tensor `<prefix>/...`."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}
