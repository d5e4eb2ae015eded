"""Sweeps over a setting that only inference reads: the group `c=12;own_epoch;test` of a tidy frame, taken apart."""

from __future__ import annotations

import pandas as pd

GROUP = r"^(?P<setting>[^=]+)=(?P<point>[^;]+);(?P<curve>[^;]+);(?P<split>.+)$"


def is_swept(frame: pd.DataFrame) -> pd.Series:
    """Which rows of `frame` are points of a sweep."""
    return frame["group"].str.contains(";", regex=False)


def points(frame: pd.DataFrame) -> pd.DataFrame:
    """The sweep rows of `frame`, with `setting`, `point`, `curve` and `split`, in order of the setting."""
    swept = frame[is_swept(frame)]
    parts = swept["group"].astype(str).str.extract(GROUP)
    return swept.assign(**parts.astype({"point": float})).sort_values("point", kind="stable")
