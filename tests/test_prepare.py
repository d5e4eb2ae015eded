"""From raw lists to prepared parts: counts checked before anything is written, leaks found after."""

import argparse
import json
import types

import numpy as np
import pyarrow.parquet as pq
import pytest
from reprise import selection
from reprise.config import make_config
from reprise.data.prepare import compare, leaks
from reprise.data.prepare import prepare as make
from reprise.data.prepared import Prepared
from reprise.data.recipe import Recipe
from reprise.errors import RepriseError
from reprise.papers import Dataset, load_paper
from reprise.settings import checked
from reprise.stages import canonicalise, check, prepare

# Items 0, 1 and 2 have 6, 3 and 1 training rows, so with k = 2 validation takes min(5, 5, 2), min(2, 2, 2) and
# min(0, 0, 2): 2 + 2 + 0 = 4 of 10 rows. User 6 has no training row.
TRAIN = "0 0 1\n1 0 1\n2 0 1\n3 0\n4 0 2\n5 0\n"
TEST = "6 0\n0 2\n"
COUNTS = {"users": 7, "items": 3, "interactions": 12, "train": 6, "valid": 4, "train+valid": 10, "test": 2,
          "test_users": 2, "users_without_history": 1, "sparsity": 12 / (7 * 3)}


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A canonical source and a paper with one data set; `house.prepare(expect, ...)` runs the stage."""
    config = make_config({"results": str(tmp_path / "results"), "resources": str(tmp_path / "resources")})
    raw = tmp_path / "resources/raw/toy"
    raw.mkdir(parents=True)
    (raw / "source.json").write_text('{"status": "recovered"}')
    (raw / "train.txt").write_text(TRAIN)
    (raw / "test.txt").write_text(TEST)
    canonicalise.main(argparse.Namespace(source="toy", reader="user_lists"), config)
    args = argparse.Namespace(paper="p", dataset="toy")

    def run(expect, **recipe):
        recipe = recipe or {"split": "released", "valid_k": 2}
        dataset = Dataset(label="Toy", source="toy", reader="user_lists", expect=expect, **recipe)
        for stage in (prepare, check):
            monkeypatch.setattr(stage, "load_paper", lambda name: types.SimpleNamespace(dataset=lambda key: dataset))
        prepare.main(args, config)

    def write(train, test=TEST):
        (raw / "train.txt").write_text(train)
        (raw / "test.txt").write_text(test)
        canonicalise.main(argparse.Namespace(source="toy", reader="user_lists"), config)

    return types.SimpleNamespace(prepare=run, check=lambda: check.main(args, config), write=write, raw=raw,
                                 config=config, folder=tmp_path / "results/p/toy/data",
                                 canonical=tmp_path / "resources/canonical/toy")


def test_canonical_tables_and_receipt(house):
    receipt = json.loads((house.canonical / "canonical.json").read_text())
    assert receipt["rows"] == {"interactions": 12, "items": 3, "users": 7}
    assert receipt["status"] == "recovered" and set(receipt["inputs"]) == {"train.txt", "test.txt"}
    names = pq.read_schema(house.canonical / "interactions.parquet").names
    assert names == ["user", "item", "time", "rating", "part", "position"]


def test_a_source_cut_short_is_refused_and_replaces_nothing(house, monkeypatch):
    """No checksum is published of what some people place by hand; the number of rows is."""
    before = (house.canonical / "interactions.parquet").read_bytes()
    monkeypatch.setattr(canonicalise, "load_catalogue", lambda: {"toy": types.SimpleNamespace(rows=13)})
    with pytest.raises(RepriseError, match="13 interactions") as caught:
        house.write(TRAIN.replace("3 0\n", ""))
    assert caught.value.found == "11"
    assert (house.canonical / "interactions.parquet").read_bytes() == before


def test_what_a_reader_refused_is_not_tried_again_until_it_is_asked_for(house, monkeypatch):
    """Else the job fails on every call, and what else was asked for is never shown."""
    dataset = Dataset(label="Toy", source="toy", reader="user_lists", split="released", valid_k=2)
    paper = types.SimpleNamespace(name="p", dataset=lambda key: dataset)
    monkeypatch.setattr(selection, "load_catalogue", lambda: {"toy": None})
    monkeypatch.setattr(selection, "blocked", lambda *source: None)

    def said(**settings):
        return selection.not_prepared(paper, "toy", make_config({**house.config.model_dump(), **settings}))

    assert said() is None
    with pytest.raises(RepriseError):
        house.write("0 zero\n")
    assert "train.txt" in said() and "zero" in said() and "retry=true" in said() and said(retry=True) is None
    house.write(TRAIN)
    assert said() is None


def test_counts_checked_by_hand(house):
    house.prepare(COUNTS)
    stats = json.loads((house.folder / "stats.json").read_text())
    assert {name: stats[name] for name in COUNTS} == COUNTS
    assert [stats[f"valid_per_item_{end}"] for end in ("min", "max")] == [0, 2]
    assert stats["status"] == "recovered" and "seeded" in stats["order"]


def test_validation_is_cut_out_of_the_released_training_part(house):
    house.prepare({})
    data = Prepared.load(house.folder)
    released = [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1], [3, 0], [4, 0], [4, 2], [5, 0]]
    assert sorted(data.parts("train+valid").tolist()) == released
    assert data.test.tolist() == [[0, 2], [6, 0]]
    assert np.bincount(data.valid[:, 1], minlength=3).tolist() == [2, 2, 0]


def test_mismatch_lists_each_difference_and_writes_nothing(house):
    with pytest.raises(RepriseError) as caught:
        house.prepare(COUNTS | {"train+valid": 11, "users": 8})
    assert caught.value.found == "users: expected 8, found 7; train+valid: expected 11, found 10"
    assert not house.folder.exists()
    failure = json.loads((house.folder.parent / "failure.json").read_text())
    assert failure["reason"].startswith("data: p toy") and "users: expected 8, found 7" in failure["reason"]
    house.prepare(COUNTS)
    assert not (house.folder.parent / "failure.json").exists()


def test_ids_with_a_gap_are_refused(house):
    (house.raw / "test.txt").write_text("6 0\n0 999999999\n")
    canonicalise.main(argparse.Namespace(source="toy", reader="user_lists"), house.config)
    with pytest.raises(RepriseError, match="item ids") as caught:
        house.prepare({})
    assert caught.value.found == "4 different ones" and not house.folder.exists()


def test_an_unknown_count_is_a_mismatch():
    assert compare({"sessions": 3}, {"users": 3}) == ["sessions: expected 3, found no such count"]


def test_a_fraction_matches_at_the_digits_papers_print():
    assert compare({"sparsity": 0.011594}, {"sparsity": 116321 / (13485 * 744)}) == []
    assert compare({"sparsity": 0.011595}, {"sparsity": 116321 / (13485 * 744)}) != []


def test_a_range_holds_its_ends():
    assert compare({"train": (3, 5)}, {"train": 3}) == compare({"train": (3, 5)}, {"train": 5}) == []
    assert compare({"train": (3, 5)}, {"train": 6}) == ["train: expected 3 to 5, found 6"]
    assert compare({"train": (3, 5)}, {}) == ["train: expected 3 to 5, found no such count"]


def test_a_histogram_must_be_the_same():
    found = {"test_per_item": {0: 2, 5: 3}}
    assert compare({"test_per_item": {0: 2, 5: 3}}, found) == []
    assert compare({"test_per_item": {5: 3}}, found) == [
        "test_per_item: expected {5: 3}, found {0: 2, 5: 3}"]


# Item 0 is clicked twice by user 0 in train, and by user 1 twice in test and once in train.
CLICKS = {"train": "0 0 0 1\n1 0 1\n2 1 0\n", "test": "1 0 0 2\n2 2\n"}
KEPT = {"split": "released", "valid_k": 0, "repeats": "kept"}


def stats_of(house):
    return json.loads((house.folder / "stats.json").read_text())


def test_repeats_stay_where_the_paper_counts_them(house):
    house.write(**CLICKS)
    # Two of the test's four clicks fall on the pair (1, 0), which train has: it is masked.
    counts = {"interactions": 11, "train": 7, "test": 4, "repeated_train": 1, "repeated_train_users": 1,
              "repeated_test": 1, "repeated_test_users": 1, "test_in_train": 2, "test_per_item": {0: 1, 2: 2}}
    house.prepare(counts, **KEPT)
    house.check()
    data = Prepared.load(house.folder)
    assert data.train.tolist() == [[0, 0], [0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]
    assert data.test.tolist() == [[1, 0], [1, 0], [1, 2], [2, 2]]
    assert stats_of(house)["test_per_item"] == {"0": 1, "2": 2}
    assert json.loads((house.folder / "check.json").read_text())["disjoint"] is False


def test_repeats_count_once_where_they_are_merged(house):
    """Of a pair that training and test both have, the training row is left."""
    house.write(**CLICKS)
    house.prepare({"train": 6, "test": 2, "test_per_item": {0: 2, 2: 1}}, **KEPT | {"repeats": "merged"})
    house.check()
    data = Prepared.load(house.folder)
    assert data.train.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]
    assert data.test.tolist() == [[1, 2], [2, 2]]


def test_a_repeat_may_fall_into_validation(house):
    # Five clicks of user 0 on item 0: with k = 4, four of them are validation, and the fifth masks them all.
    house.write("0 0 0 0 0 0\n", "0 1\n")
    house.prepare({"train": 1, "valid": 4, "valid_in_train": 4}, split="released", valid_k=4, repeats="kept")
    house.check()


def test_repeats_are_refused_where_the_paper_has_none(house):
    house.write(**CLICKS)
    with pytest.raises(RepriseError, match="repeated interactions") as caught:
        house.prepare({}, split="released", valid_k=0)
    assert caught.value.found == "repeated_train: 1, repeated_test: 1, test_in_train: 2"
    assert not house.folder.exists()


def test_items_that_training_never_saw_are_allowed_counted_and_told(house, caplog):
    house.write("0 0 1\n1 0 1\n", "0 2 3\n1 3\n")
    with caplog.at_level("INFO", "reprise"):
        house.prepare({}, split="released", valid_k=0)
    assert "train 4, valid 0, test 3; 2 items of test stand in no other part" in caplog.text
    house.check()
    assert stats_of(house)["cold_items"] == 2  # items 2 and 3


def test_a_released_validation_part_is_taken_as_it_is(house):
    (house.raw / "val").mkdir()
    (house.raw / "val/valid.txt").write_text("0 1\n4 2\n")
    (house.raw / "val/train.txt").write_text("0 0\n1 0 1\n2 0 1\n3 0\n4 0\n5 0\n")
    house.write(TRAIN)
    house.prepare({"valid": 2, "train+valid": 10, "valid_per_item": {0: 1, 1: 2}}, split="released", valid_k=None)
    assert Prepared.load(house.folder).valid.tolist() == [[0, 1], [4, 2]]
    house.prepare({"valid": 4}, split="released", valid_k=2)  # or a rule of our own, on the whole train.txt


@pytest.mark.parametrize(("key", "facts"), [
    ("globo", {"repeated_test": 1, "test_in_train": 2}),
    ("ml10m", {"valid_per_item": {0: 2, 1: 1}, "repeated_test": 0}),
])
def test_what_macr_says_of_data_that_are_not_at_hand_fits_their_format(house, key, facts):
    if key == "ml10m":
        (house.raw / "val").mkdir()
        (house.raw / "val/valid.txt").write_text("0 1\n")
        (house.raw / "val/train.txt").write_text("0 0\n1 0\n2 2\n")
    house.write(**CLICKS if key == "globo" else {"train": "0 0 1\n1 0\n2 2\n", "test": "1 2\n"})
    recipe = load_paper("macr").dataset(key)
    _, found = make(house.canonical / "interactions.parquet", recipe, status="official", expect={}, where=key)
    assert {name: found[name] for name in facts} == facts


def test_a_validation_part_that_is_not_there_is_named(house):
    with pytest.raises(RepriseError, match="valid part"):
        house.prepare({}, split="released", valid_k=None)


def test_the_official_rule_on_lists_takes_the_last_places(house):
    # Lists: user 0: 0 1 2, user 1: 1 0, user 2: 2 1 0 with the last from test. Item 0 is at places 0, 1, 2; item 1 at
    # 1, 0, 1; item 2 at 2, 0. k = 1 holds out (2, 0), then of (0, 1) and (2, 1), both at place 1, the later row (2, 1),
    # and (0, 2).
    house.write("0 0 1 2\n1 1 0\n2 2 1\n", "2 0\n")
    house.prepare({}, split="official_rule", order="position", test_k=1, valid_k=0)
    assert Prepared.load(house.folder).test.tolist() == [[0, 2], [2, 0], [2, 1]]


RATINGS = """10::5::4::1000000000
10::6::5::999999999
10::7::3.5::1000000001
20::5::4::999999998
20::6::4.5::1000000002
30::5::5::1000000003
30::9::5::1000000003
"""


def rated(folder, text=RATINGS):
    raw = folder / "resources/raw/rated"
    (raw / "ml-10M100K").mkdir(parents=True)
    (raw / "ml-10M100K/ratings.dat").write_text(text)
    (raw / "source.json").write_text('{"status": "official"}')
    config = make_config({"results": str(folder / "results"), "resources": str(folder / "resources")})
    canonicalise.main(argparse.Namespace(source="rated", reader="movielens"), config)
    return folder / "resources/canonical/rated/interactions.parquet"


def made(interactions, **recipe):
    return make(interactions, Recipe(**recipe), status="official", expect={}, where="rated")[0]


def test_ratings_are_filtered_cored_numbered_and_split(tmp_path):
    # 3.5 goes; then item 9 has one row, and without it user 30 has one; users 10, 20 and items 5, 6 are the 2-core.
    rule = {"split": "official_rule", "min_rating": 4, "core": 2, "test_k": 1, "valid_k": 0}
    interactions = rated(tmp_path)
    data = made(interactions, order="time", **rule)
    assert (data.n_users, data.n_items) == (2, 2)
    # Numbered as they first appear: users 10, 20 and items 5, 6. By time item 5 ends with user 10, item 6 with user 20.
    assert data.test.tolist() == [[0, 0], [1, 1]] and data.train.tolist() == [[0, 1], [1, 0]]
    # As texts "1000000000" < "999999998" and "1000000002" < "999999999": the other way round.
    data = made(interactions, order="time_text", **rule)
    assert data.test.tolist() == [[0, 1], [1, 0]]


def test_validation_follows_the_same_order(tmp_path):
    lines = "".join(f"{user}::1::5::{100 + user}\n" for user in range(1, 11))
    # Ten rows of one item: m = min(9, 9, 3), then of the seven left min(6, 6, 2).
    data = made(rated(tmp_path, lines), split="official_rule", order="time", test_k=3, valid_k=2)
    assert data.test[:, 0].tolist() == [7, 8, 9] and data.valid[:, 0].tolist() == [5, 6]


def test_a_rating_given_twice_is_refused(tmp_path):
    with pytest.raises(RepriseError, match="repeated interactions"):
        made(rated(tmp_path, RATINGS + "30::9::5::1000000009\n"), split="official_rule", order="time", test_k=1)


def test_the_papers_split_takes_a_tenth_twice_and_empties_nothing(tmp_path):
    rng = np.random.default_rng(0)
    pairs = np.unique(np.stack([rng.integers(1, 60, 900), rng.zipf(1.3, 900) % 40 + 1], axis=1), axis=0)
    text = "".join(f"{user}::{item}::5::1\n" for user, item in pairs)
    interactions = rated(tmp_path, text)
    data = made(interactions, split="paper")
    tenth = round(0.1 * len(pairs))
    assert (len(data.test), len(data.valid)) == (tenth, tenth) and leaks(data, Recipe(split="paper")) == []
    assert len(np.unique(data.train[:, 0])) == data.n_users and len(np.unique(data.train[:, 1])) == data.n_items
    assert made(interactions, split="paper").content == data.content
    assert made(interactions, split="paper", split_seed=1).content != data.content


@pytest.mark.parametrize(("recipe", "said"), [
    ({"split": "official_rule", "order": "position", "test_k": 1}, "a source with part, position"),
    ({"split": "released"}, "a source with part"),
    ({"split": "official_rule", "order": "time", "test_k": 1, "min_rating": 6}, "is min_rating above"),
    ({"split": "official_rule", "order": "time", "test_k": 1, "core": 4}, "a 4-core"),
])
def test_a_recipe_that_does_not_fit_its_source_is_named(tmp_path, recipe, said):
    with pytest.raises(RepriseError) as caught:
        made(rated(tmp_path), **recipe)
    assert said in caught.value.text()


@pytest.mark.parametrize(("recipe", "said"), [
    ({"split": "released", "test_k": 5}, "does not read test_k"),
    ({"split": "paper", "valid_k": 5}, "does not read valid_k"),
    ({"split": "official_rule", "order": "time"}, "needs test_k"),
    ({"split": "official_rule", "order": "time", "test_k": 5, "valid_k": None}, "only released files"),
    ({"split": "released", "core": 5}, "does not read core"), ({"core": 5}, "split: Field required"),
    ({"split": "released", "repeats": "dropped"}, "repeats"),
])
def test_a_recipe_with_a_key_too_many_or_too_few_is_refused(recipe, said):
    with pytest.raises(RepriseError, match=said):
        checked(Recipe, recipe, "toy")


def test_stages_are_repeatable_and_content_ignores_the_order_of_lines(house):
    house.prepare({})
    first = Prepared.load(house.folder).content
    (house.raw / "train.txt").write_text("\r\n".join(reversed(TRAIN.splitlines())) + "\r\n")
    canonicalise.main(argparse.Namespace(source="toy", reader="user_lists"), house.config)
    house.prepare({})
    assert Prepared.load(house.folder).content == first


def toy(train=((0, 0), (1, 1)), valid=((0, 1),), test=((1, 0),), users=2, items=2):
    return Prepared(users, items, np.array(train), np.array(valid), np.array(test), "official")


def test_content_changes_with_one_id_a_moved_pair_and_the_number_of_items():
    changed = [toy(test=((1, 1),)), toy(train=((0, 0),), valid=((0, 1), (1, 1))), toy(items=3)]
    assert len({toy().content, *(one.content for one in changed)}) == 4


def test_save_and_load_give_back_the_same(tmp_path):
    toy().save(tmp_path)
    loaded = Prepared.load(tmp_path)
    assert loaded.content == toy().content and (loaded.n_users, loaded.n_items, loaded.status) == (2, 2, "official")
    assert loaded.train.tolist() == [[0, 0], [1, 1]] and loaded.train.dtype == np.int32


def test_unknown_part_is_refused():
    with pytest.raises(RepriseError, match="dev"):
        toy().parts("train+dev")


@pytest.mark.parametrize(("data", "found"), [
    (toy(test=((1, 1),)), "1 pairs are in train and in test"),
    (toy(valid=((0, 0),)), "1 pairs are in train and in valid"),
    (toy(test=((0, 1),)), "1 pairs are in valid and in test"),
    (toy(users=3), "1 user ids between 0 and 2 never occur"),
    (toy(items=4), "2 item ids between 0 and 3 never occur"),
    (toy(test=((1, -1),)), "1 item ids are outside 0 to 1"),
    (toy(test=((2, 0),)), "1 user ids are outside 0 to 1"),
])
def test_leaks_are_found(data, found):
    assert leaks(toy(), Recipe(split="released")) == []
    assert found in leaks(data, Recipe(split="released"))


def test_check_passes_on_sound_data_and_fails_on_a_leak(house):
    house.prepare({})
    house.check()
    assert json.loads((house.folder / "check.json").read_text())["disjoint"] is True
    data = Prepared.load(house.folder)
    Prepared(data.n_users, data.n_items, data.train, data.valid, np.concatenate([data.test, data.train[:2]]),
             data.status).save(house.folder)
    with pytest.raises(RepriseError) as caught:
        house.check()
    assert "2 pairs are in train and in test" in caught.value.found
    assert not (house.folder / "check.json").exists()


def test_check_notices_bytes_that_changed(house):
    house.prepare({})
    other = pq.read_table(house.folder / "train.parquet").slice(1)
    pq.write_table(other, house.folder / "train.parquet")
    with pytest.raises(RepriseError, match="content"):
        house.check()


def test_load_names_a_missing_file(tmp_path):
    toy().save(tmp_path)
    (tmp_path / "valid.parquet").unlink()
    with pytest.raises(RepriseError, match="valid.parquet"):
        Prepared.load(tmp_path)
