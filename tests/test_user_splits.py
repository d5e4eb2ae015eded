"""Splits by user, lists of held-out pairs, and how far users drifted, on data that a person can check."""

import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from reprise.data.prepare import prepare
from reprise.data.prepared import Prepared
from reprise.data.readers import reader
from reprise.data.recipe import Recipe
from reprise.data.splits import user_tenths
from reprise.errors import RepriseError
from reprise.evaluation.drift import drift
from reprise.evaluation.groups import group_names, over_drift

RECIPE = {"order": "time", "min_rating": 4, "candidates": "catalogue", "attributes": "genres"}
MOVIES = {1: [0], 2: [1], 3: [0, 1], 4: [2], 5: []}
# User 1 has four positives, in time order 3 1 2 4; user 2 three; user 3 two, and three low ratings.
RATINGS = [(1, 4, 5, 90), (1, 3, 4, 10), (1, 1, 5, 20), (1, 2, 4, 30), (1, 5, 2, 40),
           (2, 1, 4, 10), (2, 2, 4, 10), (2, 3, 4, 10), (3, 1, 5, 1), (3, 2, 5, 2), (3, 3, 1, 3), (3, 4, 3, 4),
           (3, 5, 3, 5)]  # fmt: skip


def source(folder):
    frame = pd.DataFrame(RATINGS, columns=["user", "item", "rating", "time"]).astype({"rating": float})
    frame.to_parquet(folder / "interactions.parquet")
    genres = pd.array(list(MOVIES.values()), pd.ArrowDtype(pa.list_(pa.int64())))
    pd.DataFrame({"item": list(MOVIES), "genres": genres}).to_parquet(folder / "items.parquet")
    users = {"user": [1, 2, 3], "age": [1, 18, 1], "occupation": [18, 1, 3]}
    pd.DataFrame(users).assign(gender=pd.Categorical(["F", "M", "F"])).to_parquet(folder / "users.parquet")
    return {name: folder / f"{name}.parquet" for name in ("interactions", "items", "users")}


def made(folder, lists=None, expect=None, **recipe):
    kind = {"split": "listed" if lists is not None else "user_tenths", **RECIPE, **recipe}
    if lists is not None:
        pd.DataFrame(lists, columns=["user", "item", "part"]).to_parquet(folder / "lists.parquet")
    return prepare(status="official", expect=expect or {}, where="toy", recipe=Recipe(**kind),
                   lists=folder / "lists.parquet" if lists is not None else None, **source(folder))


@pytest.mark.parametrize("n", [1, 2, 3, 9, 10, 19, 20, 35])
def test_tenths_are_floored_and_at_least_one(n):
    part = user_tenths(np.repeat([7, 3], [n, 4])).tolist()
    held = max(1, math.floor(n / 10))
    assert part[n:] == [0, 0, 1, 2], "each user on its own"
    assert part[:n] == ([-1] * n if n < 3 else [0] * (n - 2 * held) + [1] * held + [2] * held)


def test_tenths_of_a_small_file_by_hand(tmp_path):
    data, facts = made(tmp_path)
    # User 3 has two positives and is dropped; movies 5 and, once that is dropped, none other stay as candidates too.
    assert (data.n_users, data.n_items, data.ordered) == (2, 5, True)
    names = {0: 3, 1: 1, 2: 2, 3: 4}  # numbered as they appear: user 1's in time order
    assert [(names[i]) for _, i in data.train[data.train[:, 0] == 0]] == [3, 1]
    assert [names[i] for _, i in data.valid] == [2, 2] and [names[i] for _, i in data.test] == [4, 3]
    assert data.user_features["age"].to_pylist() == [1, 18]
    # Three users, ages 1 18, occupations 18 1 3, genders F M, five movies, three genres; ages are occupations, too.
    assert facts["features"] == 3 + 2 + 3 + 2 + 5 + 3 and facts["features_unprefixed"] == 3 + 3 + 2 + 5 + 3
    rated = {tuple(row) for row in data.rated.tolist()}
    assert len(rated) == 8 and (0, 4, 2.0) in rated, "low ratings of kept users are remembered"
    data.save(tmp_path / "data")
    assert Prepared.load(tmp_path / "data").rated.tolist() == data.rated.tolist()


def test_the_core_is_taken_over_ratings_of_every_value(tmp_path):
    data, _ = made(tmp_path, core=3, core_rule="once", candidates="kept")
    # Movies 1, 2 and 3 have three ratings each; movie 3 only two that are positive.
    assert (data.n_users, data.n_items) == (2, 3)
    assert data.train.tolist() == [[0, 0], [1, 1]], "user 1: 3 1 2, user 2: 1 2 3, as numbers 0 1 2 and 1 2 0"


def test_listed_pairs_are_held_out_and_the_rest_is_training(tmp_path):
    lists = [(1, 3, "valid"), (1, 1, "test"), (3, 1, "valid"), (3, 2, "test")]
    data, _ = made(tmp_path, lists)
    assert data.n_users == 2, "user 2 is in no list"
    names = {0: 3, 1: 1, 2: 2, 3: 4}
    assert [(u, names[i]) for u, i in data.train] == [(0, 2), (0, 4)]
    assert [(u, names[i]) for u, i in data.valid] == [(0, 3), (1, 1)]
    assert [(u, names[i]) for u, i in data.test] == [(0, 1), (1, 2)]
    with pytest.raises(RepriseError, match="user 1, item 5"):
        made(tmp_path, [*lists, (1, 5, "test")])
    with pytest.raises(RepriseError, match="the source of what is held out"):
        made(tmp_path, split="listed")


def history(items_by_user, attributes):
    train = np.array([(user, item) for user, items in enumerate(items_by_user) for item in items])
    held = np.array([(user, 0) for user in range(len(items_by_user))])
    features = {"attributes": pa.array(attributes, pa.list_(pa.int64()))}
    return Prepared(len(items_by_user), len(attributes), train, held[:0], held, "small-world", True, features)


def test_drift_by_hand():
    data = history([[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 2], [3, 0], [0], [0, 3, 3, 1]], [[0], [1], [0, 1], []])
    eta = drift(data, "train")
    assert eta[0] == pytest.approx(2 * math.log(100)), "from one group to the other: the most there can be"
    assert eta[1] == 0 and eta[4] == 0, "halves alike; a single item"
    # User 2: (1, 0), then the mean of (0, 1) and (1/2, 1/2), (1/4, 3/4).
    one = math.log(1 / (0.99 / 4 + 0.01))
    two = 0.25 * math.log(0.25 / (0.99 + 0.01 * 0.25)) + 0.75 * math.log(0.75 / (0.01 * 0.75))
    assert eta[2] == pytest.approx(one + two)
    assert eta[3] == 0, "a half about nothing has not changed"
    assert eta[5] == eta[0], "an item about nothing does not count"


def test_groups_of_drift_are_nested_strict_and_of_several_users():
    eta, values = np.array([0, 0, 0.5, 1, 1, 1, 1, 2]), np.arange(8.0)
    rows = over_drift(eta, [0, 0.5, 1], "recall", 20, values)
    assert group_names("drift", [0, 0.5, 1]) == ["eta>0", "eta>0.5", "eta>1"]
    assert rows == [("recall", 20, "eta>0", np.mean([2, 3, 4, 5, 6, 7])), ("recall", 20, "eta>0.5", 5.0)]


def arrays(folder, **changed):
    files = {"validation_list": np.array([[1, 2], [3, 4]]), "testing_list": np.array([[1, 3]]), **changed}
    for name, array in files.items():
        if array is not None:
            np.save(folder / f"{name}.npy", array, allow_pickle=True)
    return reader("pair_lists")(folder)


def test_lists_are_read_and_no_object_is_unpickled(tmp_path):
    rows = arrays(tmp_path).interactions[["user", "item", "part"]].values.tolist()
    assert rows == [[1, 2, "valid"], [3, 4, "valid"], [1, 3, "test"]]
    for wrong, said in [
        (np.array([[1, 2], [1]], dtype=object), "allow_pickle"),
        (np.array([[1.5, 2]]), "float64"), (np.array([1, 2]), "shape"), (np.zeros((0, 2), int), "shape"),
        (np.array([[-1, 2]]), "int64"), (np.array([[1, 2]]), "every pair once"),
    ]:  # fmt: skip
        with pytest.raises(RepriseError, match=said):
            arrays(tmp_path, testing_list=wrong)
    (tmp_path / "testing_list.npy").write_bytes(b"no array")
    with pytest.raises(RepriseError, match=r"testing_list\.npy"):
        reader("pair_lists")(tmp_path)
    (tmp_path / "testing_list.npy").unlink()
    with pytest.raises(RepriseError, match="no such file"):
        reader("pair_lists")(tmp_path)


RATED = "A1,B1,5.0,10\nA1,B2,4.0,20\nA2,B1,1.0,5\n"
META = ["{'asin': 'B1', 'categories': [['Books', 'Art', \"Children's\", 'Fourth'], ['Books', 'Other']]}",
        "{'asin': 'B9', 'never': __import__('os').system('false')}",
        "{'asin': 'B2', 'title': 'no path'}"]  # fmt: skip


def amazon(folder, ratings=RATED, meta=META):
    (folder / "ratings_Books.csv").write_text(ratings)
    (folder / "meta_Books.json").write_text("\n".join(meta) + "\n")
    tables = reader("amazon_ratings")(folder)
    return tables, tables.interactions.read_all().to_pandas()


def test_amazons_ratings_and_category_paths(tmp_path):
    tables, interactions = amazon(tmp_path)
    assert interactions.values.tolist() == [["A1", "B1", 10, 5.0], ["A1", "B2", 20, 4.0], ["A2", "B1", 5, 1.0]]
    assert tables.facts["categories"] == ("Books", "Art", "Children's"), "three levels of the first path"
    assert tables.items["categories"].tolist() == [[0, 1, 2], []]
    (tmp_path / "meta_Books.json").unlink()
    assert reader("amazon_ratings")(tmp_path).items is None


@pytest.mark.parametrize(
    ("ratings", "meta", "said"),
    [
        (RATED + "A1,B3,0.0,3\n", META, "line 4"),
        (RATED + "A1,B3,6.0,3\n", META, "line 4"),
        (RATED + "A1,,4.0,3\n", META, "line 4"),
        (RATED + "A1,B3,good,3\n", META, "line 4"),
        (RATED + "A1,B3,4.0\n", META, "line 4"),
        (RATED + "A1,B3,4.0,-3\n", META, "line 4"),
        ("", META, "empty file"),
        (RATED, [*META, "{'asin': 'B1', 'x': __import__('os').system('true')}"], "line 4"),
        (RATED, [*META, "{'asin': 'B1', 'x': " + "[" * 9999 + "]" * 9999 + "}"], "nested deeper"),
        (RATED, [*META, "{'asin': 'B1', 'x': '" + "y" * (1 << 20) + "'}"], "bytes"),
        (RATED, [*META, "{'asin': 'B1', 'categories': 'Books'}"], "categories"),
    ],
)
def test_a_bad_line_of_amazon_is_refused(tmp_path, ratings, meta, said):
    with pytest.raises(RepriseError, match=said):
        amazon(tmp_path, ratings, meta)


def test_amazons_texts_become_a_20_core_split(tmp_path):
    tables, interactions = amazon(tmp_path, "".join(
        f"A{user},B{item},{4 + (item == 3)}.0,{item}\n" for user in range(3) for item in range(1, 5)))
    interactions.to_parquet(tmp_path / "interactions.parquet")
    tables.items.to_parquet(tmp_path / "items.parquet")
    pd.DataFrame({"user": ["A0", "A1", "A2"]}).to_parquet(tmp_path / "users.parquet")
    data, facts = prepare(
        tmp_path / "interactions.parquet", Recipe(split="user_tenths", order="time", core=3, min_rating=4,
                                                  attributes="categories"),
        status="official", expect={"users": 3, "items": 4, "train": 6, "valid": 3, "test": 3}, where="toy",
        items=tmp_path / "items.parquet", users=tmp_path / "users.parquet",
    )  # fmt: skip
    assert facts["features"] == 3 + 4 + 3 and data.features["attributes"].to_pylist()[0] == [0, 1, 2]


def test_the_released_prior_is_the_mean_over_the_catalogue(request):
    mirror = request.config.rootpath.parent / "shared/data/mirror"
    if not (mirror / "decrs").exists():
        pytest.skip("no mirror of the released files")
    import zipfile

    from reprise.data.features import Lists
    from reprise.data.interactions import Interactions
    from reprise.data.readers.movielens_1m import GENRES
    from reprise.methods.decrs import prior_of

    text = zipfile.ZipFile(mirror / "ml-1m/ml-1m.zip").read("ml-1m/movies.dat").decode("latin-1")
    groups = [line.rpartition("::")[2].split("|") for line in io.StringIO(text).read().splitlines()]
    values = np.array([GENRES.index(name) for some in groups for name in some])
    data = Interactions.of(np.array([[0, 0]]), 1, len(groups))
    object.__setattr__(data, "features", {"attributes": Lists.of(values, np.array(list(map(len, groups))))})
    released = dict(zip(*(np.load(Path(mirror, "decrs/ml_1m", f"{name}.npy")).tolist()
                          for name in ("category_list", "confounder_prior")), strict=True))
    found = prior_of(data, "catalogue")
    assert max(abs(found[place].item() - released[name]) for place, name in enumerate(GENRES)) < 1e-12
    assert len(groups) == 3883
