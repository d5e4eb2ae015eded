"""The sampler draws what the protocol says, checked by counting."""

import numpy as np
import pytest
import torch
from reprise.data.interactions import Interactions
from reprise.errors import RepriseError
from reprise.training.margin_sampler import MarginSampler, distinct_ranks
from reprise.training.sampler import PairSampler
from waiting import Watched

PAIRS = np.array([[0, 1], [0, 3], [0, 4], [2, 0], [2, 0], [2, 5], [3, 2]])  # user 1 has no rows; (2, 0) is repeated


def drawn(batch=3, empty_users="skip", rounds=6000, pairs=PAIRS):
    data = Interactions.of(pairs, n_users=4, n_items=6)
    sampler = PairSampler(data, batch, empty_users, torch.Generator().manual_seed(5))
    return [sampler.draw() for _ in range(rounds)]


def test_users_of_a_batch_are_distinct_and_have_rows():
    for users, _, _ in drawn(rounds=50):
        assert sorted(users.tolist()) == [0, 2, 3]


def test_positives_are_uniform_over_rows_with_repeats():
    positives = torch.cat([positive[users == 2] for users, positive, _ in drawn()])
    # User 2 has rows 0, 0 and 5: item 0 two times in three. Standard error sqrt(2/9 / 6000) = 0.006.
    assert set(positives.tolist()) == {0, 5}
    assert (positives == 0).double().mean() == pytest.approx(2 / 3, abs=0.025)


@pytest.mark.parametrize(("user", "absent"), [(0, {0, 2, 5}), (2, {1, 2, 3, 4}), (3, {0, 1, 3, 4, 5})])
def test_negatives_are_uniform_over_items_never_met(user, absent):
    negatives = torch.cat([negative[users == user] for users, _, negative in drawn()])
    share = torch.bincount(negatives, minlength=6).double() / len(negatives)
    assert set(negatives.tolist()) == absent
    for item in absent:
        assert share[item] == pytest.approx(1 / len(absent), abs=0.025)


def test_empty_user_takes_item_0_where_the_official_code_does():
    draws = drawn(batch=4, empty_users="item0", rounds=50)
    assert all(positive[users == 1].tolist() == [0] for users, positive, _ in draws)
    assert not any((users == 1).any() for users, _, _ in drawn(rounds=50))


def test_a_batch_larger_than_the_users_draws_with_replacement():
    users, positives, negatives = drawn(batch=50, rounds=1)[0]
    assert len(users) == len(positives) == len(negatives) == 50
    assert set(users.tolist()) <= {0, 2, 3}


def options_drawn(rounds=3000, **options):
    sampler = PairSampler(Interactions.of(PAIRS, 4, 6), 3, "skip", torch.Generator().manual_seed(5), **options)
    return [sampler.draw() for _ in range(rounds)]


def test_interactions_are_drawn_evenly_where_the_paper_sums_over_them():
    draws = options_drawn(sampling="interaction_uniform")
    found = torch.cat([users * 10 + items for users, items, _ in draws])
    # Seven rows, one of them twice: (2, 0) two times in seven, the others one; standard error below .005 of 9,000.
    shares = {int(pair): float((found == pair).double().mean()) for pair in found.unique()}
    assert set(shares) == {1, 3, 4, 20, 25, 32}
    assert shares == pytest.approx({pair: (2 if pair == 20 else 1) / 7 for pair in shares}, abs=0.025)
    assert all(negative not in PAIRS[PAIRS[:, 0] == user, 1]
               for users, _, negatives in draws[:50] for user, negative in zip(users, negatives, strict=True))


@pytest.mark.parametrize("sampling", ["user_uniform", "interaction_uniform"])
def test_of_several_negatives_each_has_a_pair_with_the_same_positive(sampling):
    draws = options_drawn(sampling=sampling, negatives=2)
    users, positives, _ = (torch.stack(one).view(-1, 2, 3) for one in zip(*draws, strict=True))
    assert torch.equal(users[:, 0], users[:, 1]) and torch.equal(positives[:, 0], positives[:, 1])
    negatives = torch.stack([negatives for *_, negatives in draws]).view(-1, 2, 3)
    first, second = negatives.movedim(1, 0)[:, users[:, 0] == 0]  # of user 0: items 0, 2 and 5
    for one in (first, second):
        assert torch.bincount(one, minlength=6).double() / len(one) == pytest.approx([1 / 3, 0, 1 / 3, 0, 0, 1 / 3],
                                                                                  abs=0.05)
    assert (first == second).double().mean() == pytest.approx(1 / 3, abs=0.05)  # drawn apart


def test_negative_search_agrees_with_listing_on_random_data():
    rng = np.random.default_rng(1)
    pairs = np.argwhere(rng.random((40, 25)) < 0.4)
    data = Interactions.of(pairs, 40, 25)
    sampler = PairSampler(data, 40, "skip", torch.Generator().manual_seed(0))
    for _ in range(200):
        users, positives, negatives = sampler.draw()
        for user, positive, negative in zip(users.tolist(), positives.tolist(), negatives.tolist(), strict=True):
            mine = set(pairs[pairs[:, 0] == user, 1])
            assert positive in mine and negative not in mine and 0 <= negative < 25


def test_a_user_who_met_everything_is_one_clear_error():
    everything = np.array([[0, item] for item in range(6)] + [[2, 0], [3, 1]])
    with pytest.raises(RepriseError, match="user 0"):
        drawn(pairs=everything, rounds=1)


def test_rows_of_users_agree_with_slicing():
    data = Interactions.of(PAIRS, 4, 6)
    owner, position = data.of_users(torch.tensor([2, 1, 0]))
    assert owner.tolist() == [0, 0, 0, 2, 2, 2]
    assert data.items[position].tolist() == [0, 0, 5, 1, 3, 4]
    assert data.distinct().items.tolist() == [1, 3, 4, 0, 5, 2]
    assert data.users.tolist() == [0, 0, 0, 2, 2, 2, 3]


@pytest.mark.parametrize(("pool", "margin"), [(1, 0.0), (4, 2.0), (6, 1.5), (12, 3.0), (30, 1.0)])
def test_margin_negatives_come_from_the_sides_that_listing_finds(pool, margin):
    rng = np.random.default_rng(4)
    chance = np.linspace(0.02, 0.75, 25) ** 1.5
    pairs = np.argwhere(rng.random((40, 25)) < chance)
    data, rounds = Interactions.of(pairs, 40, 25), 400
    counts = np.bincount(pairs[:, 1], minlength=25)
    sampler = MarginSampler(data, 4, pool, torch.Generator().manual_seed(0))
    drawn = torch.stack([sampler.draw(data.users, data.items, margin) for _ in range(rounds)], 1).numpy()
    cases = set()
    for (user, positive), negatives in zip(pairs[np.lexsort(pairs.T[::-1])], drawn, strict=True):
        others = set(range(25)) - set(pairs[pairs[:, 0] == user, 1])
        more = {item for item in others if counts[item] > counts[positive] + margin}
        fewer = {item for item in others if counts[item] < counts[positive] / 2}
        if len(more) < pool:
            allowed = fewer or more or others
        else:
            allowed = more if len(fewer) < pool else more | fewer
        cases.add((len(more) < pool, len(fewer) < pool, allowed == others))
        assert set(negatives.flat) <= allowed
        if len(allowed) <= 8:  # 1,600 draws miss one of eight items with chance 1e-92
            assert set(negatives.flat) == allowed or allowed == more | fewer
        if allowed == more | fewer and more and fewer:
            share = np.isin(negatives, list(more)).mean()
            assert share == pytest.approx(0.5, abs=0.07)  # 1,600 coins: standard error .0125
        if min(len(allowed), len(more) or 25, len(fewer) or 25) >= 4:
            assert all(len(set(row)) == 4 for row in negatives), "distinct"
    assert len(cases) >= (1 if pool > 25 else 2), "the data must show several cases"


def test_distinct_ranks_draw_every_ordered_choice_alike():
    generator = torch.Generator().manual_seed(0)
    drawn = distinct_ranks(torch.full((48000,), 4), torch.rand((48000, 3), generator=generator, dtype=torch.float64))
    choices, times = torch.unique(drawn, dim=0, return_counts=True)
    assert len(choices) == 24 and all(len(set(row)) == 3 for row in choices.tolist())
    assert bool(((times - 2000).abs() < 250).all())  # standard error 44


def test_distinct_ranks_repeat_where_there_are_too_few():
    drawn = distinct_ranks(torch.full((1000,), 2), torch.rand((1000, 4), dtype=torch.float64))
    assert drawn.unique().tolist() == [0, 1]


def test_margin_sampler_names_a_user_who_met_everything():
    with pytest.raises(RepriseError, match="user 0"):
        MarginSampler(Interactions.of(np.array([[0, 0], [0, 1], [1, 0]]), 2, 2), 4, 1, torch.Generator())


@pytest.mark.parametrize("sampling", ["user_uniform", "interaction_uniform"])
def test_no_draw_waits_for_the_device(sampling):
    data = Interactions.of(np.argwhere(np.eye(6) > 0), 6, 9)
    sampler = PairSampler(data, 4, "skip", torch.Generator().manual_seed(0), sampling, 2)
    with Watched() as watched:
        sampler.draw()
    assert watched.results and not watched.waits
