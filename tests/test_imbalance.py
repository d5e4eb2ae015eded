"""Means over the most one-sided histories, against counting by hand."""

import numpy as np
import pytest
import torch
from reprise.data.interactions import Interactions
from reprise.evaluation import imbalance
from reprise.evaluation.imbalance import most_one_sided, one_sided_shares

# Items 0, 1, 2 are about attributes 0, 1, 2; item 3 is about 0 and 1.
HISTORIES = [[0, 0, 0, 1], [2, 2, 1], [0, 0, 0], [1, 0], [2, 3, 2, 2, 2], [1, 1, 1, 1, 0]]


SHARES = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0]])


@pytest.fixture
def history():
    pairs = np.array([(user, item) for user, items in enumerate(HISTORIES) for item in items])
    return Interactions.of(pairs, len(HISTORIES), 4, ordered=True)


def test_shares_by_rank(history, monkeypatch):
    monkeypatch.setattr(imbalance, "FEWEST_USERS", 2)
    lists = torch.tensor([[0, 1], [0, 1], [0, 1], [0, 1], [1, 3], [1, -1]])
    rows = one_sided_shares(history, SHARES, torch.arange(6), lists, None, [1, 2, 3])
    # Largest shares: 3/4, 2/3, 1 (one thing alone: out), 1/2, 4/5, 4/5. The two of 4/5: user 4 has (1/10, 1/10, 8/10)
    # and user 5 (1/5, 4/5, 0). Their lists are (1/4, 3/4, 0) and (0, 1, 0), their ranks 2, 0, 1 and 1, 0, 2.
    expected = {("history_share", 1): 4 / 5, ("history_share", 2): (1 / 10 + 1 / 5) / 2, ("history_share", 3): 1 / 20,
                ("list_share", 1): (0 + 1) / 2, ("list_share", 2): (1 / 4 + 0) / 2, ("list_share", 3): (3 / 4 + 0) / 2}
    assert {(metric, int(group[-1])): value for metric, _, group, value in rows} == pytest.approx(expected)
    assert {(k, group) for _, k, group, _ in rows} == {(2, f"attribute{rank}") for rank in (1, 2, 3)}


def test_the_window_cuts_the_history(history, monkeypatch):
    monkeypatch.setattr(imbalance, "FEWEST_USERS", 1)
    rows = one_sided_shares(history, SHARES, torch.tensor([0]), torch.tensor([[0]]), 2, [1])
    assert rows[0] == ("history_share", 1, "attribute1", 0.5)  # its last two items are 0 and 1


def test_a_hundredth_of_the_users_and_no_fewer_than_fifty():
    shares = torch.linspace(0.5, 0.9, 7000)
    profiles = torch.stack([shares, 1 - shares], 1)
    assert most_one_sided(profiles).tolist() == list(range(6999, 6929, -1))
    assert most_one_sided(profiles[:60]).tolist() == list(range(59, 9, -1))
    assert not len(most_one_sided(profiles[:49]))
    assert not len(most_one_sided(torch.eye(2).repeat(100, 1)))  # all about one thing alone
