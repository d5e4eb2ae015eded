"""What is planted in the world of ratings can be asked back; figures' means of it against plain loops."""

import numpy as np
import pyarrow as pa
import pytest
from reprise.data import small_ratings
from reprise.data.prepared import Prepared
from reprise.data.readers import reader
from reprise.data.splits import user_tenths
from reprise.evaluation.drift import drift


@pytest.fixture(scope="module")
def world():
    return small_ratings.make()


def test_it_is_read_as_movielens_is(world, tmp_path):
    small_ratings.write(world, tmp_path)
    tables = reader("movielens_1m")(tmp_path)
    assert len(tables.interactions) == len(world.ratings) and tables.facts["movies_without_rating"] == 6
    assert (len(tables.users), len(tables.items)) == (300, 150)
    assert "::" in tables.items["title"][0]
    assert set(tables.interactions["rating"]) == {1, 2, 3, 4, 5}


def test_users_whose_taste_changed_drift_further(world):
    liked = world.ratings[world.ratings[:, 2] >= 4]
    part = user_tenths(liked[:, 0])
    pairs = liked[:, :2]
    data = Prepared(300, 150, pairs[part == 0], pairs[part == 1], pairs[part == 2], "small-world", True,
                    {"attributes": pa.array([some.tolist() for some in world.genres], pa.list_(pa.int64()))})
    eta = drift(data)
    moved, stayed = np.median(eta[world.drifts]), np.median(eta[~world.drifts])
    assert moved > 2 * stayed, (moved, stayed)
