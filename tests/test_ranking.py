"""Full ranking against sorting by hand, with ties, masks, short lists and every chunk size."""

import numpy as np
import pytest
import torch
from reprise.errors import RepriseError
from reprise.evaluation import ranking as module
from reprise.evaluation.ranking import Ranking


class Table:
    """Scores from a table; the setting is added, which changes no order, or multiplied in."""

    def __init__(self, table):
        self.table = torch.as_tensor(table, dtype=torch.float32)

    def scores(self, users, history):
        return self.table[users]

    def adjust(self, scores, setting):
        return scores * setting["times"] if setting else scores


def world(users=30, items=50, seed=0, density=0.2):
    rng = np.random.default_rng(seed)
    train = np.argwhere(rng.random((users, items)) < density)
    test = np.argwhere(rng.random((users, items)) < 0.1)
    return rng, train, test[test[:, 0] % 5 != 0]  # every fifth user has nothing held out


def collected(ranking, table, k, settings=({},)):
    lists = [torch.full((len(ranking.users), k), -9) for _ in settings]
    for number, rows, items, _ in ranking.lists(Table(table), settings, k):
        lists[number][rows] = items
    return lists


def sorted_by_hand(ranking, scores, masked, user, k):
    """Descending score, ties by the stated shifted order, masked items left out."""
    n_items = scores.shape[1]
    tie = (ranking.tie_order.numpy() + user * 0x9E3779B1 % n_items) % n_items
    offered = [item for item in range(n_items) if (user, item) not in masked]
    offered.sort(key=lambda item: (-scores[user, item], -tie[item]))
    return (offered + [-1] * k)[:k]


@pytest.mark.parametrize("levels", [3, 10**6])  # three distinct scores: ties everywhere, also on the cut
@pytest.mark.parametrize("k", [1, 7, 50, 60])  # 60 is more than the catalogue
def test_lists_agree_with_sorting_by_hand(levels, k):
    rng, train, test = world()
    scores = rng.integers(-levels, levels, (30, 50)).astype(np.float32) / 8
    ranking = Ranking(test, train, 30, 50, "cpu")
    masked = set(map(tuple, train.tolist()))
    lists = collected(ranking, scores, k)[0]
    assert [user for user in range(30) if user % 5] == ranking.users.tolist()
    for row, user in enumerate(ranking.users.tolist()):
        assert lists[row].tolist() == sorted_by_hand(ranking, scores, masked, user, k)


def test_chunk_size_changes_no_digit(monkeypatch):
    rng, train, test = world()
    scores = rng.integers(0, 4, (30, 50))
    settings = [{"times": 1.0}, {"times": -1.0}]
    whole = Ranking(test, train, 30, 50, "cpu")
    monkeypatch.setattr(module, "CELLS", 50 * 7)
    pieces = Ranking(test, train, 30, 50, "cpu")
    assert pieces.chunk == 7
    for one, other in zip(collected(whole, scores, 10, settings), collected(pieces, scores, 10, settings), strict=True):
        assert torch.equal(one, other)
    names = ("hr", "recall", "ndcg")
    one_by_one = [ranking.measure(Table(scores), settings, 10, names) for ranking in (whole, pieces)]
    for one, other in zip(*one_by_one, strict=True):
        assert one == pytest.approx(other, abs=1e-12)


def test_constant_scores_rank_like_chance():
    # 400 users who each look for the 5 items with the smallest ids: a rule that favours small ids would find them all.
    test = np.array([[user, item] for user in range(400) for item in range(5)])
    ranking = Ranking(test, np.empty((0, 2), int), 400, 100, "cpu")
    [values] = ranking.measure(Table(np.ones((400, 100))), [{}], 10, ("recall", "hr"))
    assert values["recall@10"] == pytest.approx(10 / 100, abs=0.03)
    assert values["hr@10"] < 0.6  # by chance 1 - C(95, 10) / C(100, 10) = 0.42; small ids first would give 1


def test_a_user_whose_items_are_all_masked_gets_an_empty_list():
    test = np.array([[0, 1], [1, 2]])
    train = np.array([[0, item] for item in range(4)])
    ranking = Ranking(test, train, 2, 4, "cpu")
    lists = collected(ranking, np.zeros((2, 4)), 3)[0]
    assert lists[0].tolist() == [-1, -1, -1]
    assert ranking.measure(Table(np.zeros((2, 4))), [{}], 3, ("hr",))[0]["hr@3"] in (0, 0.5)


def test_repeated_held_out_rows_count_once_as_hit_and_twice_as_relevant():
    ranking = Ranking(np.array([[0, 1], [0, 1], [0, 3]]), np.empty((0, 2), int), 1, 4, "cpu")
    [values] = ranking.measure(Table([[0, 9, 0.5, 0]]), [{}], 1, ("recall",))
    assert values["recall@1"] == pytest.approx(1 / 3)


def test_nan_scores_are_an_error_not_a_rank():
    ranking = Ranking(np.array([[0, 1]]), np.empty((0, 2), int), 1, 4, "cpu")
    with pytest.raises(RepriseError, match="NaN"):
        collected(ranking, [[0, float("nan"), 1, 2]], 2)
