"""What the verdict on a claim asks of the results: means over users and seeds, sweeps, printed values."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import pandas as pd

from reprise.evaluation.significance import Sample

TEST_SET = "the test set"  # stands for a method where a claim compares with what the data hold


class Missing(Exception):
    """A cell without a run; the message is the reason that the scorecard shows."""


class OneSeed(Missing):
    """A cell with too few seeds to decide anything."""


class Cell(NamedTuple):
    """Where a value stands: lower-case data set, method label as claims.csv writes it, metric, k, and the backbone.

    The backbone is "" where the claim names none; `group` is "" or one of users over drift, `eta>1`.
    """

    dataset: str
    method: str
    metric: str
    k: int
    backbone: str = ""
    group: str = ""


class Lookup(Protocol):
    """The results of one paper under one reading.

    `selects_on_test`: no p-value may be given, for the test set chose the model.
    """

    selects_on_test: bool

    def sample(self, cell: Cell) -> Sample:
        """Give what the runs tell of a metric's mean; raise Missing(reason) without a run."""

    def curve(self, cell: Cell, parameter: str) -> pd.DataFrame:
        """Give the metric's mean along a sweep, [points x seeds], index the parameter; raise Missing(reason)."""

    def groups(self, cell: Cell) -> pd.DataFrame:
        """Give the metric's mean in each group, [groups x seeds], rarest group first; raise Missing(reason)."""

    def printed(self, cell: Cell) -> float | None:
        """Give the printed value, None if the paper prints none."""

    def datasets(self) -> tuple[str, ...]:
        """Name all data sets of the paper, lower-case."""

    def methods(self, dataset: str, beside: str = "") -> tuple[str, ...]:
        """Name the methods that the paper's main table prints on a data set; `beside` one: those of its backbone."""

    def cutoffs(self) -> tuple[int, ...]:
        """Give all k that were evaluated."""
