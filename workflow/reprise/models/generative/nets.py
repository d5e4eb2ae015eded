"""Encoder and decoder of BART and T5, from transformers, which is imported only where one is built.

Both take rows of embeddings, so the table of pieces stands beside them, once, and what else belongs to a piece (who,
which item, which word) is added by whoever knows it.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from reprise.errors import RepriseError

BART = {
    "tiny": {"d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
             "decoder_attention_heads": 4, "encoder_ffn_dim": 256, "decoder_ffn_dim": 256,
             "init_std": 0.125},  # 1 / sqrt(64): with BART's .02 so few numbers say almost nothing for many epochs
    "base": {"d_model": 768, "encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 12,
             "decoder_attention_heads": 12, "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072},
}
T5 = {
    "tiny": {"d_model": 64, "d_kv": 16, "d_ff": 256, "num_layers": 2, "num_heads": 4,
             "row_std": 0.125},  # as of BART
    "small": {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
    "base": {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
}


class Net(NamedTuple):
    """The parts of a sequence-to-sequence model.

    Attributes
    ----------
    token : Tensor [V, D]
        Embeddings of the pieces, of what is read and what is written alike.
    encoder, decoder : nn.Module
        Rows [B, L, D] to rows [B, L, D].
    factor : float
        What the decoder's rows are multiplied by before they meet the table.
    """

    token: Tensor
    encoder: nn.Module
    decoder: nn.Module
    factor: float


def bart(size: str, config: Mapping[str, Any] | None, vocabulary: int, pad: int, generator: torch.Generator) -> Net:
    """BART with fresh weights on the CPU; `config` is that of released weights, None for one of the sizes."""
    transformers = _transformers()
    from transformers.models.bart.modeling_bart import BartDecoder, BartEncoder

    _agree(config, BART, size, ("d_model", "encoder_layers"))
    own = {"dropout": 0.1, "attention_dropout": 0.1, "activation_dropout": 0.1, **BART[size]}
    settings = transformers.BartConfig(**{**(config or own), "vocab_size": vocabulary, "pad_token_id": pad},
                                       attn_implementation="sdpa")
    encoder, decoder = _fresh(generator, lambda: BartEncoder(settings), lambda: BartDecoder(settings))
    token = torch.empty(vocabulary, settings.d_model).normal_(0, settings.init_std, generator=generator)
    return Net(token, encoder, decoder, 1.0)


def t5(size: str, config: Mapping[str, Any] | None, vocabulary: int, pad: int, generator: torch.Generator) -> Net:
    """T5 with fresh weights on the CPU; `config` is that of released weights, None for one of the sizes.

    Rows of pieces are drawn from N(0, 1), as T5's are, unless the size has a `row_std`; the factor of the rows that are
    written makes up for it.
    """
    transformers = _transformers()
    from transformers.models.t5.modeling_t5 import T5Stack

    _agree(config, T5, size, ("d_model", "num_layers"))
    settings = transformers.T5Config(**{**(config or T5[size]), "vocab_size": vocabulary, "pad_token_id": pad},
                                     attn_implementation="sdpa")
    reading, writing = copy.deepcopy(settings), copy.deepcopy(settings)
    reading.is_decoder, reading.use_cache, writing.is_decoder = False, False, True
    writing.num_layers = settings.num_decoder_layers
    encoder, decoder = _fresh(generator, lambda: T5Stack(reading), lambda: T5Stack(writing))
    deviation = 1.0 if config else row_std(size)
    token = torch.empty(vocabulary, settings.d_model).normal_(0, deviation, generator=generator)
    return Net(token, encoder, decoder, settings.d_model**-0.5 / deviation)


def row_std(size: str) -> float:
    """Standard deviation of the rows that a T5 of one of the sizes starts from."""
    return T5[size].get("row_std", 1.0)


def _agree(config: Mapping[str, Any] | None, sizes: Mapping[str, Any], size: str, keys: tuple[str, ...]) -> None:
    """Refuse released weights of another size than the row says."""
    found = {key: config.get(key) for key in keys} if config else {}
    wanted = {key: sizes[size][key] for key in keys}
    if config and found != wanted:
        raise RepriseError("model.size", expected=f"{size}: {wanted}", found=f"weights with {found}", kind="weights",
                           fix="name the size of the weights")


def _transformers() -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # whatever it would look for, nothing is fetched
    import transformers

    transformers.logging.set_verbosity_error()
    return transformers


def _fresh(generator: torch.Generator, *makers: Any) -> list[nn.Module]:
    """Make stacks whose weights depend on `generator` alone, without their own table of pieces."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(1 << 62, (), generator=generator)))
        stacks = [make() for make in makers]
    for stack in stacks:
        stack.embed_tokens = None
    return stacks
