"""The generated world holds what it promises: each planted thing can be found again, and nothing leaks through ids."""

import numpy as np
import pytest
from reprise.data.readers import user_lists
from reprise.data.small_world import make, write
from reprise.errors import RepriseError
from scipy.stats import spearmanr


@pytest.fixture(scope="module")
def world():
    return make()


def clicks_per_item(world):
    return np.bincount(world.train[:, 1], minlength=len(world.exposure))


def share_in_top(scores, pairs, masked=(), k=20):
    """Share of `pairs` whose item is among its user's k best by `scores`, `masked` pairs left out."""
    scores = scores.astype(float)
    scores[tuple(np.reshape(masked, (-1, 2)).astype(int).T)] = -np.inf
    rank = (-scores).argsort(axis=1).argsort(axis=1)
    return (rank[tuple(pairs.T)] < k).mean()


def click_model(world, conformity=0.3):
    """The generator's own probability [U, I] of a first click."""
    by_taste = world.exposure * np.exp(world.affinity)
    by_taste /= by_taste.sum(axis=1, keepdims=True)
    return conformity * world.exposure + (1 - conformity) * by_taste


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write("user_lists", tmp_path / name, make(seed=seed, users=120, items=40))
    for file in ("train.txt", "test.txt"):
        a, b, c = ((tmp_path / name / file).read_bytes() for name in "abc")
        assert a == b and a != c


def test_written_lists_read_back_as_the_same_pairs(world, tmp_path):
    write("user_lists", tmp_path)
    table = user_lists.read(tmp_path).interactions
    for part in ("train", "test"):
        pairs = table.loc[table["part"] == part, ["user", "item"]].to_numpy()
        assert sorted(map(tuple, pairs)) == sorted(map(tuple, getattr(world, part)))


def test_every_item_has_four_test_users_who_have_not_seen_it(world):
    assert np.bincount(world.test[:, 1]).tolist() == [4] * len(world.exposure)
    pairs = np.concatenate([world.train, world.test])
    assert len(np.unique(pairs, axis=0)) == len(pairs)


def test_ids_are_contiguous(world):
    assert np.unique(world.train[:, 0]).tolist() == list(range(len(world.affinity)))
    assert np.unique(world.test[:, 1]).tolist() == list(range(len(world.exposure)))


@pytest.mark.parametrize("seed", [2021, 1, 2])
def test_ids_tell_nothing_of_popularity_or_activity(seed):
    world = make(seed=seed)
    for counts in (clicks_per_item(world), np.bincount(world.train[:, 0])):
        # Without a relation the rank correlation has a standard deviation of 1 / sqrt(n - 1): .06 and .04 here.
        assert abs(spearmanr(np.arange(len(counts)), counts)[0]) < 3 / np.sqrt(len(counts) - 1)


def test_popularity_shows_in_training_but_not_in_taste(world):
    assert spearmanr(world.exposure, clicks_per_item(world))[0] > 0.7
    assert abs(np.corrcoef(world.exposure, world.affinity.mean(axis=0))[0, 1]) < 0.15
    top_tenth = np.sort(clicks_per_item(world))[::-1][:len(world.exposure) // 10]
    assert top_tenth.sum() > 0.3 * len(world.train)


def test_conforming_clicks_have_no_taste_in_them():
    def liking(share):
        world = make(conformity=share, users=300, items=100, clicks=10)
        return world.affinity[tuple(world.train.T)].mean()

    assert abs(liking(1.0)) < 0.2 < 1 < liking(0.5) < liking(0.0)


def test_who_explains_the_clicks_best_is_not_who_knows_the_taste_best(world):
    taste, clicks = world.affinity, click_model(world)
    assert share_in_top(clicks, world.train) > 1.2 * share_in_top(taste, world.train)
    assert share_in_top(taste, world.test, world.train) > 1.2 * share_in_top(clicks, world.test, world.train)


def test_popularity_alone_is_of_little_use_on_the_test(world):
    popular = share_in_top(np.tile(clicks_per_item(world), (len(world.affinity), 1)), world.test, world.train)
    assert popular < 1.5 * 20 / len(world.exposure)


def test_without_skew_and_conformity_there_is_nothing_to_remove():
    world = make(skew=0, conformity=0)
    taste, clicks = (share_in_top(scores, world.test, world.train)
                     for scores in (world.affinity, click_model(world, conformity=0)))
    assert taste == clicks


def test_clicks_follow_the_circle_of_genres():
    def following(transition):
        world = make(transition=transition, users=200, items=100)
        by_time = world.train[np.lexsort((world.train_time, world.train[:, 0]))]
        genre, same_user = world.genre[by_time[:, 1]], by_time[1:, 0] == by_time[:-1, 0]
        return (genre[1:] == (genre[:-1] + 1) % 10)[same_user].mean()

    assert following(2.0) > 1.5 * following(0.0)


def test_times_increase_within_a_user_and_the_test_comes_last(world):
    for user in range(20):
        assert (np.diff(world.train_time[world.train[:, 0] == user]) > 0).all()
    assert world.test_time.min() > world.train_time.max()


def test_providers_are_of_unequal_size(world):
    sizes = np.sort(np.bincount(world.provider))
    assert sizes[-1] > 5 * np.median(sizes)


def test_a_world_too_small_for_its_test_part_says_so():
    with pytest.raises(RepriseError, match="4 users"):
        make(users=8, items=20)


def test_unknown_format_lists_those_there_are(tmp_path):
    with pytest.raises(RepriseError) as caught:
        write("csv", tmp_path)
    assert caught.value.expected == (
        "one of user_lists, s3rec, s3rec_tastes, movielens_1m, twitch_100k, twitch_100k_shuffled"
    )
    assert not list(tmp_path.iterdir())
