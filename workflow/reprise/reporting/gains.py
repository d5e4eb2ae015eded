"""Rows of a table that show by how much a method exceeds another, or the best of several: `Improv.` in many papers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from reprise.papers import Gain
from reprise.reporting.comparisons import LOWER_IS_BETTER
from reprise.reporting.wording import percent


def gain_rows(
    gains: Sequence[Gain], part: pd.DataFrame, columns: Sequence[str], readings: Sequence[str], printed: bool
) -> Iterator[tuple[str, list[str]]]:
    """Each gain's label and its cells: for every metric and cut-off the print's, if asked for, then our readings'.

    `part` are the cells of one data set, `columns` those that tell a metric and cut-off from another.
    """
    for gain in gains:
        cells = []
        for (metric, *_), one in part.groupby(list(columns), sort=False, dropna=False):
            by_method = one.drop_duplicates("method").set_index("method")["printed"]
            values = ([by_method] if printed else []) + [
                one[one["reading"] == reading].set_index("method")["mean"] for reading in readings
            ]
            cells += [_gain(gain, value, metric) for value in values]
        alone = len(gain.over) == 1
        yield f"{gain.of} over {gain.over[0] if alone else 'the best baseline'}", cells


def _gain(gain: Gain, values: pd.Series, metric: str) -> str:
    """`+1.6% (GRU4Rec)`: the gain, and over which of several; a dash where one of the numbers is missing."""
    wanted = values[[gain.of, *gain.over]].astype(float)
    if wanted.isna().any():
        return "–"
    rivals = wanted.drop(gain.of)
    best = rivals.idxmin() if metric in LOWER_IS_BETTER else rivals.idxmax()
    return percent(wanted[gain.of] / rivals[best] - 1) + (f" ({best})" if len(rivals) > 1 else "")
