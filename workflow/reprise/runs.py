"""One training run by name: what it is of, and the folder that it lies in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reprise.papers import Paper

MAIN = "main"  # the variant of a method that sets nothing of its own
TUNED = "tuned"  # the variant whose settings a search chose


@dataclass(frozen=True)
class Run:
    """One training run: a method on a data set, in a reading, with a seed.

    `variant` spells out the settings that the run does not share with its method's own row (`alpha=0.01~beta=1e-05`),
    is `main`, or is `tuned`. So two rows of two tables that come to the same settings are one run.
    """

    paper: str
    dataset: str
    reading: str
    backbone: str
    method: str
    variant: str
    seed: int

    @property
    def folder(self) -> str:
        """Where it lies below `results`: `<paper>/<dataset>/runs/<method>/<reading>/seed<n>`."""
        preset = preset_name(self.reading, self.variant)
        return f"{self.paper}/{self.dataset}/runs/{self.method}/{preset}/seed{self.seed}"

    @property
    def label(self) -> str:
        """The row that it stands in, settings written out; a tuned run stands in its method's own row."""
        return self.method if self.variant in (MAIN, TUNED) else f"{self.method}[{self.variant}]"

    @classmethod
    def named(cls, paper: Paper, dataset: str, method: str, preset: str, seed: int) -> Run:
        """The run of a folder's name: `preset` is `<reading>` or `<reading>-<variant>`."""
        reading, _, variant = preset.partition("-")
        return cls(paper.name, dataset, reading, paper.method(method).backbone, method, variant or MAIN, seed)


def preset_name(reading: str, variant: str) -> str:
    """Name the folder of a reading and a variant: `printed`, `printed-alpha=0.01`, `sound-tuned`."""
    return reading if variant == MAIN else f"{reading}-{variant}"
