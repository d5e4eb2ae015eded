"""Is the method better, or only these lists? Two questions, two tests.

`welch` and `two_level_interval` ask about the *method* (another seed, another user) and decide claims and marks.
`paired_users` asks about the *lists* of one seed and decides nothing: one method trained twice gives different lists.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from reprise.errors import RepriseError


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
    """A difference and its confidence bounds."""

    diff: float
    low: float
    high: float


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


def two_level_interval(
    a: np.ndarray, b: np.ndarray, draws: int = 2000, level: float = 0.95, seed: int = 0, chunk: int = 256
) -> Interval:
    """Bound mean(a) - mean(b) for other seeds *and* other users, from `a` [Sa, U], `b` [Sb, U], same users in order.

    Each draw resamples the seeds of a, the seeds of b, and the users of both together. Percentiles of such draws are
    too narrow for three to five seeds (a bootstrap sees (S-1)/S of the variance and has no t tail), and their variance
    counts the seed-by-user noise three times. So only variances are taken from the draws:

    * seed weights are rescaled by sqrt(S / (S-1)) (Rao & Wu 1988), which makes their variance unbiased;
    * a draw is split into what the seeds did, what the users did, and what only both did; with variances V_a and V_b
      (seeds), V_u and V_x, the error is V_a + V_b + max(V_u - V_x, 0): both V_seeds and V_u contain the noise that V_x
      measures, so one of them gives it back (two-way clustering, Cameron, Gelbach & Miller 2011);
    * the quantile is Student's t with the Satterthwaite degrees of freedom of that sum.

    Where the methods differ by the same amount for every user this is Welch's interval; where they do not, it is wider.
    `chunk` bounds memory to about chunk * U numbers and changes no result.

    Raises
    ------
    RepriseError
        With unequal numbers of users, fewer than two seeds on a side, or a value that is not finite.
    """
    a, b = _finite(a, "per-user values", ndim=2), _finite(b, "per-user values", ndim=2)
    if a.shape[1] != b.shape[1]:
        raise RepriseError("two_level_interval", expected="the same users", found=f"{a.shape[1]} and {b.shape[1]}")
    _at_least_two_seeds(len(a), len(b))
    random_a, random_b, random_users = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(3))
    shift_a, shift_b = _seed_shifts(random_a, len(a), draws), _seed_shifts(random_b, len(b), draws)
    means_a, means_b = a.mean(1), b.mean(1)
    diff = float(means_a.mean() - means_b.mean())
    moved = _user_draws(random_users, np.concatenate([a, b]), draws, chunk)
    moved_a, moved_b = moved[:, : len(a)] - means_a, moved[:, len(a) :] - means_b
    by_seeds_a, by_seeds_b = shift_a @ means_a, shift_b @ means_b
    by_users = moved_a.mean(1) - moved_b.mean(1)
    by_both = (shift_a * moved_a).sum(1) - (shift_b * moved_b).sum(1)
    # Every one of these has expectation 0 by construction, so its mean square is its variance.
    seeds_a, seeds_b, users, both = (float(np.mean(v**2)) for v in (by_seeds_a, by_seeds_b, by_users, by_both))
    parts = [(seeds_a, len(a) - 1), (seeds_b, len(b) - 1), (max(users - both, 0.0), max(a.shape[1] - 1, 1))]
    error = math.sqrt(sum(variance for variance, _ in parts))
    half = float(stats.t.ppf((1 + level) / 2, _satterthwaite(parts))) * error if error else 0.0
    return Interval(diff, diff - half, diff + half)


def same_users(a: pd.DataFrame, b: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Turn two frames [users x seeds], indexed by user, into matrices [Sa, U], [Sb, U] with the users in one order.

    Raises RepriseError if a user is on one side only, or twice on one.
    """
    lone = a.index.symmetric_difference(b.index)
    if len(lone) or not (a.index.is_unique and b.index.is_unique):
        found = f"{len(a)} and {len(b)} rows, {len(lone)} users on one side only"
        raise RepriseError("per-user metrics", expected="the same users on both sides, each once", found=found)
    return a.to_numpy(float).T, b.reindex(a.index).to_numpy(float).T


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


def _seed_shifts(random: np.random.Generator, seeds: int, draws: int) -> np.ndarray:
    """Draw rescaled bootstrap weights of the seeds, less their mean 1/S; [draws, S]."""
    counts = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws)
    return (counts - 1) / seeds * math.sqrt(seeds / (seeds - 1))


def _user_draws(random: np.random.Generator, values: np.ndarray, draws: int, chunk: int) -> np.ndarray:
    """Average every row of `values` [S, U] over resampled users; [draws, S]."""
    users, means = values.shape[1], []
    for start in range(0, draws, chunk):
        rows = min(chunk, draws - start)
        picked = random.integers(users, size=(rows, users)) + users * np.arange(rows)[:, None]
        weights = np.bincount(picked.ravel(), minlength=rows * users).reshape(rows, users)
        # einsum adds in one order whatever the chunk; a matrix product may not.
        means.append(np.einsum("du,su->ds", weights.astype(float), values) / users)
    return np.concatenate(means)


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
