"""The rule that holds out the last interactions of every item."""

import math

import numpy as np
import pytest
from reprise.data.splits import last_per_item


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


@pytest.mark.parametrize("wrong", [{}, {"seed": 1, "order": np.zeros(2)}, {"order": np.zeros(3)}])
def test_needs_one_order_of_the_right_length(wrong):
    with pytest.raises(ValueError):
        last_per_item(np.zeros(2, int), np.zeros(2, int), 1, **wrong)
