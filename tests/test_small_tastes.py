"""The generated world of loyal users: what is planted can be found again, and the files read back as they were made."""

import argparse
import json

import numpy as np
import pytest
from reprise.config import make_config
from reprise.data import small_tastes
from reprise.data.prepared import Prepared
from reprise.data.readers import s3rec
from reprise.data.small_world import write
from reprise.papers import load_paper
from reprise.stages import canonicalise, check, fetch
from reprise.stages import prepare as stage


@pytest.fixture(scope="module")
def world():
    return small_tastes.make()


def shares(world):
    """By user: the share of the last item's category in the history before it, and its share in all clicks."""
    walks = [world.category[history] for history in world.histories]
    everybody = np.bincount(np.concatenate(walks)) / sum(map(len, walks))
    return (np.mean([(walk[:-1] == walk[-1]).mean() for walk in walks]),
            np.mean([everybody[walk[-1]] for walk in walks]))


def test_a_history_tells_what_comes_next_where_users_are_loyal(world):
    history, everybody = shares(world)
    assert history > 2 * everybody
    history, everybody = shares(small_tastes.make(loyalty=0))
    assert abs(history - everybody) < 0.02
    assert np.ptp(small_tastes.make(loyalty=0).taste, axis=0).max() == 0


def test_clicks_come_as_often_as_tastes_say(world):
    clicks = np.zeros_like(world.taste)
    for user, history in enumerate(world.histories):
        np.add.at(clicks[user], world.category[history], 1)
    expected = world.taste * clicks.sum(axis=1, keepdims=True)
    for category in range(world.taste.shape[1]):
        variance = (expected * (1 - world.taste))[:, category].sum()
        assert abs((clicks - expected)[:, category].sum()) < 4 * np.sqrt(variance)


def test_items_follow_one_another_on_the_circle_of_their_category(world):
    """After its last item of a category a user takes one and the same other item about every second time."""
    after = np.zeros((len(world.category),) * 2)
    for history in world.histories:
        for category in np.unique(world.category[history]):
            met = history[world.category[history] == category]
            np.add.at(after, (met[:-1], met[1:]), 1)
    assert 0.45 < after.max(axis=1).sum() / after.sum() < 0.75  # half, one in 20 by chance, and the best of few by luck
    # On a circle everyone has another successor; where few came by, the best one seen may be another's.
    often = after.sum(axis=1) >= 20
    following = after.argmax(axis=1)[often]
    assert often.sum() > 40 and len(np.unique(following)) == len(following)
    assert (world.category[following] == world.category[often]).all()


def test_histories_are_short_and_all_items_met(world):
    lengths = [len(history) for history in world.histories]
    assert min(lengths) == 5 and 9 < np.mean(lengths) < 11
    assert np.array_equal(np.unique(np.concatenate(world.histories)), np.arange(len(world.category)))


def test_the_files_read_back_as_they_were_made(world, tmp_path):
    write("s3rec_tastes", tmp_path)
    tables = s3rec.read(tmp_path)
    assert (tables.interactions["item"].to_numpy() - 1 == np.concatenate(world.histories)).all()
    assert [list(one) for one in tables.items["attributes"]] == [[one + 1] for one in world.category.tolist()]


def test_the_world_is_as_paper_yaml_counts_it(tmp_path):
    config = make_config({"results": str(tmp_path / "results"), "resources": str(tmp_path)})
    dataset = load_paper("dacsr").dataset("small-tastes")
    fetch.main(argparse.Namespace(source=dataset.source), config)
    canonicalise.main(argparse.Namespace(source=dataset.source, reader=dataset.reader), config)
    args = argparse.Namespace(paper="dacsr", dataset="small-tastes")
    stage.main(args, config)
    check.main(args, config)
    folder = tmp_path / "results/dacsr/small-tastes/data"
    assert json.loads((folder / "stats.json").read_text())["status"] == "small-world"
    assert set(Prepared.load(folder).features["attributes"].value_lengths().to_pylist()) == {1}
