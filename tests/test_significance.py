"""Tests of the tests: hand-computed values, reference implementations, brute-force oracles, calibration."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from reprise.errors import RepriseError
from reprise.evaluation.aa import false_positive_rates
from reprise.evaluation.significance import (
    OTHER_USERS,
    SEEDS_ALONE,
    Sample,
    holm,
    kendall,
    paired_users,
    prediction_interval,
    same_users,
    sketch,
    two_level_interval,
    welch,
)
from scipy import stats
from statsmodels.stats.multitest import multipletests


def test_welch_by_hand():
    # a: mean 2, variance 1, error 1/3; b: mean 6, variance 4, error 4/3; df = (5/3)^2 / ((1/9)/2 + (16/9)/2) = 50/17.
    result = welch([1, 2, 3], [4, 6, 8])
    assert result.diff == -4 and result.error == pytest.approx(math.sqrt(5 / 3)) and result.df == pytest.approx(50 / 17)
    assert result.p == pytest.approx(2 * stats.t.cdf(-4 / math.sqrt(5 / 3), 50 / 17))
    assert result.g == pytest.approx((1 - 3 / 15) * -4 / math.sqrt(5 / 2))  # J = 4/5, pooled variance 5/2


def test_welch_agrees_with_scipy():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=4), rng.normal(1, 3, size=7)
    assert welch(a, b).p == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)
    interval, theirs = welch(a, b).interval(), stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize(("b", "p"), [([0.1] * 3, 1), ([0.2] * 3, 0)])
def test_welch_of_deterministic_methods(b, p):
    result = welch([0.1] * 3, b)
    assert result.p == p and not any(math.isnan(value) for value in result)


def test_welch_refuses_one_seed():
    with pytest.raises(RepriseError, match="two seeds"):
        welch([0.1], [0.1, 0.2])


def crossed(rng, seeds, users, user_sd=0.3, seed_sd=0.02, noise_sd=0.2, shift=0.0):
    """Per-user values [seeds, users] of one method: users vary, seeds vary, and both together vary."""
    user = rng.normal(0, user_sd, users) if np.isscalar(user_sd) else user_sd
    return shift + user + rng.normal(0, seed_sd, (seeds, 1)) + rng.normal(0, noise_sd, (seeds, users))


def sample(values) -> Sample:
    """The sample of per-user values [seeds, users]."""
    return Sample.of(pd.DataFrame(np.transpose(values)))


def interval_of(a, b):
    """The two-level interval between per-user values [seeds, users]."""
    return two_level_interval(sample(a), sample(b))


def slow_variances(a, b, draws, rng):
    """The variances of two_level_interval by a bootstrap, one draw, one seed and one user at a time."""
    point_a, point_b = a.mean(1), b.mean(1)
    columns = []
    for _ in range(draws):
        users = [rng.integers(a.shape[1]) for _ in range(a.shape[1])]
        sides = []
        for matrix, point in ((a, point_a), (b, point_b)):
            seeds = [rng.integers(len(matrix)) for _ in matrix]
            by_seed = np.mean([point[s] for s in seeds]) - point.mean()
            by_user = np.mean([row[u] for row in matrix for u in users]) - point.mean()
            joint = np.mean([matrix[s][u] for s in seeds for u in users]) - point.mean()
            unbiased = math.sqrt(len(matrix) / (len(matrix) - 1))
            sides.append((by_seed * unbiased, by_user, (joint - by_seed - by_user) * unbiased))
        (seed_a, user_a, both_a), (seed_b, user_b, both_b) = sides
        columns.append((seed_a, seed_b, user_a - user_b, both_a - both_b))
    return (np.array(columns) ** 2).mean(0)


def test_two_level_interval_against_slow_loops():
    rng = np.random.default_rng(3)
    a, b = crossed(rng, 3, 20, shift=0.2), crossed(rng, 4, 20)
    seeds_a, seeds_b, users, both = slow_variances(a, b, 2500, rng)
    total = seeds_a + seeds_b + users - both
    df = total**2 / (seeds_a**2 / 2 + seeds_b**2 / 3 + (users - both) ** 2 / 19)
    interval = interval_of(a, b)
    assert interval.diff == pytest.approx(a.mean() - b.mean())
    assert interval.high - interval.diff == pytest.approx(stats.t.ppf(0.975, df) * math.sqrt(total), rel=0.05)


def test_two_level_interval_is_welch_where_users_gain_alike():
    rng = np.random.default_rng(4)
    user, seeds_a, seeds_b = rng.normal(size=300), rng.normal(size=(4, 1)), rng.normal(size=(5, 1))
    a, b = user + seeds_a + 1, user + seeds_b
    ours, theirs = interval_of(a, b), welch(a.mean(1), b.mean(1)).interval()
    assert ours.bounds == pytest.approx(theirs.bounds) and not ours.note


def test_two_level_interval_sees_that_users_gain_unequally():
    rng = np.random.default_rng(5)
    user, gain = rng.normal(size=50), rng.normal(0.1, 1, size=50)
    a, b = user + gain + rng.normal(0, 1e-3, (3, 1)), user + rng.normal(0, 1e-3, (3, 1))
    ours = interval_of(a, b)
    assert ours.high - ours.diff > 10 * (welch(a.mean(1), b.mean(1)).interval().high - ours.diff)
    assert ours.high - ours.diff == pytest.approx(stats.t.ppf(0.975, 49) * gain.std() / math.sqrt(50), rel=1e-3)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_two_level_interval_covers_the_truth(seeds):
    rng, covered, studies = np.random.default_rng(seeds), 0, 400
    for _ in range(studies):
        user, gain = rng.normal(0, 0.3, 60), rng.normal(0, 0.15, 60)
        a, b = crossed(rng, seeds, 60, user_sd=user + gain, shift=0.1), crossed(rng, seeds, 60, user_sd=user)
        interval = interval_of(a, b)
        covered += interval.low <= 0.1 <= interval.high
    assert covered >= stats.binom.ppf(0.005, studies, 0.95)


def test_a_sketch_tells_of_users_what_the_users_tell():
    """A sketch knows the users' part of an error to sqrt(2 / 200) / 2 = 5 %; four times that are allowed."""
    rng = np.random.default_rng(6)
    a, b = (sample(crossed(rng, 3, 2000, seed_sd=1e-4)) for _ in range(2))
    exact, one_side, both = (
        two_level_interval(*sides) for sides in ((a, b), (a, b.sketched()), (a.sketched(), b.sketched())))
    assert one_side == both and exact.diff == both.diff and both.note == ""
    assert both.high - both.diff == pytest.approx(exact.high - exact.diff, rel=0.2)
    assert a.sketched().users_error() == pytest.approx(a.users_error(), rel=0.2)
    assert a.users_error() == pytest.approx((a.spread.mean(1) * math.sqrt(2000)).std() / math.sqrt(2000))
    assert a.sketched().spread.shape == (200, 3)


def test_a_sketch_keeps_inner_products():
    """Columns (3, 4) and (4, 3) over two users: mean products 25 / 2 and 24 / 2, at a relative sd of 10 %."""
    (x, y), users = sketch(np.array([[3.0, 4.0], [4.0, 3.0]])).T, 2
    assert users * (x * x).mean() == pytest.approx(25, rel=0.3) and users * (x * y).mean() == pytest.approx(24, rel=0.3)
    rows = np.arange(30.0).reshape(15, 2)
    assert all(sketch(rows, chunk) == pytest.approx(sketch(rows)) for chunk in (1, 4, 15))


def test_a_sketch_has_the_same_weights_for_ever():
    """Numbers 0, 200 and 400 of the generator's stream are the first weights of three users."""
    assert math.sqrt(3) * sketch(np.eye(3))[0] == pytest.approx([1.76405235, -0.36918184, -0.59865394])


def test_users_of_some_seeds_speak_for_all():
    rng = np.random.default_rng(10)
    user, gain = rng.normal(size=3000), rng.normal(0.1, 1, size=3000)
    a, b = crossed(rng, 5, 3000, user_sd=user + gain), crossed(rng, 5, 3000, user_sd=user)
    full, few = sample(a), sample(a)
    few = Sample(few.seeds, few.means, few.spread[:, :2], few.users)
    whole, some = two_level_interval(full, sample(b)), two_level_interval(few, sample(b))
    assert some.diff == whole.diff and some.high == pytest.approx(whole.high, rel=0.03) and some.note == ""
    nobody = Sample(full.seeds, full.means, np.empty((0, 0)), 0)
    alone = two_level_interval(nobody, sample(b))
    assert alone.note == SEEDS_ALONE and alone.bounds == pytest.approx(welch(a.mean(1), b.mean(1)).interval().bounds)


def test_deterministic_lists_have_an_interval_without_nan():
    same = np.tile([0.0, 1.0, 0.5], (3, 1))
    assert interval_of(same, same) == (0, 0, 0, "")


def test_different_users_are_an_error():
    with pytest.raises(RepriseError, match="same users"):
        interval_of(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(RepriseError, match="same users"):
        paired_users(np.zeros(3), np.zeros(4))
    with pytest.raises(RepriseError, match="2 on one side only"):
        same_users(*(Sample.of(pd.DataFrame({1: [0.0, 1.0]}, index=users)) for users in ([1, 2], [1, 3])))
    with pytest.raises(RepriseError, match="each user once"):
        Sample.of(pd.DataFrame({1: [0.0, 1.0]}, index=[1, 1]))


def test_a_record_of_other_users_is_met_over_seeds_alone():
    """Its data may have been others; a page that shows both must still come out, and say so."""
    rng = np.random.default_rng(11)
    a, b = crossed(rng, 3, 40), crossed(rng, 3, 50)
    met = two_level_interval(sample(a), sample(b).sketched())
    assert met.note == OTHER_USERS and met.bounds == pytest.approx(welch(a.mean(1), b.mean(1)).interval().bounds)
    assert two_level_interval(sample(a), sample(a).sketched()).note == ""


def test_samples_have_their_users_in_one_order():
    a = Sample.of(pd.DataFrame({1: [10.0, 20.0]}, index=[1, 2]))
    b = Sample.of(pd.DataFrame({1: [21.0, 11.0], 2: [22.0, 12.0]}, index=[2, 1]))
    assert a.spread[:, 0] == pytest.approx(b.spread[:, 1]) and b.means.tolist() == [16, 17]


def test_paired_users():
    rng = np.random.default_rng(7)
    a, b = rng.normal(0.3, 1, 40), rng.normal(0, 1, 40)
    result = paired_users(a, b)
    assert result.t_p == pytest.approx(stats.ttest_1samp(a - b, 0).pvalue)
    assert result.wilcoxon_p == pytest.approx(stats.wilcoxon(a, b).pvalue)
    assert paired_users(a, a) == (0, 1, 1)
    assert paired_users([3.0] * 9, [2.0] * 9).t_p == 0


AWKWARD = [
    [0.04, 0.01, 0.03],
    [0.5, 0.5, 0.001, 0.001],
    [1.0, 0.0, 0.02, 0.9, 0.02],
    [0.03],
    [0.011, 0.02, 0.022, 0.09, 0.012],
    [0.9, 0.8, 0.7],
]


@pytest.mark.parametrize("p", AWKWARD)
def test_holm_agrees_with_statsmodels_in_awkward_orders(p):
    for order in itertools.islice(itertools.permutations(p), 0, None, 7):
        np.testing.assert_allclose(holm(order), multipletests(order, method="holm")[1])


@pytest.mark.parametrize("p", AWKWARD)
def test_holm_counts_the_missing(p):
    padded = multipletests(p + [1.0] * 4, method="holm")[1][: len(p)]
    assert holm(p, size=len(p) + 4) == pytest.approx(padded)
    with_gaps = holm([math.nan, *p, math.nan], size=len(p) + 4)
    assert np.isnan(with_gaps[[0, -1]]).all() and with_gaps[1:-1] == pytest.approx(padded)


def test_holm_refuses_more_than_its_family():
    with pytest.raises(RepriseError, match="at most 2"):
        holm([0.1, 0.2, 0.3], size=2)


def test_prediction_interval_by_hand():
    assert prediction_interval(0.01, 3) == pytest.approx(4.302653 * 0.01 * math.sqrt(4 / 3))
    with pytest.raises(RepriseError):
        prediction_interval(0.01, 1)


def test_kendall_counts_pairs():
    # Six pairs, one of them turned round: (5 - 1) / 6.
    result = kendall([1, 2, 3, 4], [[1], [3], [2], [4]])
    assert result.tau_b == pytest.approx(4 / 6) and result.n == 4
    assert (result.low, result.high) == pytest.approx((4 / 6, 4 / 6))


def test_kendall_agrees_with_scipy_on_ties():
    printed, ours = [0.1, 0.1, 0.2, 0.3, 0.3], [[0.1], [0.2], [0.2], [0.4], [0.3]]
    theirs = stats.kendalltau(printed, [value for value, in ours]).statistic
    assert kendall(printed, ours).tau_b == pytest.approx(theirs)


def test_kendall_spreads_with_the_seeds_and_skips_the_unrun():
    result = kendall([1, 2, 3, 4], [[0.0, 0.3], [0.1, 0.2], [0.2, 0.6], []])
    assert result.n == 3 and result.low < result.tau_b <= result.high == 1
    assert math.isnan(kendall([1, 2], [[0.1], []]).tau_b)


def test_a_method_does_not_beat_itself():
    """Seeds that differ by more than the sampled users explain: paired tests are fooled, the deciding ones are not."""
    rng = np.random.default_rng(8)
    matrix = crossed(rng, 1200, 300, user_sd=0.3, seed_sd=0.02, noise_sd=0.2)
    rates = false_positive_rates(matrix, seeds_per_side=3, pairs=200)
    assert rates["independent_pairs"] == 200
    assert rates["low"] == stats.binom.ppf(0.025, 200, 0.05) / 200
    assert rates["welch"] <= rates["high"] and rates["two_level"] <= rates["high"]
    assert rates["paired_t"] > 2 * rates["high"] and rates["paired_wilcoxon"] > 2 * rates["high"]


def test_a_real_difference_is_seen():
    rng = np.random.default_rng(9)
    user = rng.normal(0, 0.3, 300)
    a, b = crossed(rng, 3, 300, user_sd=user, shift=0.2), crossed(rng, 3, 300, user_sd=user)
    assert interval_of(a, b).low > 0 and welch(a.mean(1), b.mean(1)).p < 0.05


def test_the_study_needs_runs_for_one_pair():
    with pytest.raises(RepriseError, match="6 runs or more"):
        false_positive_rates(np.zeros((5, 10)), seeds_per_side=3)
