"""Verdicts on printed numbers: the examples a reader would try first, each at its boundary."""

import math

import pytest
from reprise.reporting.verdicts import Circumstances, judge_number

# Printed on Adressa, HR@20: MF .111, MACR over MF .140.
GAP = 0.140 - 0.111


def test_own_number_reproduces():
    assert judge_number(0.111, 3, [0.110, 0.111, 0.112], None).verdict == "reproduced"
    assert judge_number(0.140, 3, [0.139, 0.140, 0.141], GAP).verdict == "reproduced"


def test_plain_mf_does_not_pass_for_macr():
    assert judge_number(0.140, 3, [0.110, 0.111, 0.112], GAP).verdict == "off (low)"


def test_a_baseline_within_five_per_cent_does_not_pass_either():
    # .133 and .128 are 3.8 % apart: the spread of these seeds (PI .0058) would allow it, half the gap does not.
    seeds = [0.127, 0.128, 0.129]
    assert judge_number(0.133, 3, seeds, None).verdict == "reproduced"
    guarded = judge_number(0.133, 3, seeds, 0.133 - 0.128)
    assert guarded.verdict == "close" and "gap" in guarded.reason


def test_a_number_far_above_is_off_high():
    far = judge_number(0.111, 3, [0.2, 0.2, 0.2], None)
    assert far.verdict == "off (high)" and far.deviation == pytest.approx((0.2 - 0.111) / 0.111)


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_never_reproduce(seeds):
    few = judge_number(0.111, 3, [0.111] * seeds, None)
    assert few.verdict == "close" and few.seeds == seeds and "needed" in few.reason


def test_rounding_alone_reproduces_equal_seeds_and_no_more():
    assert judge_number(0.111, 3, [0.1115] * 3, None).verdict == "reproduced"
    assert judge_number(0.111, 3, [0.1116] * 3, None).verdict == "close"


def test_the_spread_excuses_at_most_five_per_cent():
    wild = [0.0, 0.1, 0.2]  # mean .100, PI far above 5 % of the printed value
    assert judge_number(0.1052, 3, wild, None).verdict == "reproduced"  # .0052 <= .0005 + .00526
    assert judge_number(0.1065, 3, wild, None).verdict == "close"  # .0065 > .0005 + .005325


def test_the_edge_of_close():
    assert judge_number(0.100, 3, [0.1155] * 3, None).verdict == "close"  # h + 15 % = .0005 + .015
    assert judge_number(0.100, 3, [0.1156] * 3, None).verdict == "off (high)"
    assert judge_number(0.100, 3, [0.0845] * 3, None).verdict == "close"
    assert judge_number(0.100, 3, [0.0844] * 3, None).verdict == "off (low)"


def test_data_of_another_cut_show_a_trend_however_near_the_number():
    cut = Circumstances(trend="another cut")
    for values in ([0.111] * 3, [0.2] * 3, [0.111]):
        found = judge_number(0.111, 3, values, None, cut)
        assert (found.verdict, found.reason) == ("trend", "another cut")
    assert judge_number(0.111, 3, [], None, cut).verdict == "not run"
    # Counts of the data are compared all the same, and a wrong one has its cause.
    assert judge_number(70, 0, [70], None, cut, exact=True).verdict == "reproduced"
    off = judge_number(70, 0, [91], None, cut, exact=True)
    assert (off.verdict, off.reason) == ("off (high)", "data: another cut")


def test_coarse_print_is_unresolved():
    assert judge_number(0.003, 3, [0.003] * 3, None).verdict == "unresolved"  # .0005 is 17 % of .003
    assert judge_number(0.004, 3, [0.004] * 3, None).verdict == "reproduced"  # 12.5 %


def test_no_values_is_not_run_with_its_reason():
    empty = judge_number(0.1, 3, [], None, Circumstances(missing="licence"))
    assert empty.verdict == "not run" and empty.reason == "licence" and math.isnan(empty.mean)


@pytest.mark.parametrize(
    ("cause", "values", "word"),
    [
        (Circumstances(data="rebuilt", protocol="selects on valid"), [0.2] * 3, "data"),
        (Circumstances(protocol="selects on valid"), [0.2] * 3, "protocol"),
        (Circumstances(), [0.2] * 3, "unknown"),
        (Circumstances(protocol="selects on valid", unexplained="off (high)"), [0.2] * 3, "unknown"),
        (Circumstances(protocol="selects on valid", unexplained="off (low)"), [0.2] * 3, "protocol"),
        (Circumstances(users_error=0.05, protocol="selects on valid"), [0.19] * 3, "noise"),  # .09 - .0005 < 1.96 * .05
        (Circumstances(), [0.05, 0.2, 0.35], "noise"),
    ],
)
def test_an_off_number_carries_a_cause(cause, values, word):
    off = judge_number(0.100, 3, values, None, cause)
    assert off.verdict == "off (high)" and off.reason.split(":")[0] == word and "\n" not in off.reason


def test_a_shortcut_reproduces_nothing_and_is_the_first_thing_to_blame():
    capped = Circumstances(data="rebuilt", shortcut="max_epochs=80 for 300")
    for value, verdict in ((0.100, "close"), (0.2, "off (high)")):
        found = judge_number(0.100, 3, [value] * 3, None, capped)
        assert (found.verdict, found.reason) == (verdict, "protocol: max_epochs=80 for 300")


def test_counts_need_no_seeds():
    assert judge_number(13485, 0, [13485], None, exact=True).verdict == "reproduced"
    assert judge_number(13485, 0, [13486], None, exact=True).verdict == "close"
    assert judge_number(0.001300, 6, [0.001296], None, exact=True).verdict == "close"


def test_a_printed_zero_divides_nothing():
    assert judge_number(0.0, 3, [0.1] * 3, None).verdict == "unresolved"
    assert judge_number(0.0, 3, [0.1] * 3, None).deviation == math.inf
