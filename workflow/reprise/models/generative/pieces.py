"""Words in pieces: what a language model reads and writes. Two kinds of pieces, one made here, one read from files.

Every word is taken as it stands after a space. The released tokenizers never join pieces across a space, so the pieces
of a text are the pieces of its words, one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reprise.errors import RepriseError

PART = re.compile(r"[^\W\d_]+|[0-9]{1,2}|.")  # letters, at most two digits, or anything else
SPACES = str.maketrans("\u0120\u2581", "  ")  # how byte-level BPE and SentencePiece write a space
SPARE = 128  # rows that a table of weights may have beyond its tokenizer's pieces: T5's has 28


@dataclass(frozen=True)
class Special:
    """Ids of the pieces that are no text; `mask` is None where the model knows none, `bos` where texts begin bare."""

    pad: int
    eos: int
    start: int
    bos: int | None = None
    mask: int | None = None


class Pieces:
    """Pieces by id.

    Attributes
    ----------
    special : Special
    texts : list of str
        What every piece stands for, a space at its head where it begins a word; "" of a special one.
    rows : int
        How many ids a table of embeddings has to have.
    """

    special: Special
    texts: list[str]
    rows: int

    def of(self, words: Sequence[str]) -> list[list[int]]:
        """The ids of each of `words`, none of which holds a space."""
        raise RuntimeError(f"{type(self).__name__} defines no of")


class MadePieces(Pieces):
    """Pieces made from the words that there are: letters together, digits by two from the left, the rest one by one.

    That is about what BART's own pieces are: `item_1234` is ` item`, `_`, `12`, `34`.
    """

    def __init__(self, words: Iterable[str]):
        names = ("<s>", "</s>", "<pad>", "<mask>")
        parts = sorted({part for word in words for part in self._parts(word)})
        self.special = Special(bos=0, eos=1, pad=2, mask=3, start=1)
        self.texts = [""] * len(names) + parts
        self.rows = len(self.texts)
        self._ids = {part: number for number, part in enumerate(self.texts) if part}

    @staticmethod
    def _parts(word: str) -> list[str]:
        return [" " * (not place) + part for place, part in enumerate(PART.findall(word))]

    def of(self, words: Sequence[str]) -> list[list[int]]:
        """The ids of each of `words`; raises RepriseError where a word holds a part that none of the first ones had."""
        try:
            return [[self._ids[part] for part in self._parts(word)] for word in words]
        except KeyError as error:
            raise RepriseError("a text in made pieces", expected="words that the pieces were made from",
                               found=f"the part {error.args[0]!r}") from None


class ReadPieces(Pieces):
    """The pieces of a released tokenizer, read from `tokenizer.json`; nothing is run and nothing fetched.

    `config` is the model's `config.json`, which names the special pieces.
    """

    def __init__(self, folder: Path, config: dict[str, Any]):
        from tokenizers import Tokenizer  # only where a released model is built

        path = folder / "tokenizer.json"
        self._where = str(path)
        if not path.is_file():
            raise RepriseError(str(path), expected="the tokenizer of the weights", found="no such file",
                               kind="weights")
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # its own errors are plain Exceptions
            raise RepriseError(str(path), expected="a tokenizer", found=f"{error}", kind="weights") from None
        known = self._tokenizer.get_vocab()
        self.rows = config["vocab_size"]
        if not max(known.values()) < self.rows <= len(known) + SPARE:
            raise RepriseError(str(path), expected=f"about {self.rows} pieces, as the weights have rows",
                               found=f"{len(known)}, the last with id {max(known.values())}",
                               kind="weights",
                               fix="put the tokenizer there that was released with the weights")
        ids = {key: config.get(f"{key}_token_id") for key in ("pad", "eos", "bos")}
        self.special = Special(pad=ids["pad"], eos=ids["eos"], start=config["decoder_start_token_id"],
                               bos=ids["bos"] if "<s>" in known else None, mask=known.get("<mask>"))
        # T5's <extra_id_7> is no 7.
        taken = {number for number, piece in self._tokenizer.get_added_tokens_decoder().items() if piece.special}
        taken |= {ids["pad"], ids["eos"], ids["bos"], known.get("<mask>")}
        self.texts = [""] * self.rows
        for text, number in known.items():
            self.texts[number] = "" if number in taken else text.translate(SPACES)

    def of(self, words: Sequence[str]) -> list[list[int]]:
        """The ids of each of `words`; raises RepriseError where the pieces of one spell another.

        A tokenizer of the right size that belongs to other weights would otherwise make all items alike.
        """
        batch = self._tokenizer.encode_batch([" " + word for word in words], add_special_tokens=False)
        for word, found in zip(words, batch, strict=True):
            spelt = "".join(self.texts[number] for number in found.ids)
            if spelt != " " + word:
                raise RepriseError(self._where, expected=f"pieces that spell {' ' + word!r}", found=repr(spelt),
                                   kind="weights", fix="put the tokenizer there that was released with the weights")
        return [found.ids for found in batch]
