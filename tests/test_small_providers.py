"""The generated world of channels with loyal viewers: what is planted can be found again, and only with meaning."""

import argparse
import json

import numpy as np
import pytest
from reprise.config import make_config
from reprise.data import small_providers
from reprise.data.prepare import prepare
from reprise.data.readers import twitch_100k
from reprise.data.recipe import Recipe
from reprise.data.small_world import write
from reprise.stages import canonicalise, fetch

SEEDS = (2023, 1, 2)


@pytest.fixture(scope="module")
def worlds():
    return [small_providers.make(seed=seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def shuffled():
    return [small_providers.make(seed=seed, meaning=False) for seed in SEEDS]


def same_provider(world):
    """How often the last two items, if they are two, have one provider, and how often two items drawn from all have."""
    ends = np.array([history[-2:] for history in world.histories if len(history) > 2 and history[-1] != history[-2]])
    share = np.bincount(world.provider[np.concatenate(world.histories)]) / sum(map(len, world.histories))
    return (world.provider[ends[:, 0]] == world.provider[ends[:, 1]]).mean(), (share**2).sum()


def hit_at_5(world, with_providers, weight=5):
    """How often the last item is among the five most likely by counts of what followed the last one, or its provider.

    Counts after an item are smoothed by `weight` rows of those after its provider or, without providers, of all.
    """
    n, last = len(world.provider), [history for history in world.histories if len(history) > 2]
    steps = np.concatenate([np.stack([walk[:-1], walk[1:]], axis=1) for walk in (one[:-1] for one in world.histories)])
    after, of_provider = np.zeros((n, n)), np.zeros((world.provider.max() + 1, n))
    np.add.at(after, (steps[:, 0], steps[:, 1]), 1)
    np.add.at(of_provider, (world.provider[steps[:, 0]], steps[:, 1]), 1)
    rest = np.tile((after.sum(axis=0) + 0.1) / (after.sum() + 0.1 * n), (n, 1))
    if with_providers:
        rest = ((of_provider + weight * rest[:1]) / (of_provider.sum(axis=1, keepdims=True) + weight))[world.provider]
    chance = (after + weight * rest) / (after.sum(axis=1, keepdims=True) + weight)
    before, target = np.array([history[-2:] for history in last]).T
    return ((chance[before] > chance[before, target][:, None]).sum(axis=1) < 5).mean()


def test_the_last_provider_tells_the_next_one_where_providers_mean_something(worlds, shuffled):
    for world in worlds:
        found, chance = same_provider(world)
        assert found > 6 * chance
    for world in shuffled:
        found, chance = same_provider(world)
        assert found < 2 * chance


def test_providers_help_to_guess_the_next_item_beyond_items_alone(worlds, shuffled):
    alone, helped, misled = (
        np.array([hit_at_5(world, with_providers) for world in some])
        for some, with_providers in ((worlds, False), (worlds, True), (shuffled, True))
    )
    assert (helped > 1.08 * alone).all() and helped.mean() > 1.12 * alone.mean()
    assert abs(misled - alone).max() < 0.04 and misled.mean() < 1.05 * alone.mean()


def test_without_meaning_the_histories_are_the_same(worlds, shuffled):
    for world, other in zip(worlds, shuffled, strict=True):
        assert all((one == two).all() for one, two in zip(world.histories, other.histories, strict=True))
        assert sorted(world.provider) == sorted(other.provider) and (world.provider != other.provider).mean() > 0.8
        assert (world.provider == world.true_provider).all() and (other.true_provider == world.provider).all()


def test_the_world_is_as_small_and_as_skewed_as_it_says(worlds):
    for world in worlds:
        lengths = np.array([len(history) for history in world.histories])
        assert len(lengths) == 500 and 9 < lengths.mean() < 11.5 and lengths.min() == 2
        assert (lengths == 2).sum() > 20 and (lengths == 3).sum() > 20
        assert 280 < len(world.provider) <= 300 and len(np.unique(world.provider)) == 30
        rows = np.bincount(np.concatenate(world.histories))
        assert (rows <= 6).mean() > 0.2, "many items are rare"
        assert np.sort(rows)[::-1][: len(rows) // 10].sum() > 0.3 * rows.sum(), "a tenth makes a third of the rows"


def test_a_user_often_takes_the_item_after_the_last_one_of_the_provider(worlds):
    """A quarter follow the circle; of the rest, drawn by the skew, about a tenth happen to."""
    steps = following = 0
    for history in worlds[0].histories:
        for one in np.unique(worlds[0].provider[history]):
            place = worlds[0].place[history[worlds[0].provider[history] == one]]
            steps, following = steps + len(place) - 1, following + ((place[:-1] + 1) % 10 == place[1:]).sum()
    assert 0.27 < following / steps < 0.4


@pytest.mark.parametrize("form", ["twitch_100k", "twitch_100k_shuffled"])
def test_the_files_read_back_as_they_were_made(tmp_path, form):
    world = small_providers.make(meaning=form == "twitch_100k")
    write(form, tmp_path)
    tables = twitch_100k.read(tmp_path)
    rows = tables.interactions.read_all().to_pandas().sort_values(["user", "time"])
    assert (rows["item"] - small_providers.FIRST_STREAM).tolist() == np.concatenate(world.histories).tolist()
    assert tables.items["streamer"].tolist() == [f"channel{one}" for one in world.provider]


def test_the_sources_can_be_fetched_and_prepared(tmp_path):
    config = make_config({"resources": str(tmp_path)})
    recipe = Recipe(split="leave_one_out", order="time", repeats="kept", provider="streamer", valid_from=4)
    contents = set()
    for source in ("small-providers", "small-providers-shuffled"):
        fetch.main(argparse.Namespace(source=source), config)
        canonicalise.main(argparse.Namespace(source=source, reader="twitch_100k"), config)
        folder = tmp_path / "canonical" / source
        status = json.loads((folder / "canonical.json").read_text())["status"]
        data, _ = prepare(folder / "interactions.parquet", recipe, status=status, where=source,
                          expect={"users": 500, "providers": 30}, items=folder / "items.parquet")
        assert data.status == "small-world" and len(data.valid) < len(data.test) < data.n_users
        contents.add(data.content)
    assert len(contents) == 2
