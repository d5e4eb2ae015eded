"""The prompts of three of P5's five families, read from `prompts.yaml` beside this file."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reprise.errors import RepriseError
from reprise.files import read_yaml

FILE = Path(__file__).with_suffix(".yaml")
SEQUENTIAL, RATING, DIRECT = FAMILIES = ("sequential", "rating", "direct")
NUMBERED = {"1": RATING, "2": SEQUENTIAL, "5": DIRECT}  # 3, explanation, and 4, review, need texts
SLOTS = {"{user}", "{history}", "{candidates}", "{item}", "{stars}"}
NEEDED = {
    SEQUENTIAL: {"next": {"{history}"}, "candidates": {"{history}", "{candidates}"}, "yes_no": {"{history}", "{item}"}},
    RATING: {"stars": {"{item}"}, "yes_no": {"{item}", "{stars}"}, "like": {"{item}"}},
    DIRECT: {"candidates": {"{candidates}"}, "yes_no": {"{item}"}},
}
BETWEEN, YES, NO, LIKE, DISLIKE = ",", "yes", "no", "like", "dislike"
STARS = tuple("12345")
ANSWERS, RATED = (YES, NO), (*STARS, LIKE, DISLIKE)  # what is answered to any family, and to rating alone
Asks = Literal["next", "candidates", "yes_no", "stars", "like"]


@dataclass(frozen=True)
class Prompt:
    """One prompt: its family, what it asks, its words, some of them slots, and whether training never sees it."""

    family: str
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
        family = NUMBERED.get(number.split("-")[0], "")
        kinds = NEEDED.get(family, {})
        slots, needed = {word for word in words if "{" in word}, kinds.get(entry["asks"])
        if needed is None or slots - {"{user}"} != needed:
            expected = f"asks: one of {', '.join(kinds)}, with its slots" if kinds else "a family that is built"
            raise RepriseError(f"{path}: {number}", expected=expected,
                               found=f"asks: {entry['asks']}, slots {', '.join(sorted(slots))}")
        found[number] = Prompt(family, entry["asks"], words, entry.get("held_out", False))
    return found
