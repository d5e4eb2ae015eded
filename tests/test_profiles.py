"""What items and histories are about, against plain Python and numbers that a person can check."""

import math

import numpy as np
import pytest
import torch
from reprise.data.features import Lists
from reprise.data.interactions import Interactions
from reprise.data.profiles import attribute_shares, history_share, kl, mean_share, share_sums

GENRES = [[3, 7], [7], [], [3, 7, 9]]  # of items 0..3; 1, 2, 4, ... stand for nothing


def shares():
    return attribute_shares(Lists.of(np.array(sum(GENRES, [])), np.array([len(some) for some in GENRES])))


def plain(items):
    """p(g | s) of a list of items over the genres 3, 7, 9."""
    about = [item for item in items if GENRES[item]]
    return [sum((genre in GENRES[item]) / len(GENRES[item]) for item in about) / max(1, len(about))
            for genre in (3, 7, 9)]


def test_an_item_divides_itself_among_its_attributes():
    expected = [[1 / 2, 1 / 2, 0], [0, 1, 0], [0, 0, 0], [1 / 3, 1 / 3, 1 / 3]]
    assert torch.allclose(shares(), torch.tensor(expected))


def test_a_history_is_the_mean_of_its_items_and_what_has_no_attributes_does_not_count():
    items = torch.tensor([[0, 1, 1], [2, 3, 9], [2, 9, 9]])
    real = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0]]).bool()
    expected = torch.tensor([[1 / 6, 5 / 6, 0], [1 / 3, 1 / 3, 1 / 3], [0, 0, 0]])
    assert torch.allclose(mean_share(items, real, shares()), expected)


@pytest.mark.parametrize("window", [None, 1, 2, 50])
def test_histories_of_any_length_as_plain_python_has_them(window):
    rng = np.random.default_rng(5)
    lists = [rng.integers(0, 4, size).tolist() for size in (0, 1, 5, 30)]
    pairs = np.array([(user, item) for user, some in enumerate(lists) for item in some])
    history = Interactions.of(pairs, 4, 4, ordered=True)
    users = torch.tensor([3, 0, 2, 1])
    expected = [plain(lists[user][-window:] if window else lists[user]) for user in users.tolist()]
    assert torch.allclose(history_share(history, users, shares(), window), torch.tensor(expected), atol=1e-6)


def test_kl_is_zero_of_itself_and_the_logarithm_of_100_where_nothing_is_shared():
    p = torch.tensor([1 / 2, 1 / 2, 0])
    assert kl(p, p) == 0
    assert kl(p, torch.tensor([0.0, 0.0, 1.0])).item() == pytest.approx(math.log(100), rel=1e-5)
    by_hand = 1 / 2 * math.log((1 / 2) / (0.99 * 1 + 0.01 / 2)) + 1 / 2 * math.log((1 / 2) / (0.01 / 2))
    assert kl(p, torch.tensor([1.0, 0.0, 0.0])).item() == pytest.approx(by_hand, rel=1e-5)


def test_kl_to_base_2_counts_bits():
    p, q = torch.tensor([1.0, 0.0]), torch.tensor([0.25, 0.75])
    # All of p where a quarter of q is: without smoothing log2(1 / (1/4)) = 2 bits.
    assert kl(p, q, smoothing=0.0, base=2).item() == 2


def test_sums_over_counts_are_the_shares_of_what_came_first():
    lists = [[], [3, 2, 1], [0, 1, 1, 2, 3]]
    pairs = np.array([(user, item) for user, some in enumerate(lists) for item in some])
    history = Interactions.of(pairs, 3, 4, ordered=True)
    users, ends = torch.tensor([2, 1, 0, 2]), torch.tensor([4, 2, 0, 0])
    found = share_sums(history, users, ends, shares())
    assert found[:, -1].tolist() == [3, 1, 0, 0]  # items 2 and beyond what was asked for do not count
    expected = torch.tensor([plain(lists[user][:end]) for user, end in zip(users.tolist(), ends.tolist(), strict=True)])
    assert torch.allclose(found[:, :-1] / found[:, -1:].clamp(min=1), expected, atol=1e-6)
