"""Released weights on disk: `config.json`, `tokenizer.json` and `model.safetensors`, of which nothing is ever run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from reprise.errors import RepriseError
from reprise.files import read_json
from reprise.models.generative.nets import Net

WEIGHTS, CONFIG = "model.safetensors", "config.json"
RANDOM = "random"
# How a pickle begins, and the archive that PyTorch puts one into. Looked for only in what cannot be read: safetensors
# begin with the length of their header, whose first byte may be the same.
PICKLES = (b"\x80", b"PK\x03\x04")
KEYS = ("vocab_size", "pad_token_id", "eos_token_id", "decoder_start_token_id")  # of config.json, all numbers
TABLES = ("embed_tokens.weight", "lm_head.weight", "final_logits_bias")  # the table again, and zeros


def config_of(folder: Path, kind: str) -> dict[str, Any]:
    """The settings of released weights, which must be of `kind`, bart or t5."""
    if not (folder / CONFIG).is_file():
        raise RepriseError(str(folder), expected=f"released weights: {CONFIG}, tokenizer.json and {WEIGHTS}",
                           found=f"no {CONFIG}", fix="fetch them with `python -m reprise fetch`", kind="weights")
    config = read_json(folder / CONFIG)
    found = config.get("model_type") if isinstance(config, dict) else None
    if found != kind:
        raise RepriseError(str(folder / CONFIG), expected=f"model_type: {kind}", found=f"model_type: {found}",
                           kind="weights")
    unknown = [key for key in KEYS if not isinstance(config.get(key), int)]
    if unknown:
        raise RepriseError(str(folder / CONFIG), expected=f"numbers for {', '.join(KEYS)}",
                           found=f"none for {', '.join(unknown)}", fix="fetch the weights again", kind="weights")
    return config


def fill(net: Net, folder: Path) -> None:
    """Put the released weights in `folder` into a net of the same shape.

    Raises
    ------
    RepriseError
        The file is a pickle (refused unread), cut short, or lacks a tensor of the net or has it in another shape.
    """
    path = folder / WEIGHTS
    tensors = {name.removeprefix("model."): tensor for name, tensor in _read(path).items()}
    wanted = {f"{part}.{name}": tensor for part in ("encoder", "decoder")
              for name, tensor in getattr(net, part).state_dict().items()} | {"shared.weight": net.token}
    problems = [f"{name}: {'absent' if name not in tensors else f'{tuple(tensors[name].shape)}'}"
                for name, tensor in wanted.items()
                if name not in tensors or tensors[name].shape != tensor.shape]
    if problems:
        raise RepriseError(str(path), expected="the tensors that config.json promises", found="; ".join(problems[:3]),
                           fix="fetch the weights again", kind="weights")
    for name, tensor in wanted.items():
        tensor.data.copy_(tensors[name])


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(4)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if not name.endswith(TABLES)}
    except (SafetensorError, OSError) as error:
        if path.is_file() and _head(path).startswith(PICKLES):
            raise RepriseError(str(path), expected="a safetensors file", found="a pickle, which could run anything",
                               fix="take the weights in safetensors format", kind="weights") from None
        raise RepriseError(str(path), expected="a whole safetensors file", found=str(error),
                           fix="fetch the weights again", kind="weights") from None

