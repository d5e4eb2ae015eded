"""Metrics by hand, against a plain double loop, and against trec_eval."""

import math

import numpy as np
import pytest
import torch
from pytrec_eval import RelevanceEvaluator
from reprise.evaluation.metrics import PER_USER, about_lists, over_items, per_user


def brute_force(hits, n, k):
    """One user's metrics by the definitions, term by term."""
    top = [bool(hit) for hit in hits[:k]]
    first = next((rank for rank, hit in enumerate(top, 1) if hit), None)
    gain = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(top, 1) if hit)
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, n) + 1))
    return {
        "hr": float(any(top)),
        "recall": sum(top) / n,
        "precision": sum(top) / k,
        "mrr": 1 / first if first else 0.0,
        "ndcg": gain / best,
    }


def test_the_protocols_example():
    # A test row of 30 items with hits at ranks 1 and 3 of 20: the ideal list of 20 hits sums to 7.0403.
    hits = torch.zeros(1, 20, dtype=torch.bool)
    hits[0, [0, 2]] = True
    values = per_user(hits, torch.tensor([30]), [20])
    assert values["hr@20"].item() == 1
    assert values["recall@20"].item() == pytest.approx(2 / 30, abs=1e-12)
    assert values["precision@20"].item() == 2 / 20
    assert values["mrr@20"].item() == 1
    assert values["ndcg@20"].item() == pytest.approx((1 + 0.5) / 7.0403, abs=1e-5)


def test_no_hit_is_zero_everywhere():
    values = per_user(torch.zeros(2, 5, dtype=torch.bool), torch.tensor([1, 7]), [1, 5])
    assert all(column.tolist() == [0, 0] for column in values.values())


@pytest.mark.parametrize("k", [1, 3, 10])
def test_random_lists_agree_with_the_double_loop(k):
    rng = np.random.default_rng(k)
    hits = rng.random((60, 10)) < 0.25
    relevant = hits.sum(1) + rng.integers(1, 15, 60)
    values = per_user(torch.from_numpy(hits), torch.from_numpy(relevant), [k])
    for user in range(60):
        expected = brute_force(hits[user], int(relevant[user]), k)
        for name in PER_USER:
            assert values[f"{name}@{k}"][user].item() == pytest.approx(expected[name], abs=1e-12), (user, name)


@pytest.mark.parametrize("k", [5, 20])
def test_random_lists_agree_with_trec_eval(k):
    rng = np.random.default_rng(7)
    theirs = {"hr": f"success_{k}", "recall": f"recall_{k}", "precision": f"P_{k}", "ndcg": f"ndcg_cut_{k}",
              "mrr": "recip_rank"}  # which has no cut-off: lists are cut before
    held, run, hits, relevant = {}, {}, [], []
    for user in range(80):
        items = rng.permutation(40)
        wanted = set(rng.choice(40, rng.integers(1, 8), replace=False).tolist())
        held[f"u{user}"] = {f"i{item}": 1 for item in wanted}
        run[f"u{user}"] = {f"i{item}": float(40 - rank) for rank, item in enumerate(items[:k])}
        hits.append([item in wanted for item in items[:k]])
        relevant.append(len(wanted))
    values = per_user(torch.tensor(hits), torch.tensor(relevant), [k])
    expected = RelevanceEvaluator(held, set(theirs.values())).evaluate(run)
    for ours, name in theirs.items():
        of_users = [expected[f"u{user}"][name] for user in range(80)]
        assert values[f"{ours}@{k}"].tolist() == pytest.approx(of_users, abs=1e-12), ours


def test_metrics_of_all_lists_by_hand():
    # Items 0..3, trained 10, 6, 2 and 0 times. Lists: {0, 1}, {0, 2}, and one with a single item {0}.
    lists = torch.tensor([[0, 1], [0, 2], [0, -1]])
    values = over_items(lists, torch.tensor([10, 6, 2, 0]), [2])
    assert values["coverage@2"] == 3 / 4
    assert values["popularity@2"] == pytest.approx((10 + 6 + 10 + 2 + 10) / 5)
    # Shown 3, 1, 1, 0 times; mean absolute difference over all 16 ordered pairs is 2 * (2 + 2 + 3 + 0 + 1 + 1) / 16,
    # Gini = that / (2 * 5 / 4).
    assert values["gini@2"] == pytest.approx((18 / 16) / (2 * 5 / 4))


def test_gini_is_zero_when_all_items_are_shown_equally():
    assert over_items(torch.tensor([[0, 1], [2, 3]]), torch.ones(4, dtype=torch.int64), [2])["gini@2"] == pytest.approx(
        0
    )


def test_what_lists_are_about_by_hand():
    # Attributes a, b, c. Item 0 is about a, item 1 about a and b, item 2 about c, item 3 about nothing.
    shares = torch.tensor([[1, 0, 0], [1 / 2, 1 / 2, 0], [0, 0, 1], [0, 0, 0]])
    wanted = torch.tensor([[1 / 2, 1 / 2, 0]]).expand(4, 3)
    lists = torch.tensor([[1, 0, 2], [0, 1, -1], [3, 3, 1], [-1, -1, -1]])
    values = about_lists(lists, wanted, shares, [1, 2, 3], smoothing=0.01)

    def divergence(a, b):  # from (1/2, 1/2, 0)
        return sum(1 / 2 * math.log(1 / 2 / (0.99 * q + 0.01 / 2)) for q in (a, b))

    nothing = divergence(0, 0)
    assert nothing == pytest.approx(math.log(100))
    # Of item 3 nothing counts, so the third list is that of item 1 alone once it is cut after it.
    expected = {1: [0, divergence(1, 0), nothing, nothing],
                2: [divergence(3 / 4, 1 / 4), divergence(3 / 4, 1 / 4), nothing, nothing],
                3: [divergence(1.5 / 3, 0.5 / 3), divergence(3 / 4, 1 / 4), 0, nothing]}
    # Jaccard of items 0 and 1 is 1/2, of 2 with either 0; of 3 with itself 1, with 1 it is 0.
    apart = {1: [0, 0, 0, 0], 2: [1 / 2, 1 / 2, 0, 0], 3: [(1 / 2 + 1 + 1) / 3, 1 / 2, (0 + 1 + 1) / 3, 0]}
    for k in (1, 2, 3):
        assert values[f"ckl@{k}"].tolist() == pytest.approx(expected[k], abs=1e-7)
        assert values[f"ild@{k}"].tolist() == pytest.approx(apart[k], abs=1e-7)
    bits = about_lists(lists, wanted, shares, [3], smoothing=0.01, base=2)["ckl@3"]
    assert torch.allclose(bits, values["ckl@3"] / math.log(2))
    silent = about_lists(lists, torch.zeros(4, 3), shares, [3], smoothing=0.01)
    assert silent["ckl@3"].tolist() == [0, 0, 0, 0], "a history about nothing asks for nothing"


@pytest.mark.parametrize("k", [1, 4, 8])
def test_what_random_lists_are_about_agrees_with_a_loop_over_users(k):
    rng = np.random.default_rng(k)
    sets = [set(rng.choice(9, rng.integers(0, 4), replace=False).tolist()) for _ in range(40)]
    shares = torch.tensor([[(g in some) / max(1, len(some)) for g in range(9)] for some in sets], dtype=torch.float64)
    lists = torch.from_numpy(np.stack([rng.permutation(40)[:8] for _ in range(30)]))
    lists[torch.rand(30, 8, generator=torch.Generator().manual_seed(k)).cumsum(1) > 5] = -1  # the last of some
    wanted = torch.from_numpy(rng.dirichlet(np.full(9, 0.3), 30))
    values = about_lists(lists, wanted, shares, [k], smoothing=0.05)
    assert (lists == -1).any()
    for user in range(30):
        items = [item for item in lists[user, :k].tolist() if item >= 0]
        about = [item for item in items if sets[item]]
        q = [sum((g in sets[item]) / len(sets[item]) for item in about) / max(1, len(about)) for g in range(9)]
        ckl = sum(p * math.log(p / (0.95 * q[g] + 0.05 * p)) for g, p in enumerate(wanted[user].tolist()) if p)
        pairs = [(a, b) for place, a in enumerate(items) for b in items[:place]]
        apart = [1 - len(sets[a] & sets[b]) / len(sets[a] | sets[b]) if sets[a] | sets[b] else 0 for a, b in pairs]
        assert values[f"ckl@{k}"][user].item() == pytest.approx(ckl, abs=1e-9)
        assert values[f"ild@{k}"][user].item() == pytest.approx(sum(apart) / max(1, len(apart)), abs=1e-6)
