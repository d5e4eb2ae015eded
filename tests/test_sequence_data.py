"""Leave-one-out in order of time: parts, ids, id schemes, and the raw route against the released files."""

import argparse
import gzip
import json
import types
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from reprise.config import make_config
from reprise.data.prepare import leaks, prepare
from reprise.data.prepared import Prepared
from reprise.data.readers import amazon_reviews, s3rec
from reprise.data.recipe import Recipe
from reprise.data.small_sequences import make, write
from reprise.data.splits import id_schemes, leave_one_out
from reprise.errors import RepriseError
from reprise.papers import load_paper
from reprise.settings import checked
from reprise.stages import canonicalise, check
from reprise.stages import prepare as stage


def by_hand(rows, core):
    """S3-Rec's rules as loops: `rows` are (user, item, time) in the order of the file; the histories, as numbers."""
    histories = {}
    for user, item, time in rows:
        histories.setdefault(user, []).append((time, item))
    histories = {user: [item for _, item in sorted(some, key=lambda one: one[0])] for user, some in histories.items()}
    while True:
        items = Counter(item for some in histories.values() for item in some)
        left = {user: [item for item in some if items[item] >= core] for user, some in histories.items()}
        left = {user: some for user, some in left.items() if len(some) >= core}
        if left == histories:
            break
        histories = left
    numbers = {}
    return [[numbers.setdefault(item, len(numbers)) for item in some] for some in histories.values()], list(histories)


def canonical(folder, rows, items=None, **columns):
    table = pd.DataFrame(rows, columns=["user", "item", "time"]).assign(**columns)
    table.to_parquet(folder / "interactions.parquet", index=False)
    if items is not None:
        pd.DataFrame(items).to_parquet(folder / "items.parquet", index=False)
    return folder / "interactions.parquet"


def made(interactions, items=None, **recipe):
    recipe = Recipe(**{"split": "leave_one_out", "order": "time", **recipe})
    return prepare(interactions, recipe, status="official", expect={}, where="toy", items=items)


def histories(data, parts="train+valid+test"):
    pairs = data.parts(parts)
    return [pairs[pairs[:, 0] == user, 1].tolist() for user in range(data.n_users)]


def test_last_is_test_last_but_one_validation_and_short_histories_are_training():
    users = np.array([0] * 4 + [1] + [2] * 3 + [3] * 2)
    assert leave_one_out(users).tolist() == [0, 0, 1, 2] + [0] + [0, 1, 2] + [0, 0]
    assert leave_one_out(users[:0]).tolist() == []


def test_a_small_file_by_hand(tmp_path):
    # By time B has y x z x; A, who comes second in the file, has z w w; C has one event.
    rows = [("B", "x", 20), ("A", "w", 7), ("B", "y", 10), ("B", "z", 20), ("A", "z", 5), ("B", "x", 30), ("A", "w", 7),
            ("C", "v", 1)]
    data, facts = made(canonical(tmp_path, rows), repeats="kept")
    # Items as B and then A and C meet them: y x z w v.
    assert data.train.tolist() == [[0, 0], [0, 1], [1, 2], [2, 4]]
    assert data.valid.tolist() == [[0, 2], [1, 3]] and data.test.tolist() == [[0, 1], [1, 3]]
    assert (facts["users_with_repeats"], facts["test_in_train"], facts["cold_items"]) == (2, 2, 0)
    assert data.statistics()["min_sequence_length"] == 1 and data.statistics()["avg_items_per_user"] == 8 / 3
    with pytest.raises(RepriseError, match="repeated interactions"):
        made(canonical(tmp_path, rows))
    assert leaks(data, Recipe(split="leave_one_out", order="position", repeats="kept")) == []


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("core", [1, 2, 5])
def test_agrees_with_s3recs_rules_as_loops(tmp_path, seed, core):
    rng = np.random.default_rng(seed)  # few items and times: repeats and ties abound
    rows = list(zip((f"u{n}" for n in rng.zipf(1.4, 800) % 90), (f"i{n}" for n in rng.zipf(1.5, 800) % 40),
                    rng.integers(0, 30, 800).tolist(), strict=True))
    data, _ = made(canonical(tmp_path, rows), core=core, repeats="kept")
    expected, _ = by_hand(rows, core)
    assert histories(data) == expected
    assert histories(data, "train") == [some[:-2] if len(some) > 2 else some for some in expected]
    assert [some[-1:] for some in expected if len(some) > 2] == [some for some in histories(data, "test") if some]


def test_users_are_numbered_before_the_core_and_items_after_it(tmp_path):
    # B's first row and the item of it are dropped by the core, yet B stays the first user.
    rows = [("B", "rare", 1), ("A", "x", 2), ("A", "y", 3), ("B", "y", 4), ("B", "x", 5)]
    data, _ = made(canonical(tmp_path, rows), core=2)
    assert histories(data) == [[0, 1], [1, 0]]  # y x and x y


def test_the_window_is_one_of_texts_and_both_ends_are_in_it(tmp_path):
    dates = ["2018-12-31 23:59:59", "2019-01-01 00:00:00", "2019-12-30 23:59:59", "2019-12-31 00:00:00",
             "2019-12-31 00:00:01", "2019-12-31", "2019-01-01"]
    interactions = canonical(tmp_path, [("A", str(n), n) for n in range(7)], date=dates)
    data, _ = made(interactions, window=("2019-01-01 00:00:00", "2019-12-31 00:00:00"))
    # A bare 2019-12-31 is less than the end, a bare 2019-01-01 less than the beginning.
    assert len(data.parts("train+valid+test")) == sum("2019-01-01 00:00:00" <= one <= "2019-12-31 00:00:00"
                                                      for one in dates) == 4
    with pytest.raises(RepriseError, match="no date within"):
        made(interactions, window=("2020", "2021"))
    with pytest.raises(RepriseError, match="none of date"):
        made(canonical(tmp_path, [("A", "x", 1)]), window=("2020", "2021"))


def test_a_source_without_times_is_refused(tmp_path):
    interactions = canonical(tmp_path, [("A", "x", 1), ("A", "y", None)])
    with pytest.raises(RepriseError, match="1 without one"):
        made(interactions)
    with pytest.raises(RepriseError, match="none of position"):
        made(interactions, order="position")


@pytest.mark.parametrize("recipe", [{}, {"order": "time", "valid_k": 5}, {"order": "time", "test_k": 5}])
def test_leave_one_out_reads_its_own_keys_and_no_others(recipe):
    with pytest.raises(RepriseError, match="leave_one_out"):
        checked(Recipe, {"split": "leave_one_out", **recipe}, "toy")
    with pytest.raises(RepriseError, match="window"):
        checked(Recipe, {"split": "released", "window": ["a", "b"]}, "toy")


def test_three_ways_to_number_the_items():
    # Two users: 0 1 [2 3] and 4 1 [0 5], the last two of each held out. Training shows 0 1 4; never 2, 3 and 5.
    items, training = np.array([0, 1, 2, 3, 4, 1, 0, 5]), np.array([1, 1, 0, 0, 1, 1, 0, 0], dtype=bool)
    ids = id_schemes(items, training, 6, seed=1)
    assert ids["appearance"].tolist() == [1, 2, 3, 4, 5, 6]
    assert ids["train_appearance"][[0, 1, 4]].tolist() == [1, 2, 3]
    assert sorted(ids["train_appearance"][[2, 3, 5]]) == [4, 5, 6] and sorted(ids["shuffled"]) == [1, 2, 3, 4, 5, 6]
    drawn = [tuple(id_schemes(items, training, 6, seed)["train_appearance"][[2, 3, 5]]) for seed in range(60)]
    assert len(set(drawn)) == 6  # no order among the unseen is left of the walk
    assert all((ids[name] == one).all() for name, one in id_schemes(items, training, 6, seed=1).items())


def toy(ordered=True, **features):
    pairs = np.array([[1, 2], [0, 1], [0, 0], [1, 0]])
    return Prepared(2, 3, pairs, pairs[:1], pairs[1:2], "official", ordered, features)


def test_ordered_parts_keep_their_order_and_unordered_ones_their_hash(tmp_path):
    assert toy().train.tolist() == [[0, 1], [0, 0], [1, 2], [1, 0]]
    assert toy(False).train.tolist() == [[0, 0], [0, 1], [1, 0], [1, 2]]
    # Written down when data had neither order nor features: it must never change.
    assert toy(False).content == "1a8547c4336c0f166d45e42aa07e5bb413bb044645ec5fe4e7f4334a15bc5326"
    other = {"kind": pa.array([3, 1, 2])}
    contents = {toy().content, toy(False).content, toy(**other).content, toy(kind=pa.array([3, 1, 1])).content,
                toy(sort=pa.array([3, 1, 2])).content, toy(kind=pa.array([[3], [1, 2], []])).content,
                toy(kind=pa.array([[3, 1], [2], []])).content}
    assert len(contents) == 7
    toy(**other).save(tmp_path)
    loaded = Prepared.load(tmp_path)
    assert loaded.ordered and loaded.content == toy(**other).content and loaded.train.tolist() == toy().train.tolist()
    (tmp_path / "items.parquet").unlink()
    with pytest.raises(RepriseError, match="items.parquet"):
        Prepared.load(tmp_path)


def test_models_get_order_and_features_on_the_device():
    data = toy(kind=pa.array([3, 1, 2]), attributes=pa.array([[3], [1, 2], []]))
    laid = data.interactions("train+valid")
    assert laid.items.tolist() == [1, 0, 2, 0, 2] and laid.offsets.tolist() == [0, 2, 5]
    assert laid.features["kind"].single().tolist() == [3, 1, 2]
    assert laid.features["attributes"].values.tolist() == [3, 1, 2]
    assert laid.features["attributes"].offsets.tolist() == [0, 1, 3, 3]


def test_features_follow_their_items_and_texts_stay_behind(tmp_path):
    rows = [("A", 30, 1), ("A", 10, 2), ("A", 20, 3)]
    items = {"item": [10, 20, 30, 40], "attributes": [[1], [], [3, 4], [9]], "brand": ["a", "b", "c", "d"]}
    interactions = canonical(tmp_path, rows, items)
    data, _ = made(interactions, tmp_path / "items.parquet")
    assert data.features["attributes"].to_pylist() == [[3, 4], [1], []] and "brand" not in data.features
    canonical(tmp_path, rows, {name: some[1:] for name, some in items.items()})
    with pytest.raises(RepriseError, match="e.g. 10"):
        made(interactions, tmp_path / "items.parquet")
    canonical(tmp_path, rows, items | {"attributes": [[1], None, [3, 4], [9]]})
    with pytest.raises(RepriseError, match="nulls"):
        made(interactions, tmp_path / "items.parquet")


def house(folder, monkeypatch, reader, key, **others):
    """Write raw files with `others["write"]`, run the stages on them, and load what came out."""
    config = make_config({"results": str(folder / "results"), "resources": str(folder)})
    raw = folder / "raw" / reader
    raw.mkdir(parents=True)
    others["write"](raw)
    (raw / "source.json").write_text('{"status": "official"}')
    canonicalise.main(argparse.Namespace(source=reader, reader=reader), config)
    dataset = load_paper("genrec").dataset(key).model_copy(update={"source": reader, "expect": {}})
    for one in (stage, check):
        monkeypatch.setattr(one, "load_paper", lambda _: types.SimpleNamespace(dataset=lambda _: dataset))
    args = argparse.Namespace(paper="genrec", dataset=key)
    stage.main(args, config)
    check.main(args, config)
    return Prepared.load(folder / "results/genrec" / key / "data")


def reviews(repeats):
    """Reviews (user, item, time in days) of a year, in an order of their own, with more than the core keeps."""
    rng = np.random.default_rng(11)
    users, items = rng.zipf(1.3, 6000) % 150, rng.zipf(1.25, 6000) % 60
    rows = pd.DataFrame({"user": users, "item": items, "day": rng.integers(0, 400, 6000)})
    return rows if repeats else rows.drop_duplicates(["user", "item"])


def released(rows):
    """Write the released files that S3-Rec's rules, as loops, make of (user, item, time)."""
    expected, _ = by_hand(rows, core=5)

    def write(raw):
        text = "".join(" ".join(map(str, [user, *(item + 1 for item in some)])) + "\n"
                       for user, some in enumerate(expected, start=1))
        (raw / "Toy.txt").write_text(text)
        attributes = {str(item + 1): [1] for some in expected for item in some}
        (raw / "Toy_item2attributes.json").write_text(json.dumps(attributes))

    return write


def same(raw, files):
    """The same users, items, parts and order; what the raw files do not have are the attributes."""
    assert files.n_users > 20 and histories(raw) == histories(files)
    assert all(np.array_equal(raw.parts(part), files.parts(part)) for part in ("train", "valid", "test"))
    assert set(files.features) - set(raw.features) == {"attributes"}
    assert all(raw.features[name].equals(files.features[name]) for name in raw.features)


def test_amazons_raw_reviews_give_the_released_sequences(tmp_path, monkeypatch):
    table = reviews(repeats=False)
    rows = [(f"U{user}", f"0{item}", 86_400 * day) for user, item, day in table.to_numpy().tolist()]

    def write(raw):
        keys = ("reviewerID", "asin", "unixReviewTime")
        lines = (json.dumps(dict(zip(keys, row, strict=True)) | {"overall": 1.0, "reviewText": "..."}) for row in rows)
        (raw / "reviews_Toy_5.json.gz").write_bytes(gzip.compress("\n".join(lines).encode()))

    raw = house(tmp_path / "a", monkeypatch, "amazon_reviews", "beauty-raw", write=write)
    same(raw, house(tmp_path / "b", monkeypatch, "s3rec", "beauty", write=released(rows)))


def test_yelps_raw_reviews_give_the_released_sequences(tmp_path, monkeypatch):
    table = reviews(repeats=True)
    dates = (pd.Timestamp("2018-12-20") + pd.to_timedelta(table["day"], "D")).dt.strftime("%Y-%m-%d %H:%M:%S").tolist()
    rows = [(f"U{user}", f"B{item}", date)
            for user, item, date in zip(table["user"], table["item"], dates, strict=True)]

    def write(raw):
        keys = ("user_id", "business_id", "date")
        lines = (json.dumps(dict(zip(keys, row, strict=True)) | {"stars": 1.0, "text": "..."}) for row in rows)
        (raw / "yelp_academic_dataset_review.json").write_text("\n".join(lines))

    inside = [row for row in rows if "2019-01-01 00:00:00" <= row[2] <= "2019-12-31 00:00:00"]
    assert 0 < len(rows) - len(inside)
    raw = house(tmp_path / "a", monkeypatch, "yelp_reviews", "yelp-raw", write=write)
    files = house(tmp_path / "b", monkeypatch, "s3rec", "yelp", write=released(inside))
    same(raw, files)
    assert json.loads((tmp_path / "a/results/genrec/yelp-raw/data/stats.json").read_text())["users_with_repeats"] > 0


@pytest.fixture(scope="module")
def world():
    return make()


def rule(ids, histories):
    """The share of users whose last item is numbered just above everything before."""
    return np.mean([max(ids[some[:-1]]) + 1 == ids[some[-1]] for some in histories])


def test_small_sequences_leak_through_their_ids_and_through_no_others(world):
    items = np.concatenate(world.histories)
    training = np.concatenate([np.arange(len(some)) < len(some) - 2 for some in world.histories])
    found = {name: rule(ids, world.histories) for name, ids in id_schemes(items, training, 990, seed=1).items()}
    assert found["appearance"] == 75 / 500 and max(found["shuffled"], found["train_appearance"]) < 0.02


def test_small_sequences_have_transitions_repeats_and_numbers_by_first_appearance(world):
    items = np.concatenate(world.histories)
    assert pd.unique(items).tolist() == list(range(990)) and len(world.histories) == 500
    following = np.concatenate([world.successor[some[:-1]] == some[1:] for some in world.histories])
    assert following.mean() > 0.25  # by chance: 1 in 990
    assert sorted(world.successor) == list(range(990))
    assert (world.category[world.successor] == (world.category + 1) % 10).all()
    assert sum(len(set(some)) < len(some) for some in world.histories) > 100
    assert min(map(len, world.histories)) == 5


def test_small_sequences_read_back_as_they_are(world, tmp_path):
    write(world, tmp_path)
    tables = s3rec.read(tmp_path)
    assert (tables.interactions["item"].to_numpy() - 1 == np.concatenate(world.histories)).all()
    assert [one[0] - 1 for one in tables.items["attributes"]] == world.category.tolist()


def test_small_sequences_are_as_paper_yaml_counts_them(world, tmp_path, monkeypatch):
    data = house(tmp_path, monkeypatch, "s3rec", "small-sequences", write=lambda raw: write(world, raw))
    expect = load_paper("genrec").dataset("small-sequences").expect
    assert expect.items() <= data.statistics().items()
    assert [np.array(some).tolist() for some in histories(data)] == [some.tolist() for some in world.histories]


def test_an_amazon_review_given_twice_is_refused(tmp_path, monkeypatch):
    rows = [{"reviewerID": f"u{user}", "asin": str(item), "unixReviewTime": 1, "overall": 5.0}
            for user in range(5) for item in range(5)]

    def write(raw):
        (raw / "reviews_Toy_5.json").write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]))

    with pytest.raises(RepriseError, match="repeated interactions"):
        house(tmp_path, monkeypatch, "amazon_reviews", "beauty-raw", write=write)
    assert len(amazon_reviews.read(tmp_path / "raw/amazon_reviews").interactions) == 26
