"""Filters and splits: the k-core, the last interactions of every item, a draw that is uniform over items."""

import math
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from reprise.data.pairs import codes, within
from reprise.data.splits import as_text, item_uniform, k_core, last_per_item


def by_hand(user, item, k, order):
    """The rule as a loop, one item at a time."""
    held = set()
    for one in set(item.tolist()):
        rows = sorted((row for row in range(len(item)) if item[row] == one), key=lambda row: order[row])
        n = len(rows)
        m = min(math.floor(0.9 * n), n - 1, k)
        held |= set(rows[n - m:])
    return np.array([row in held for row in range(len(item))])


def test_sizes_of_the_protocol():
    # n = 2, 5, 6, 11, 100 with k = 10: floor(0.9 n) = 1, 4, 5, 9, 90 and n - 1 = 1, 4, 5, 10, 99
    item = np.repeat(np.arange(5), [2, 5, 6, 11, 100])
    mask = last_per_item(np.arange(len(item)), item, 10, seed=0)
    assert np.bincount(item[mask]).tolist() == [1, 4, 5, 9, 10]


def test_an_item_seen_once_keeps_its_interaction():
    assert last_per_item(np.array([3]), np.array([8]), 10, seed=0).tolist() == [False]


def test_takes_the_last_by_the_given_order():
    item = np.array([4, 4, 9, 4, 9])
    time = np.array([30, 10, 5, 20, 6])
    assert last_per_item(np.arange(5), item, 1, order=time).tolist() == [True, False, False, False, True]


def test_equal_times_keep_the_order_of_the_rows():
    assert last_per_item(np.arange(4), np.zeros(4, int), 2, order=np.zeros(4)).tolist() == [False, False, True, True]


@pytest.mark.parametrize("k", [0, 1, 3, 50])
def test_agrees_with_a_plain_loop(k):
    rng = np.random.default_rng(k)
    item = rng.zipf(1.5, 400) % 60 * 7  # ids with holes, very unequal counts
    user, order = rng.integers(0, 50, 400), rng.integers(0, 20, 400)  # many ties
    np.testing.assert_array_equal(last_per_item(user, item, k, order=order), by_hand(user, item, k, order))


def test_seeded_order_does_not_depend_on_the_rows_order():
    rng = np.random.default_rng(1)
    pairs = np.unique(rng.integers(0, 40, (300, 2)), axis=0)
    held = {tuple(pair) for pair in pairs[last_per_item(*pairs.T, 3, seed=5)]}
    shuffled = rng.permutation(pairs)
    assert {tuple(pair) for pair in shuffled[last_per_item(*shuffled.T, 3, seed=5)]} == held
    assert {tuple(pair) for pair in pairs[last_per_item(*pairs.T, 3, seed=6)]} != held


def test_seeded_order_favours_no_user():
    # 40 items with the same 10 users, 5 held out each: every user expects 40 * 5/10 = 20 of 40, sd = sqrt(40 / 4) = 3.2
    user, item = np.tile(np.arange(10), 40), np.repeat(np.arange(40), 10)
    held = np.bincount(user[last_per_item(user, item, 5, seed=3)], minlength=10)
    assert held.sum() == 200 and abs(held - 20).max() < 4 * 3.2


def test_nothing_is_held_out_of_nothing():
    assert last_per_item(np.array([], int), np.array([], int), 3, seed=0).tolist() == []


@pytest.mark.parametrize("wrong", [{}, {"seed": 1, "order": np.zeros(2)}, {"order": np.zeros(3)}])
def test_needs_one_order_of_the_right_length(wrong):
    with pytest.raises(ValueError):
        last_per_item(np.zeros(2, int), np.zeros(2, int), 1, **wrong)


@pytest.mark.parametrize("k", [1, 3])
def test_a_core_with_a_largest_number_counts_both_before_it_drops_either(k):
    rng = np.random.default_rng(k)
    user, item = rng.zipf(1.6, 900) % 90 * 3, rng.zipf(1.6, 900) % 70 + 1000
    rows = list(range(900))
    while True:
        counts = [Counter(column[row] for row in rows) for column in (user, item)]
        left = [row for row in rows if all(k <= count[column[row]] <= 40 for count, column in
                                           zip(counts, (user, item), strict=True))]
        if left == rows:
            break
        rows = left
    assert np.flatnonzero(k_core(user, item, k, most=40)).tolist() == rows
    assert 0 < len(rows) < k_core(user, item, k).sum()


def core_by_hand(user, item, k):
    """The loop of the official code: drop users, then items, until a full pass drops nothing."""
    rows = set(range(len(user)))
    while True:
        before = len(rows)
        for column in (user, item):
            counts = Counter(column[row] for row in rows)
            rows = {row for row in rows if counts[column[row]] >= k}
        if len(rows) == before:
            return np.array([row in rows for row in range(len(user))])


def test_a_core_that_falls_one_after_the_other():
    # User 3 has one row; without it item 2 has one, and without that user 2 has one, and so item 1 loses a row.
    user, item = np.array([0, 0, 1, 1, 2, 2, 3]), np.array([0, 1, 0, 1, 1, 2, 2])
    assert k_core(user, item, 2).tolist() == [True] * 4 + [False] * 3
    assert k_core(user, item, 3).tolist() == [False] * 7
    assert k_core(user, item, 1).all()


def test_repeated_rows_count_towards_the_core():
    assert k_core(np.array([0, 0, 1]), np.array([5, 5, 5]), 2).tolist() == [True, True, False]


@pytest.mark.parametrize("k", [2, 3, 5])
def test_the_core_agrees_with_a_plain_loop(k):
    rng = np.random.default_rng(k)
    user, item = rng.zipf(1.6, 900) % 90 * 3, rng.zipf(1.6, 900) % 70 + 1000
    found = k_core(user, item, k)
    np.testing.assert_array_equal(found, core_by_hand(user, item, k))
    assert 0 < found.sum() < 900


def test_times_are_ordered_as_texts():
    time = np.array([838985046, 1083000000, 5, 50, 500, 51, 0, 83898504, 999999999, 1000000000, 10**16])
    assert time[np.argsort(as_text(time))].tolist() == sorted(time.tolist(), key=str)
    assert as_text(np.array([7, 70, 7])).tolist() == [0, 1, 0]


def drawn_by_hand(user, item, size, turn):
    """Row after row in order of `turn`; a row whose item, or user, has no later one is passed over."""
    order = sorted(range(len(item)), key=lambda row: turn[row])
    to_come = Counter((name, column[row]) for row in order for name, column in (("user", user), ("item", item)))
    drawn = []
    for row in order:
        keys = ("user", user[row]), ("item", item[row])
        to_come.subtract(keys)
        if all(to_come[key] for key in keys) and len(drawn) < size:
            drawn.append(row)
    return np.array([row in drawn for row in range(len(item))])


@pytest.mark.parametrize("size", [0, 40, 110])
def test_the_draw_agrees_with_a_plain_loop(size):
    rng = np.random.default_rng(3)
    pairs = rng.permutation(np.unique(np.stack([rng.integers(0, 30, 300), rng.zipf(1.4, 300) % 25], 1), axis=0))
    user, item = pairs.T
    # Exponential variables of rate 1 / n, in the order of item, then user, as the rule has it.
    standard = np.random.default_rng(8).standard_exponential(len(pairs))
    rank = {tuple(pair): at for at, pair in enumerate(sorted(pairs.tolist(), key=lambda pair: (pair[1], pair[0])))}
    n = Counter(item.tolist())
    turn = [standard[rank[u, i]] * n[i] for u, i in pairs.tolist()]
    found = item_uniform(user, item, size, seed=8)
    np.testing.assert_array_equal(found, drawn_by_hand(user, item, size, turn))
    assert found.sum() == size
    assert set(user[~found]) == set(user) and set(item[~found]) == set(item)


def test_the_draw_is_uniform_over_items_and_not_over_rows():
    # 30 items with 20 rows and 30 with 200: the row drawn first is as often of either kind; were the draw uniform over
    # rows, it would be of the first kind 1 time in 11. 60 draws: sd of the count = sqrt(60 / 4) = 3.9.
    item = np.concatenate([np.repeat(np.arange(30), 20), np.repeat(np.arange(30, 60), 200)])
    user = np.arange(len(item)) % 100
    firsts = [item[item_uniform(user, item, 1, seed)][0] for seed in range(60)]
    assert abs(sum(first < 30 for first in firsts) - 30) < 4 * 3.9


def test_a_draw_that_would_empty_something_is_refused():
    # Of each item's three rows one stays; users have enough.
    user, item = np.tile(np.arange(3), 4), np.repeat(np.arange(4), 3)
    with pytest.raises(ValueError, match="10 of 12 rows"):
        item_uniform(user, item, 10, seed=1)


def test_pairs_within_others_agree_with_a_set():
    rng = np.random.default_rng(0)
    some, others = rng.integers(0, 40, (2, 200)), rng.integers(0, 40, (2, 300))
    expected = [pair in set(zip(*others.tolist(), strict=True)) for pair in zip(*some.tolist(), strict=True)]
    assert within(codes(*some), codes(*others)).tolist() == expected
    assert not within(codes(*some), np.array([], dtype=np.int64)).any()


def test_five_million_rows_fit_two_gigabytes():
    """ML-10M's size: 69,166 users, 8,790 items, 5 million rows, very unequal counts, and a tail that the core drops.

    The peak is the kernel's high-water mark of the process: ``ru_maxrss`` starts from the peak of whoever started it.
    """
    script = r"""
import re
import numpy as np
from reprise.data.splits import k_core, last_per_item
rng = np.random.default_rng(0)
user = rng.integers(0, 69_166, 5_000_000) ** 2 // 69_166
item = (rng.random(5_000_000) ** 4 * 8_790).astype(np.int64)
user[:20_000], item[:20_000] = rng.integers(69_166, 90_000, 20_000), rng.integers(8_790, 11_000, 20_000)
time = rng.integers(8 * 10**8, 12 * 10**8, 5_000_000)
kept = k_core(user, item, 5)
held = last_per_item(user[kept], item[kept], 10, order=time[kept])
peak = re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())[1]
print(int(kept.sum()), int(held.sum()), int(peak) * 1024)
"""
    kept, held, peak = map(int, subprocess.check_output([sys.executable, "-c", script], text=True).split())
    assert kept == 4_980_000 and held == 87_900  # ten for each of the 8,790 items; the tail has one row a user
    assert peak < 2e9
