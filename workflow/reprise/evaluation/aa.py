"""The A/A study: how often does each test call a method different from itself?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from reprise.errors import RepriseError
from reprise.evaluation.significance import Sample, paired_users, two_level_interval, welch

TESTS = ("welch", "two_level", "paired_t", "paired_wilcoxon")


def false_positive_rates(
    matrix: np.ndarray, seeds_per_side: int, pairs: int = 200, level: float = 0.05, seed: int = 0
) -> dict[str, float]:
    """Compare one method with itself `pairs` times, on per-user values of its runs, `matrix` [runs, U].

    The runs are shuffled and cut into groups of 2 * seeds_per_side; when they are used up they are shuffled and cut
    again. The two sides of a pair never share a run; `independent_pairs` says how many pairs share none with any other.
    Beyond these the rates are correlated, and the binomial interval is narrower than it should be.

    Returns
    -------
    dict
        `TESTS`: the share of pairs called different (the paired tests see the first seed of each side); `low`, `high`:
        where 95 % of honest tests at `level` lie at this many pairs (binomial); `pairs`, `independent_pairs`.

    Raises
    ------
    RepriseError
        With fewer runs than one pair needs.
    """
    runs, group = len(matrix), 2 * seeds_per_side
    if runs < group:
        raise RepriseError("A/A study", expected=f"{group} runs or more", found=str(runs), fix="train more seeds")
    random, per_shuffle = np.random.default_rng(seed), runs // group
    shuffles = [random.permutation(runs)[: per_shuffle * group] for _ in range(-(-pairs // per_shuffle))]
    groups = np.concatenate(shuffles).reshape(-1, 2, seeds_per_side)[:pairs]

    called = np.array([_called_different(matrix[a], matrix[b], level) for a, b in groups])
    rates = dict(zip(TESTS, called.mean(0).tolist(), strict=True))
    low, high = stats.binom.ppf([0.025, 0.975], pairs, level) / pairs
    bounds = {"low": float(low), "high": float(high)}
    return rates | bounds | {"pairs": pairs, "independent_pairs": min(pairs, per_shuffle)}


def _called_different(a: np.ndarray, b: np.ndarray, level: float) -> list[bool]:
    interval = two_level_interval(*(Sample.of(pd.DataFrame(side.T)) for side in (a, b)), level=1 - level)
    paired = paired_users(a[0], b[0])
    return [welch(a.mean(1), b.mean(1)).p < level, interval.low > 0 or interval.high < 0,
            paired.t_p < level, paired.wilcoxon_p < level]
