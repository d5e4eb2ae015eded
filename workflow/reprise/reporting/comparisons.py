"""One comparison of a claim: methods, relative gains, sweeps, slopes; each answers with a `ClaimVerdict`.

What decides: for methods, `holds` needs the two-level interval of the difference to exclude 0 on the claimed side and,
where a p-value may be given, Welch's test over seed means to agree (p < .05); `contradicted` needs the same on the
other side; everything else is `undecided`. With one seed on a side nothing can be decided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from reprise.evaluation.significance import Interval, Sample, holm, two_level_interval, welch
from reprise.reporting.lookup import Cell, Lookup, Missing, OneSeed

HOLDS, CONTRADICTED, UNDECIDED, NOT_RUN = "holds", "contradicted", "undecided", "not run"
ALPHA = 0.05

# Metrics of which less is better: calibration divergence, seconds.
LOWER_IS_BETTER = frozenset({"ckl", "response_time", "response_ratio"})


def sign_of(metric: str) -> int:
    """1, or -1 of a metric of which less is better."""
    return -1 if metric in LOWER_IS_BETTER else 1


@dataclass(frozen=True)
class ClaimVerdict:
    """A verdict with our effect (left - right, or the gain), its interval, Welch's p, and our effect over theirs."""

    verdict: str
    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    effect_ratio: float = math.nan
    reason: str = ""


def compare_methods(lookup: Lookup, left: Cell, right: Cell, better: bool, factor: float = 1.0) -> ClaimVerdict:
    """Judge "left is better (or worse) than right".

    A `factor` states a margin: `worse` against 1.05 * right means "hardly better"; `better` against .95 * right means
    "not worse" (non-inferiority), which still is contradicted by being worse outright.
    """
    a, b = lookup.sample(left), lookup.sample(right)
    sign = sign_of(left.metric) * (1 if better else -1)
    gain = float(a.means.mean() - b.means.mean())
    ratio = _ratio(gain, lookup.printed(left), lookup.printed(right))
    if min(len(a.seeds), len(b.seeds)) < 2:
        return ClaimVerdict(UNDECIDED, gain, effect_ratio=ratio, reason="one seed")
    claimed = _decide(lookup, a, b.times(factor), sign)
    if better and factor != 1:
        outright = _decide(lookup, a, b, sign)
        if outright.verdict == CONTRADICTED:
            return replace(outright, effect_ratio=ratio)
    note = f"against {factor:g} of the right side" if factor != 1 else ""
    return replace(claimed, effect_ratio=ratio, reason=_joined(claimed.reason, note))


def relative_gain(lookup: Lookup, left: Cell, right: Cell) -> Interval:
    """Bound mean(left) / mean(right) - 1; with the other sign where less is better, so that a gain is positive.

    Delta method: the ratio R of means a and b errs as (a - R b) / b, which has a two-level interval.

    Raises
    ------
    OneSeed
        With one seed on a side.
    Missing
        With a right side of 0.
    """
    a, b = lookup.sample(left), lookup.sample(right)
    if min(len(a.seeds), len(b.seeds)) < 2:
        raise OneSeed("one seed")
    base = float(b.means.mean())
    if base == 0:
        raise Missing(f"{right.method} is 0 on {right.dataset}")
    ratio = float(a.means.mean()) / base
    sign = sign_of(left.metric)
    around = two_level_interval(a.times(1 / base), b.times(ratio / base))
    low, high = sorted((sign * (ratio - 1 + around.low), sign * (ratio - 1 + around.high)))
    return Interval(sign * (ratio - 1), low, high, around.note)


def average_gain(gains: list[Interval]) -> Interval:
    """Average relative gains over data sets, whose errors are independent."""
    mean = float(np.mean([gain.diff for gain in gains]))
    half = math.sqrt(sum((gain.high - gain.diff) ** 2 for gain in gains)) / len(gains)
    return Interval(mean, mean - half, mean + half, _note(gains))


def judge_gain(ours: Interval, value: float, decimals: int) -> ClaimVerdict:
    """Judge a printed relative gain `value` (a fraction of `decimals` digits).

    `holds`: the interval covers the value widened by half a unit of its last digit, and excludes 0 on its side (unless
    the claim is "no gain"); `contradicted`: it does not cover; `undecided`: it covers the value and 0.
    """
    half = 0.5 * 10.0**-decimals
    covers = ours.low <= value + half and ours.high >= value - half
    directed = value == 0 or (ours.low > 0 if value > 0 else ours.high < 0)
    verdict = HOLDS if covers and directed else UNDECIDED if covers else CONTRADICTED
    reason = "" if verdict == HOLDS else "the interval covers 0 too" if covers else (
        f"same direction, {value:.2%} not covered" if directed else f"{value:.2%} not covered")
    ratio = ours.diff / value if value else math.nan
    return ClaimVerdict(verdict, *ours.bounds, effect_ratio=ratio, reason=_joined(reason, ours.note))


def judge_margin(ours: Interval, margin: float) -> ClaimVerdict:
    """Judge "about the same": `holds` where all of the interval lies within the margin, `contradicted` where none."""
    inside, outside = ours.low >= -margin and ours.high <= margin, ours.low > margin or ours.high < -margin
    verdict = HOLDS if inside else CONTRADICTED if outside else UNDECIDED
    return ClaimVerdict(verdict, *ours.bounds, reason=_joined(f"taken as within {margin:.0%}", ours.note))


def compare_gains(first: Interval, second: Interval, better: bool, printed_diff: float | None) -> ClaimVerdict:
    """Judge "one relative gain is larger than another" on two data sets, whose errors are independent.

    A ratio has no Welch test, so the interval alone decides.
    """
    diff = first.diff - second.diff
    half = math.hypot(first.high - first.diff, second.high - second.diff)
    sign = 1 if better else -1
    verdict = _side(sign, Interval(diff, diff - half, diff + half))
    ratio = diff / printed_diff if printed_diff else math.nan
    reason = _joined(_uncertain(verdict), _note((first, second)))
    return ClaimVerdict(verdict, diff, diff - half, diff + half, effect_ratio=ratio, reason=reason)


def compare_seeds(
    first: np.ndarray, second: np.ndarray, better: bool, with_p: bool, exact: bool = False
) -> ClaimVerdict:
    """Judge "one is larger than the other" from a number a seed on each side, by Welch.

    `exact`: the right side is no run but a number of the data's, known without an error.
    """
    known = np.repeat(second, 2) if exact else second
    if min(len(first), len(known)) < 2:
        return ClaimVerdict(UNDECIDED, float(np.mean(first) - np.mean(second)), reason="one seed")
    test = welch(first, known)
    interval = test.interval()
    verdict = _side(1 if better else -1, interval)
    return ClaimVerdict(verdict, *interval.bounds, p=test.p if with_p else math.nan, reason=_uncertain(verdict))


def judge_sweep(
    curve: pd.DataFrame,
    increasing: bool,
    low: float,
    high: float,
    name: Callable[[float], str] = "{:g}".format,
) -> ClaimVerdict:
    """Judge "the metric rises (falls) from `low` to `high`", from `curve` [points x seeds]; effect is end minus start.

    `name` says what a point of the curve is called.

    Points of a seed are compared with each other, by t intervals over seeds.

    * `contradicted`: a step, or the whole stretch, lies wholly on the wrong side (steps: Holm over all of them, for one
      in forty flat steps would look wrong by chance);
    * `holds`: the stretch lies wholly on the claimed side and no two points of it, in 95 % intervals, turn back
      (ties are allowed);
    * `undecided`: else.

    Raises Missing where the sweep does not reach the bounds.
    """
    curve = curve.sort_index()
    inside = curve[(curve.index >= low) & (curve.index <= high)]
    reaches = all(curve.index.min() <= bound <= curve.index.max() for bound in (low, high) if math.isfinite(bound))
    if len(inside) < 2 or not reaches:
        raise Missing(f"the sweep goes from {curve.index.min():g} to {curve.index.max():g}")
    values = inside.to_numpy(float) * (1 if increasing else -1)
    effect = float(inside.iloc[-1].mean() - inside.iloc[0].mean())
    if values.shape[1] < 2:
        return ClaimVerdict(UNDECIDED, effect, reason="one seed")
    start, end = np.triu_indices(len(values), k=1)
    change, half, p = _steps(values[end] - values[start])
    turned, step = change + half < 0, end == start + 1
    violated = step & (change < 0)
    violated[step] &= holm(p[step]) < ALPHA
    whole = (start == 0) & (end == len(values) - 1)
    bounds = (effect - float(half[whole][0]), effect + float(half[whole][0]))

    def between(pairs: np.ndarray) -> str:
        worst = np.flatnonzero(pairs)[np.argmin(change[pairs])]
        return f"turns back from {name(inside.index[start[worst]])} to {name(inside.index[end[worst]])}"

    if violated.any() or turned[whole].any():
        return ClaimVerdict(CONTRADICTED, effect, *bounds, reason=between(violated if violated.any() else whole))
    if turned.any():
        return ClaimVerdict(UNDECIDED, effect, *bounds, reason=between(turned))
    verdict = HOLDS if (change - half)[whole][0] > 0 else UNDECIDED
    return ClaimVerdict(verdict, effect, *bounds, reason="" if verdict == HOLDS else "flat within its interval")


def compare_slopes(first: pd.DataFrame, second: pd.DataFrame, better: bool, with_p: bool) -> ClaimVerdict:
    """Judge "one curve has a larger slope after its optimum", each curve [points x seeds], by Welch over the seeds.

    The slope of a seed is that of the line from its best point to the sweep's last. Raises Missing where the best point
    is the last.
    """
    slopes = [_slopes_after_optimum(curve) for curve in (first, second)]
    if min(map(len, slopes)) < 2:
        return ClaimVerdict(UNDECIDED, float(slopes[0].mean() - slopes[1].mean()), reason="one seed")
    test = welch(*slopes)
    interval = test.interval()
    verdict = _side(1 if better else -1, interval)
    return ClaimVerdict(verdict, *interval.bounds, p=test.p if with_p else math.nan, reason=_uncertain(verdict))


def _decide(lookup: Lookup, a: Sample, b: Sample, sign: int) -> ClaimVerdict:
    """Decide whether sign * (a - b) > 0."""
    interval = two_level_interval(a, b)
    p = math.nan if lookup.selects_on_test else welch(a.means, b.means).p
    verdict = _side(sign, interval)
    reason = _uncertain(verdict)
    if not reason and p >= ALPHA:
        verdict, reason = UNDECIDED, f"the interval excludes 0, Welch's p = {p:.2g} disagrees"
    return ClaimVerdict(verdict, *interval.bounds, p=p, reason=_joined(reason, interval.note))


def _note(intervals: Iterable[Interval]) -> str:
    """What some of these intervals leave out."""
    return _joined(*dict.fromkeys(interval.note for interval in intervals))


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def _side(sign: int, interval: Interval) -> str:
    low, high = sorted((sign * interval.low, sign * interval.high))
    return HOLDS if low > 0 else CONTRADICTED if high < 0 else UNDECIDED


def _uncertain(verdict: str) -> str:
    """Why an interval alone leaves a comparison undecided."""
    return "the interval covers 0" if verdict == UNDECIDED else ""


def _ratio(gain: float, printed_left: float | None, printed_right: float | None) -> float:
    printed = printed_left - printed_right if None not in (printed_left, printed_right) else 0.0
    return gain / printed if printed else math.nan


def _steps(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give mean, half width of the 95 % t interval, and two-sided p of every row of `differences` [P, S]."""
    seeds = differences.shape[1]
    mean, error = differences.mean(1), differences.std(1, ddof=1) / math.sqrt(seeds)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(mean == 0, 1.0, 2 * stats.t.sf(np.abs(mean) / error, seeds - 1))
    return mean, stats.t.ppf(1 - ALPHA / 2, seeds - 1) * error, p


def _slopes_after_optimum(curve: pd.DataFrame) -> np.ndarray:
    curve = curve.sort_index()
    values, points = curve.to_numpy(float), curve.index.to_numpy(float)
    best = values.argmax(0)
    if (best == len(points) - 1).any():
        raise Missing(f"no optimum before the sweep's end at {points[-1]:g}")
    return (values[-1] - values[best, np.arange(values.shape[1])]) / (points[-1] - points[best])
