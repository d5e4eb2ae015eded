"""Is the method better, or only these lists? Two questions, two tests.

`welch` and `two_level_interval` ask about the *method* (another seed, another user) and decide claims and marks.
`paired_users` asks about the *lists* of one seed and decides nothing: one method trained twice gives different lists.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from reprise.errors import RepriseError

SKETCH = 200  # random sums that stand for all users of a run
SEEDS_ALONE = "over seeds alone"
OTHER_USERS = f"{SEEDS_ALONE}, as the record's users are others"


class Welch(NamedTuple):
    """Difference of means a - b, its standard error, degrees of freedom, two-sided p, and Hedges' g."""

    diff: float
    error: float
    df: float
    p: float
    g: float

    def interval(self, level: float = 0.95) -> Interval:
        """Give Welch's own interval of the difference."""
        half = float(stats.t.ppf((1 + level) / 2, self.df)) * self.error
        return Interval(self.diff, self.diff - half, self.diff + half)


class Interval(NamedTuple):
    """A difference and its confidence bounds; `note` says if they leave something out."""

    diff: float
    low: float
    high: float
    note: str = ""

    @property
    def bounds(self) -> tuple[float, float, float]:
        """The difference and its bounds."""
        return self[:3]


class Paired(NamedTuple):
    """Mean difference a - b over one seed's users, with the p of a paired t and of a Wilcoxon test."""

    diff: float
    t_p: float
    wilcoxon_p: float


class Kendall(NamedTuple):
    """Agreement of two orders of n methods, with percentile bounds over resampled seeds."""

    tau_b: float
    n: int
    low: float
    high: float


def welch(a: Sequence[float], b: Sequence[float]) -> Welch:
    """Test whether seed means `a` [Sa] and `b` [Sb] have one expectation, without assuming one variance.

    Degrees of freedom by Welch and Satterthwaite; g = J * diff / pooled sd with Hedges' J = 1 - 3 / (4 (Sa + Sb) - 9).
    Where neither side varies (a deterministic method), p is 1 if the means are equal and 0 if not.

    Raises
    ------
    RepriseError
        With fewer than two seeds on a side, or a mean that is not finite.
    """
    a, b = _finite(a, "seed means"), _finite(b, "seed means")
    _at_least_two_seeds(len(a), len(b))
    (mean_a, part_a), (mean_b, part_b) = _mean_and_error(a), _mean_and_error(b)
    diff, error = mean_a - mean_b, math.sqrt(part_a + part_b)
    if error == 0:
        g = math.copysign(math.inf, diff) if diff else 0.0
        return Welch(diff, 0.0, float(len(a) + len(b) - 2), float(diff == 0), g)
    df = _satterthwaite([(part_a, len(a) - 1), (part_b, len(b) - 1)])
    pooled = math.sqrt((part_a * len(a) * (len(a) - 1) + part_b * len(b) * (len(b) - 1)) / (len(a) + len(b) - 2))
    small_sample = 1 - 3 / (4 * (len(a) + len(b)) - 9)
    return Welch(diff, error, df, float(2 * stats.t.sf(abs(diff) / error, df)), small_sample * diff / pooled)


@dataclass(frozen=True)
class Sample:
    """One method's runs: what they tell of its mean with other seeds and for other users.

    Attributes
    ----------
    seeds : tuple of int [S]
    means : ndarray [S]
        The mean over users of each seed's run.
    spread : ndarray [R, K]
        How users vary in those K <= S runs whose users are known: the mean square of `spread @ w` over its rows is the
        variance that other users would give to the sum of the runs' means times w. A row is a user, or a random sum.
    users : Index or int
        Who the rows are, in order; of random sums how many users were summed. 0 where K is 0.
    """

    seeds: tuple[int, ...]
    means: np.ndarray
    spread: np.ndarray
    users: pd.Index | int

    @classmethod
    def of(cls, values: pd.DataFrame) -> Sample:
        """What per-user values [users x seeds], indexed by user, tell; raises RepriseError if a user is there twice."""
        values = values.sort_index()
        if not values.index.is_unique:
            raise RepriseError("per-user metrics", expected="each user once", found=f"{len(values)} rows")
        table = _finite(values, "per-user values", ndim=2)
        means = table.mean(0)
        return cls(tuple(values.columns), means, (table - means) / math.sqrt(len(table)), values.index)

    @classmethod
    def without_users(cls, means: pd.Series) -> Sample:
        """What `means`, indexed by seed, tell where nothing is known of the users."""
        return cls(tuple(means.index), means.to_numpy(float), np.empty((0, 0)), 0)

    @property
    def by_seed(self) -> pd.Series:
        """The means, indexed by seed."""
        return pd.Series(self.means, self.seeds)

    @property
    def is_sketch(self) -> bool:
        """Whether random sums stand for the users, of whom no more is known than how many they are."""
        return isinstance(self.users, int)

    @property
    def count(self) -> int:
        """How many users there are."""
        return self.users if self.is_sketch else len(self.users)

    def times(self, factor: float) -> Sample:
        """The sample of the metric times `factor`."""
        return replace(self, means=self.means * factor, spread=self.spread * factor)

    def sketched(self) -> Sample:
        """The same with `SKETCH` random sums in place of its users, which is small enough to be kept for years."""
        return self if self.is_sketch else replace(self, spread=sketch(self.spread), users=self.count)

    def users_error(self) -> float:
        """Standard error over users of the mean over seeds; 0 where no user is known."""
        return math.sqrt((self.spread.mean(1) ** 2).mean()) if self.spread.size else 0.0


def sketch(spread: np.ndarray, chunk: int = 1 << 14) -> np.ndarray:
    """Sums of the rows of `spread` [U, K] with random weights that depend on U alone; [SKETCH, K].

    Inner products of two runs' columns keep their expectation, at a relative error of sqrt(2 / SKETCH) in a variance
    (Achlioptas: Database-friendly random projections, JCSS 2003). `chunk` bounds memory and changes no weight.
    """
    # RandomState promises the same numbers in every release: sums of runs that were recorded in other years must meet.
    random, total = np.random.RandomState(0), np.zeros((SKETCH, spread.shape[1]))
    for start in range(0, len(spread), chunk):
        rows = spread[start : start + chunk]
        total += random.standard_normal((len(rows), SKETCH)).T @ rows
    return total / math.sqrt(len(spread))


def two_level_interval(a: Sample, b: Sample, level: float = 0.95) -> Interval:
    """Bound mean(a) - mean(b) for other seeds *and* other users.

    It is what a bootstrap that resamples seeds and users together comes to with endless draws. Percentiles of such
    draws are too narrow for three to five seeds (a bootstrap sees (S-1)/S of the variance and has no t tail), and their
    variance counts the seed-by-user noise three times. So the variances alone are taken, which need no draws:

    * V_a and V_b, what other seeds change: the seeds' variance over S, unbiased (Rao & Wu 1988);
    * V_u, what other users change, the same users on both sides, and V_x, what changes of both together. V_seeds and
      V_u both contain the noise that V_x measures, so the error is V_a + V_b + max(V_u - V_x, 0) (two-way clustering,
      Cameron, Gelbach & Miller 2011);
    * the quantile is Student's t with the Satterthwaite degrees of freedom of that sum.

    Where the methods differ by the same amount for every user this is Welch's interval; where they do not, the error is
    larger, but known with more degrees of freedom, so that with few seeds the interval can be a little narrower.
    Where the users of a side are not known it is Welch's too, and its `note` says so; also where those that a sketch
    sums are others than the other side's.

    Raises
    ------
    RepriseError
        With different users, known by name, or fewer than two seeds on a side.
    """
    _at_least_two_seeds(len(a.means), len(b.means))
    (mean_a, seeds_a), (mean_b, seeds_b) = _mean_and_error(a.means), _mean_and_error(b.means)
    parts, note = [(seeds_a, len(a.means) - 1), (seeds_b, len(b.means) - 1)], SEEDS_ALONE
    known = a.spread.size and b.spread.size
    if known and (a.is_sketch or b.is_sketch) and a.count != b.count:  # the record may be of other data
        note = OTHER_USERS
    elif known:
        a, b = same_users(a, b)
        between = ((a.spread.mean(1) - b.spread.mean(1)) ** 2).mean()
        both = sum(one.spread.var(axis=1, ddof=1).mean() / one.spread.shape[1] for one in (a, b)
                   if one.spread.shape[1] > 1)
        parts, note = [*parts, (max(between - both, 0.0), max(len(a.spread) - 1, 1))], ""
    error, diff = math.sqrt(sum(variance for variance, _ in parts)), mean_a - mean_b
    half = float(stats.t.ppf((1 + level) / 2, _satterthwaite(parts))) * error if error else 0.0
    return Interval(diff, diff - half, diff + half, note)


def same_users(a: Sample, b: Sample) -> tuple[Sample, Sample]:
    """Two samples with the same rows: users, or random sums of them where one side has no more.

    Raises RepriseError if their users, known by name, are not the same.
    """
    if a.is_sketch or b.is_sketch:
        return a.sketched(), b.sketched()
    if not a.users.equals(b.users):
        lone = len(a.users.symmetric_difference(b.users))
        raise RepriseError("per-user metrics", expected="the same users on both sides",
                           found=f"{a.count} and {b.count}, {lone} on one side only")
    return a, b


def paired_users(a: Sequence[float], b: Sequence[float]) -> Paired:
    """Test whether one seed's lists differ for these users, `a` [U] and `b` [U] (shown, decides nothing).

    Users without a difference are left out of Wilcoxon's ranks; if nobody differs both p are 1. Raises RepriseError if
    the numbers of users differ.
    """
    a, b = _finite(a, "per-user values"), _finite(b, "per-user values")
    if len(a) != len(b):
        raise RepriseError("paired_users", expected="the same users", found=f"{len(a)} and {len(b)} users")
    difference = a - b
    if not difference.any():
        return Paired(0.0, 1.0, 1.0)
    # No spread leaves t without a denominator: everybody differs by the same.
    t_p = float(stats.ttest_rel(a, b).pvalue) if np.ptp(difference) else 0.0
    return Paired(float(difference.mean()), t_p, float(stats.wilcoxon(difference).pvalue))


def holm(p: Sequence[float], size: int | None = None) -> np.ndarray:
    """Adjust `p` [n] for a family of `size` tests (default n) by Holm's step-down method; NaN stays NaN.

    A family fixed in advance counts its missing members: adjusting less because some did not run would reward not
    running them. Raises RepriseError if more than `size` p-values are given.
    """
    p = np.asarray(p, dtype=float)
    known = np.flatnonzero(~np.isnan(p))
    size = len(p) if size is None else size
    if len(known) > size:
        raise RepriseError("holm", expected=f"at most {size} p-values, the family's size", found=str(len(known)))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * (size - np.arange(len(order)))), 1)
    return adjusted


def prediction_interval(sd: float, seeds: int) -> float:
    """Give the half width of the 95 % interval of one more run: t(.975, S-1) * sd * sqrt(1 + 1/S)."""
    _at_least_two_seeds(seeds)
    return float(stats.t.ppf(0.975, seeds - 1)) * sd * math.sqrt(1 + 1 / seeds)


def kendall(printed: Sequence[float], ours: Sequence[Sequence[float]], draws: int = 2000, seed: int = 0) -> Kendall:
    """Compare the printed order of methods [M] with that of our seed means, from `ours` (a sequence of seeds a method).

    Kendall's tau-b (Kendall 1945; ties on either side allowed) with the percentiles 2.5 and 97.5 of `draws` resamplings
    of every method's seeds. A method without a run (an empty sequence) is left out of n; tau is NaN where n < 2 or
    where one side has nothing but ties.
    """
    if len(printed) != len(ours):
        raise RepriseError("kendall", expected=f"{len(printed)} methods", found=str(len(ours)))
    run = [index for index, values in enumerate(ours) if len(values)]
    x = np.asarray(printed, dtype=float)[run]
    values = [_finite(ours[index], "seed means") for index in run]
    if len(run) < 2:
        return Kendall(math.nan, len(run), math.nan, math.nan)
    random = np.random.default_rng(seed)
    resampled = np.stack([v[random.integers(len(v), size=(draws, len(v)))].mean(1) for v in values], axis=1)
    tau = _tau_b(x, np.array([[v.mean() for v in values]]))[0]
    spread = _tau_b(x, resampled)
    low, high = (math.nan, math.nan) if np.isnan(spread).all() else np.nanquantile(spread, [0.025, 0.975])
    return Kendall(float(tau), len(run), float(low), float(high))


def _tau_b(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Compute tau-b of x [M] with every row of y [D, M]; [D]."""
    i, j = np.triu_indices(len(x), k=1)
    sign_x, sign_y = np.sign(x[i] - x[j]), np.sign(y[:, i] - y[:, j])
    with np.errstate(invalid="ignore"):
        return sign_y @ sign_x / np.sqrt(np.abs(sign_x).sum() * np.abs(sign_y).sum(1))


def _satterthwaite(parts: list[tuple[float, int]]) -> float:
    """Degrees of freedom of a sum of independent variance estimates, given (variance, degrees of freedom) of each."""
    return sum(v for v, _ in parts) ** 2 / max(sum(v**2 / df for v, df in parts), np.finfo(float).tiny)


def _mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Mean and squared standard error; exact for equal values, where rounding would leave a tiny variance."""
    if np.ptp(values) == 0:
        return float(values[0]), 0.0
    return float(values.mean()), float(values.var(ddof=1) / len(values))


def _finite(values: Sequence[float] | np.ndarray, what: str, ndim: int = 1) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != ndim or values.size == 0 or not np.isfinite(values).all():
        found = f"shape {values.shape}, {np.sum(~np.isfinite(values))} not finite"
        raise RepriseError(what, expected=f"finite numbers, {ndim}-dimensional", found=found)
    return values


def _at_least_two_seeds(*seeds: int) -> None:
    if min(seeds) < 2:
        raise RepriseError("significance", expected="two seeds or more", found=f"{min(seeds)}", fix="run more seeds")
