"""The verdict on one printed number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from reprise.evaluation.significance import prediction_interval

REPRODUCED, CLOSE, HIGH, LOW = "reproduced", "close", "off (high)", "off (low)"
TREND, UNRESOLVED, NOT_RUN = "trend", "unresolved", "not run"
UNKNOWN = "unknown"  # why a number is off

# Shares of the printed value: the seeds may explain at most SPREAD; within NEAR a number is still close.
SPREAD, NEAR = 0.05, 0.15
ENOUGH_SEEDS = 3


class Circumstances(NamedTuple):
    """What may explain a number that is off, or why there is none.

    `data` is the data status; `trend` says why the data can be no more than like the paper's; `protocol` says how this
    reading differs from the one that printed the number (empty if it does not), `shortcut` what made its runs cheaper
    than that, such as a cap of epochs; `unexplained` is the verdict of that
    reading where it is off, too, and nothing explains it: then what differs here is no cause; `users_error` is the
    standard error of the mean over users; `missing` is why nothing was run; `misprint` what the paper did to this
    number.
    """

    data: str = "official"
    trend: str = ""
    protocol: str = ""
    shortcut: str = ""
    users_error: float = 0.0
    missing: str = ""
    misprint: str = ""
    unexplained: str = ""


AS_PRINTED = Circumstances()


class Verdict(NamedTuple):
    """A verdict with our mean and sd over seeds (ddof 1) and the deviation (ours - printed) / |printed|."""

    verdict: str
    mean: float
    sd: float
    seeds: int
    deviation: float
    reason: str


def judge_number(
    printed: float,
    decimals: int,
    values: Sequence[float],
    gap: float | None,
    cause: Circumstances = AS_PRINTED,
    exact: bool = False,
) -> Verdict:
    """Compare `values` [S], one a seed, with the `printed` number of `decimals` digits after the point.

    With h half a unit of the last printed digit and PI the prediction interval of one more seed:

    * `reproduced`: |mean - printed| <= h + min(PI, 5 %) and below half of `gap`, the printed distance to the table's
      reference method (None for the reference itself), so that a baseline cannot pass for the method;
    * `close`: within h + 15 %; the best verdict with fewer than three seeds, or with a shortcut;
    * `off (high)`, `off (low)`: beyond, with a diagnosed cause in `reason`;
    * `trend`: the data are of another cut than the paper's, so that only claims of order can be compared;
    * `unresolved`: h alone exceeds 15 %, so that the print cannot tell; `not run`: no values.

    Percentages are shares of the printed value. A count of the data (`exact`) has no seeds: `reproduced` is within h.
    """
    if not len(values):
        return Verdict(NOT_RUN, math.nan, math.nan, 0, math.nan, cause.missing or "no run of this cell")
    values = np.asarray(values, dtype=float)
    seeds, mean = len(values), float(values.mean())
    sd = float(values.std(ddof=1)) if seeds > 1 else math.nan
    spread = prediction_interval(sd, seeds) if seeds > 1 else 0.0
    half, scale, distance = 0.5 * 10.0**-decimals, abs(printed), abs(mean - printed)
    deviation = (mean - printed) / scale if scale else math.copysign(math.inf, mean) if mean else 0.0

    def verdict(word: str, reason: str = "") -> Verdict:
        return Verdict(word, mean, sd, seeds, deviation, reason)

    if cause.trend and not exact:
        return verdict(TREND, cause.trend)
    if half > NEAR * scale:
        return verdict(UNRESOLVED, f"half a unit of the last digit ({half:g}) exceeds {NEAR:.0%} of {printed:g}")
    if not _within(distance, half + NEAR * scale):
        word = HIGH if mean > printed else LOW
        return verdict(word, _diagnosis(word, distance - half, spread, seeds, cause))
    if not _within(distance, half + (0.0 if exact else min(spread, SPREAD * scale))):
        return verdict(CLOSE, f"print: {cause.misprint}" if cause.misprint else "")
    if gap is not None and not distance < abs(gap) / 2:
        return verdict(CLOSE, f"not below half the printed gap to the reference method ({abs(gap):g})")
    if seeds < ENOUGH_SEEDS and not exact:
        return verdict(CLOSE, f"{seeds} seed{'s' if seeds > 1 else ''}, {ENOUGH_SEEDS} needed to reproduce")
    if cause.shortcut:
        return verdict(CLOSE, f"protocol: {cause.shortcut}")
    return verdict(REPRODUCED)


def _diagnosis(word: str, excess: float, spread: float, seeds: int, cause: Circumstances) -> str:
    """Name the first cause that applies to a number `excess` away from what rounding allows, to the side of `word`."""
    if cause.misprint:
        return f"print: {cause.misprint}"
    if cause.shortcut:
        return f"protocol: {cause.shortcut}"
    if cause.data != "official":
        return f"data: {cause.data}, not official"
    if cause.trend:
        return f"data: {cause.trend}"
    error = math.hypot(spread, 1.96 * cause.users_error)
    if excess <= error:
        return f"noise: within ±{error:.2g} of {seeds} seed(s) and the sampled users"
    if cause.unexplained == word:
        return f"{UNKNOWN}: it is {word} as printed, too"
    return f"protocol: {cause.protocol}" if cause.protocol else UNKNOWN


def _within(distance: float, bound: float) -> bool:
    # Decimal fractions are not exact in binary: .1115 - .111 must count as half a thousandth.
    return distance <= bound + 1e-12
