"""Judging claims: what their sentences say, on results whose truth is known."""

import math

import numpy as np
import pandas as pd
import pytest
from known_results import A_WINS, B_WINS, EQUAL, USERS, Known, claim, verdict
from reprise.errors import RepriseError
from reprise.reporting.judging import judge_claim, judge_claims


@pytest.mark.parametrize(
    ("kind", "truth", "expected"),
    [
        ("better_than", A_WINS, "holds"), ("better_than", EQUAL, "undecided"), ("better_than", B_WINS, "contradicted"),
        ("worse_than", A_WINS, "contradicted"), ("worse_than", EQUAL, "undecided"), ("worse_than", B_WINS, "holds"),
        ("significant", A_WINS, "holds"),
    ],
)
def test_better_and_worse(kind, truth, expected):
    judged = verdict(claim(kind), truth)
    assert judged.verdict == expected and judged.low <= judged.effect <= judged.high
    assert judged.effect == pytest.approx(truth["A", "hr"] - truth["B", "hr"]) and 0 <= judged.p <= 1


def test_less_is_better_for_a_divergence():
    assert verdict(claim(metric="ckl"), {("A", "ckl"): 0.1, ("B", "ckl"): 0.2}).verdict == "holds"


@pytest.mark.parametrize(("metric", "expected"), [("hr", "contradicted"), ("ckl", "holds")])
def test_less_is_better_for_a_divergence_in_a_group_too(metric, expected):
    means = {"A": [0.1, 0.11, 0.12], "B": [0.2, 0.21, 0.22]}
    grouped = {name: pd.DataFrame([values], index=["items>500"]) for name, values in means.items()}
    assert verdict(claim(metric=metric, group="items>500"), grouped=grouped).verdict == expected


def test_one_seed_decides_nothing():
    judged = verdict(claim(), A_WINS, seeds=1)
    assert judged.verdict == "undecided" and judged.reason == "one seed" and judged.effect == pytest.approx(0.1)


def test_seeds_that_differ_widely_decide_nothing():
    assert verdict(claim(), A_WINS, seed_sd=0.2).verdict == "undecided"


def test_no_p_where_the_test_set_chose_but_the_interval_decides():
    judged = verdict(claim(), A_WINS, selects_on_test=True)
    assert judged.verdict == "holds" and math.isnan(judged.p)


def test_the_interval_and_welch_must_agree():
    class Uneven(Known):
        """Seeds at ±s, so Welch's error is √2 s; half of the users gain g more, half g less, with g²/U = 3 s²."""

        def users(self, cell):
            base = np.array([[-0.001, 0.001]]) + np.zeros((USERS, 1))
            gain = 0.001 * math.sqrt(3 * USERS) * np.resize([[1], [-1]], (USERS, 1)) + 3.9 * math.sqrt(2) * 0.001
            return pd.DataFrame(base + gain if cell.method == "A" else base)

    # 3.9 errors are fewer than t(2) = 4.3 asks; the interval, with 1 + 1.5 of their variance, has df 12.5 and ends
    # at √2.5 * t(12.5) = 3.4 errors.
    judged = judge_claim(claim(), Uneven({}))
    assert judged.low > 0 and judged.p > 0.05 and judged.verdict == "undecided" and "disagrees" in judged.reason
    assert judge_claim(claim(), Uneven({}, selects_on_test=True)).verdict == "holds"


def test_the_effect_ratio_compares_with_the_printed_gain():
    assert verdict(claim(), A_WINS, printed={"A": 0.6, "B": 0.4}).effect_ratio == pytest.approx(1 / 2)
    assert math.isnan(verdict(claim(), A_WINS, printed={"A": 0.6, "B": 0.6}).effect_ratio)


def test_a_missing_method_is_not_run_with_its_reason():
    judged = verdict(claim(rhs="IPW"), A_WINS)
    assert judged.verdict == "not run" and judged.reason == "IPW: no implementation"


def test_different_users_are_an_error():
    class Cut(Known):
        def users(self, cell):
            return super().users(cell).iloc[: -1 if cell.method == "B" else None]

    with pytest.raises(RepriseError, match="same users"):
        judge_claim(claim(), Cut({("d", *key): value for key, value in A_WINS.items()}))


def test_slightly_allows_five_per_cent():
    slightly = {"kind": "worse_than", "printed_check": "operationalised as lhs <= 1.05*rhs"}
    assert verdict(claim(**slightly), {("A", "hr"): 0.52, ("B", "hr"): 0.5}).verdict == "holds"
    assert verdict(claim("worse_than"), {("A", "hr"): 0.52, ("B", "hr"): 0.5}).verdict == "contradicted"
    assert verdict(claim(**slightly), {("A", "hr"): 0.58, ("B", "hr"): 0.5}).verdict == "contradicted"


def test_about_the_same_is_within_five_per_cent():
    same = claim("relative_improvement", value="about 0 (marginal)")
    assert verdict(same, {("A", "hr"): 0.51, ("B", "hr"): 0.5}).verdict == "holds"
    assert verdict(same, {("A", "hr"): 0.54, ("B", "hr"): 0.5}).verdict == "contradicted"
    assert verdict(same, {("A", "hr"): 0.525, ("B", "hr"): 0.5}).verdict == "undecided"


class Drifting(Known):
    """A's gain over B in each group of users; `Known` makes the seeds."""

    def users(self, cell):
        gain = self.grouped[cell.group] if cell.method == "A" else 0
        return super().users(cell._replace(method="B")) + 0.1 * gain


def test_claims_on_drifting_users_must_hold_in_every_group():
    truth = {("d", "B", "hr"): 0.1}

    def found(kind, *gains, **others):
        groups = dict(zip(("eta>0", "eta>1", "eta>2"), gains, strict=True))
        return judge_claim(claim(kind, group="eta>0,1,2", **others), Drifting(truth, grouped=groups)).verdict

    assert found("better_than", 0.5, 0.5, 0.5) == "holds"
    assert found("better_than", 0.5, 0.5, -0.5) == "contradicted"
    assert found("better_than", 0.5, 0.5, 0) == "undecided"
    assert found("monotone", 0.1, 0.2, 0.4) == "holds"
    assert found("monotone", 0.1, 0.4, 0.2) == "contradicted"
    assert found("relative_improvement", 0.2, 0.2, 0.2, value="20%") == "holds"
    assert found("relative_improvement", 0.2, 0.2, 0.9, value="20%") == "contradicted"


def test_means_of_two_groups_of_one_method_are_compared_pair_by_pair():
    names = ["majority1", "majority2", "minority1", "minority2"]
    parsed = claim(lhs="A in majority1;A in majority2", rhs="A in minority1;A in minority2")
    for values, said in [((5, 6, 3, 4), "holds"), ((5, 3, 3, 4), "contradicted"), ((5, 4, 3, 4), "undecided")]:
        means = pd.DataFrame([[value - 0.1, value, value + 0.1] for value in values], index=names)
        assert judge_claim(parsed, Known({}, grouped={"A": means})).verdict == said


def test_not_worse_holds_for_a_tie_and_not_for_a_loss():
    not_worse = {"text": "not worse than B"}
    assert verdict(claim(**not_worse), {("A", "hr"): 0.5, ("B", "hr"): 0.5}).verdict == "holds"
    assert verdict(claim(), {("A", "hr"): 0.5, ("B", "hr"): 0.5}).verdict == "undecided"
    assert verdict(claim(**not_worse), {("A", "hr"): 0.48, ("B", "hr"): 0.5}).verdict == "contradicted"


def test_every_metric_must_hold():
    parsed = claim(metric="hr;ndcg")
    assert verdict(parsed, A_WINS | {("A", "ndcg"): 0.3, ("B", "ndcg"): 0.1}).reason == "weakest of 2"
    assert verdict(parsed, A_WINS | {("A", "ndcg"): 0.1, ("B", "ndcg"): 0.1}).verdict == "undecided"
    assert verdict(parsed, A_WINS | {("A", "ndcg"): 0.1, ("B", "ndcg"): 0.3}).verdict == "contradicted"
    assert verdict(parsed, A_WINS).verdict == "not run"


def test_left_alternatives_need_one_and_the_right_needs_all():
    truth = {("A", "hr"): 0.2, ("B", "hr"): 0.3, ("C", "hr"): 0.1}
    assert verdict(claim(lhs="A|B", rhs="C"), truth).verdict == "holds"
    assert verdict(claim(lhs="C|B", rhs="A"), truth).verdict == "holds"
    assert verdict(claim(lhs="C|unrun", rhs="A"), truth).verdict == "not run"  # the other one may yet hold
    assert verdict(claim(lhs="C;B", rhs="A"), truth).verdict == "contradicted"
    assert verdict(claim(lhs="A", rhs="C|B"), truth).verdict == "contradicted"
    assert verdict(claim(lhs="B", rhs="C|A"), truth).verdict == "holds"
    assert verdict(claim(lhs="A|B", rhs="C|A"), truth).verdict == "holds"  # one to one


def test_all_others_and_the_others_of_a_column():
    truth = {("MF", "hr"): 0.1, ("X_MF", "hr"): 0.2, ("LightGCN", "hr"): 0.15, ("X_LightGCN", "hr"): 0.3}
    assert verdict(claim(lhs="X_LightGCN", rhs="all other methods"), truth).verdict == "holds"
    assert verdict(claim(lhs="X_MF", rhs="all other methods"), truth).verdict == "contradicted"
    assert verdict(claim("significant", "X_MF", "every other method in its column"), truth).verdict == "holds"
    family = claim(text="A X variant has the highest HR", lhs="X_MF", rhs="all other methods")
    assert verdict(family, truth).effect == pytest.approx(0.3 - 0.15)  # X_LightGCN against the best that is no X
    assert verdict(family, truth | {("MF", "hr"): 0.4}).verdict == "contradicted"
    del truth["MF", "hr"]
    assert verdict(family, truth).reason.endswith("1 of 2 not run: X_MF against MF: MF: no implementation")


def sometimes(cells, quantifier, truth):
    texts = {"printed_check": "existential claim"} if quantifier == "some" else {"text": "[paper says: in most cases]"}
    claims = [claim("worse_than", dataset=name, **texts) for name in cells]
    known = {(name, *key): value for name, values in zip(cells, truth, strict=True) for key, value in values.items()}
    return [judged.verdict for judged in judge_claims(claims, Known(known))]


def test_quantified_sentences_are_settled_over_their_cells():
    assert sometimes("def", "some", [A_WINS, B_WINS, A_WINS]) == ["holds"] * 3
    assert sometimes("def", "some", [A_WINS, A_WINS, A_WINS]) == ["contradicted"] * 3
    assert sometimes("def", "some", [A_WINS, EQUAL, A_WINS]) == ["undecided"] * 3
    assert sometimes("def", "some", [A_WINS, B_WINS, {}]) == ["holds", "holds", "not run"]
    assert sometimes("def", "most", [B_WINS, B_WINS, A_WINS]) == ["holds"] * 3
    assert sometimes("defg", "most", [B_WINS, B_WINS, A_WINS, A_WINS]) == ["contradicted"] * 4
    assert sometimes("def", "most", [B_WINS, EQUAL, A_WINS]) == ["undecided"] * 3
    assert sometimes("def", "most", [B_WINS, {}, A_WINS]) == ["not run"] * 3


@pytest.mark.parametrize(
    ("value", "truth", "expected"),
    [
        ("100%", A_WINS, "holds"), ("50%", A_WINS, "contradicted"), ("-100%", A_WINS, "contradicted"),
        ("0%", EQUAL, "holds"), ("1%", EQUAL, "undecided"), ("-50%", B_WINS, "holds"),
    ],
)
def test_relative_gain(value, truth, expected):
    judged = verdict(claim("relative_improvement", value=value), truth)
    gain = truth["A", "hr"] / truth["B", "hr"] - 1
    assert judged.verdict == expected and judged.effect == pytest.approx(gain)


def test_a_gain_is_a_fall_where_less_is_better():
    judged = verdict(claim("relative_improvement", metric="ckl", value="50%"), {("A", "ckl"): 0.1, ("B", "ckl"): 0.2})
    assert judged.verdict == "holds" and judged.low < judged.effect < judged.high


def test_rounding_widens_the_printed_gain():
    # Hardly any spread: only half a unit of the last digit makes 1/3 and 33 % agree.
    truth, exact = {("A", "hr"): 4.0, ("B", "hr"): 3.0}, {"seeds": 3, "seed_sd": 1e-6}
    assert verdict(claim("relative_improvement", value="33%"), truth, **exact).verdict == "holds"
    assert verdict(claim("relative_improvement", value="33.0%"), truth, **exact).verdict == "contradicted"


def test_the_average_gain_needs_every_data_set():
    parsed = claim("relative_improvement", dataset="ALL", value="0.75")
    truth = {("d", "A", "hr"): 0.2, ("d", "B", "hr"): 0.1, ("e", "A", "hr"): 0.15, ("e", "B", "hr"): 0.1}
    judged = judge_claim(parsed, Known(truth))
    assert judged.verdict == "holds" and judged.effect == pytest.approx((1 + 0.5) / 2)
    del truth["e", "B", "hr"]
    assert judge_claim(parsed, Known(truth)).verdict == "not run"


def test_gains_on_two_data_sets():
    truth = {("d", "A", "hr"): 0.2, ("d", "B", "hr"): 0.1, ("e", "A", "hr"): 0.15, ("e", "B", "hr"): 0.1}
    judged = judge_claim(claim(lhs="gain(A/B)@D", rhs="gain(A/B)@E"), Known(truth))
    assert judged.verdict == "holds" and judged.effect == pytest.approx(1 - 0.5) and math.isnan(judged.p)
    assert judge_claim(claim(lhs="gain(A/B)@E", rhs="gain(A/B)@D"), Known(truth)).verdict == "contradicted"
    assert judge_claim(claim(lhs="gain(A/B)@E", rhs="gain(A/B)@D"), Known(truth, seeds=1)).verdict == "undecided"


def test_gains_on_the_data_sets_of_the_claim():
    truth = {("d", "A", "hr"): 0.2, ("d", "B", "hr"): 0.1, ("d", "C", "hr"): 0.16}
    parsed = claim(dataset="D;E", lhs="gain(A/B)", rhs="gain(C/B)")
    judged = judge_claim(parsed, Known(truth | {("e", *key[1:]): value for key, value in truth.items()}))
    assert judged.verdict == "holds" and judged.effect == pytest.approx(1 - 0.6)
    turned = {("e", "A", "hr"): 0.16, ("e", "B", "hr"): 0.1, ("e", "C", "hr"): 0.2}
    assert judge_claim(parsed, Known(truth | turned)).verdict == "contradicted"


@pytest.mark.parametrize(("metric", "expected"), [("hr", "contradicted"), ("ckl", "holds")])
def test_one_method_on_two_data_sets(metric, expected):
    parsed = claim(dataset="D;E", lhs="A on D", rhs="A on E", metric=metric)
    known = {("d", "A", metric): 0.1, ("e", "A", metric): 0.2}
    judged = judge_claim(parsed, Known(known))
    assert judged.verdict == expected and judged.effect == pytest.approx(-0.1)
    assert judge_claim(parsed, Known(known, seeds=1)).verdict == "undecided"
    assert judge_claim(parsed, Known({("d", "A", metric): 0.1})).verdict == "not run"


def test_most_of_a_range():
    points = [f"A[t={t}]" for t in range(4)], [f"B[t={t}]" for t in range(4)]
    parsed = claim(text="better over most of the range", lhs=";".join(points[0]), rhs=";".join(points[1]))

    def judged(*wins):
        sides = {1: (0.2, 0.1), 0: (0.1, 0.1), -1: (0.1, 0.2)}
        truth = {("d", name, "hr"): sides[win][side]
                 for side in (0, 1) for name, win in zip(points[side], wins, strict=True)}
        return judge_claim(parsed, Known(truth))

    assert judged(1, 1, 1, -1).verdict == "holds" and judged(1, 1, -1, -1).verdict == "contradicted"
    assert judged(1, 1, 0, -1).verdict == "undecided"
    assert judged(1, 1, 1, -1).reason.startswith("3 of 4 holds: A[t=")


def test_two_sweeps_must_both_run_as_claimed():
    parsed = claim("monotone", "A[c]; B[c]", "increasing on 0..2")
    rising, falling = ({0: 0.1, 1: 0.2, 2: 0.3}, {0: 0.3, 1: 0.2, 2: 0.1})
    assert verdict(parsed, curves={("A", "c"): rising, ("B", "c"): rising}).verdict == "holds"
    half = verdict(parsed, curves={("A", "c"): rising, ("B", "c"): falling})
    assert half.verdict == "contradicted" and "B: turns back" in half.reason


def sweep(points, text="increasing on 0..3", seeds=3):
    return verdict(claim("monotone", "A[c]", text), curves={("A", "c"): dict(enumerate(points))}, seeds=seeds)


def test_sweeps():
    assert sweep([0.1, 0.2, 0.2, 0.3]).verdict == "holds"  # a tie is allowed
    fallen = sweep([0.1, 0.3, 0.2, 0.3])
    assert fallen.verdict == "contradicted" and fallen.reason == "turns back from 1 to 2"
    assert sweep([0.3, 0.2, 0.1, 0.0]).verdict == "contradicted"
    assert sweep([0.2, 0.2, 0.2, 0.2]).verdict == "undecided"
    assert sweep([0.1, 0.2, 0.2, 0.3], seeds=1).reason == "one seed"


def test_a_slow_return_is_not_confirmed():
    # No single step of .0004 stands out from the seeds' .0001, three of them do: neither a rise nor a proven fall.
    slow = sweep([0.1, 0.2, 0.1996, 0.1992, 0.1988, 0.2500], text="increasing on 0..5")
    assert slow.verdict == "undecided" and slow.reason.startswith("turns back from")


def test_sweep_bounds():
    points = [0.3, 0.2, 0.1, 0.2, 0.3]
    assert sweep(points, "increasing on 2..4").verdict == "holds"
    assert sweep(points, "decreasing on 0..2").verdict == "holds"
    assert sweep(points, "increasing on c>2").verdict == "holds"
    short = sweep(points, "increasing on 2..9")
    assert short.verdict == "not run" and short.reason == "the sweep goes from 0 to 4"


def test_slopes_after_the_optimum():
    parsed = claim("worse_than", "slope after optimum of A[c]", "slope after optimum of B[c]")
    fast, slow = dict(enumerate([0.1, 0.3, 0.1])), dict(enumerate([0.1, 0.3, 0.28]))
    judged = verdict(parsed, curves={("A", "c"): fast, ("B", "c"): slow})
    assert judged.verdict == "holds" and judged.effect == pytest.approx(-0.2 + 0.02, abs=1e-3)
    assert verdict(parsed, curves={("A", "c"): slow, ("B", "c"): fast}).verdict == "contradicted"
    # Of divergences the optimum is the lowest, and what rises behind it gets worse.
    fast, slow = ({point: 1 - value for point, value in curve.items()} for curve in (fast, slow))
    parsed = claim("worse_than", "slope after optimum of A[c]", "slope after optimum of B[c]", metric="ckl")
    assert verdict(parsed, curves={("A", "c"): fast, ("B", "c"): slow}).verdict == "holds"
    rising = dict(enumerate([0.9, 0.8, 0.7]))
    assert "no optimum" in verdict(parsed, curves={("A", "c"): rising, ("B", "c"): fast}).reason
