"""The prompts of P5's sequential family, read from `prompts.yaml` beside this file."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reprise.errors import RepriseError
from reprise.files import read_yaml

FILE = Path(__file__).with_suffix(".yaml")
SLOTS = {"{user}", "{history}", "{candidates}", "{item}"}
NEEDED = {"next": {"{history}"}, "candidates": {"{history}", "{candidates}"}, "yes_no": {"{history}", "{item}"}}
BETWEEN, YES, NO = ",", "yes", "no"
ANSWERS = (YES, NO)
Asks = Literal["next", "candidates", "yes_no"]


@dataclass(frozen=True)
class Prompt:
    """One prompt: what it asks, its words, some of them slots, and whether training never sees it."""

    asks: Asks
    words: tuple[str, ...]
    held_out: bool = False

    @property
    def plain(self) -> list[str]:
        """The words that are no slots."""
        return [word for word in self.words if word not in SLOTS]


@functools.cache
def load_prompts(path: Path = FILE) -> dict[str, Prompt]:
    """The prompts by number; raises RepriseError where one lacks a slot that its question needs, or has another."""
    found = {}
    for number, entry in read_yaml(path).items():
        words = tuple(entry["text"].split())
        slots, needed = {word for word in words if "{" in word}, NEEDED.get(entry["asks"])
        if needed is None or slots - {"{user}"} != needed:
            raise RepriseError(f"{path}: {number}", expected=f"asks: one of {', '.join(NEEDED)}, with its slots",
                               found=f"asks: {entry['asks']}, slots {', '.join(sorted(slots))}")
        found[number] = Prompt(entry["asks"], words, entry.get("held_out", False))
    return found
