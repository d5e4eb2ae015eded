"""From raw lists to prepared parts: counts checked before anything is written, leaks found after."""

import argparse
import json
import types

import numpy as np
import pyarrow.parquet as pq
import pytest
from reprise.config import make_config
from reprise.data.prepare import compare, leaks
from reprise.data.prepared import Prepared
from reprise.errors import RepriseError
from reprise.papers import Dataset
from reprise.stages import canonicalise, check, prepare

# Items 0, 1 and 2 have 6, 3 and 1 training rows, so with k = 2 validation takes min(5, 5, 2), min(2, 2, 2) and
# min(0, 0, 2): 2 + 2 + 0 = 4 of 10 rows. User 6 has no training row.
TRAIN = "0 0 1\n1 0 1\n2 0 1\n3 0\n4 0 2\n5 0\n"
TEST = "6 0\n0 2\n"
COUNTS = {"users": 7, "items": 3, "interactions": 12, "train": 6, "valid": 4, "train+valid": 10, "test": 2,
          "test_users": 2, "users_without_train": 1, "sparsity": 12 / (7 * 3)}


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A canonical source and a paper with one data set; `house.prepare(expect)` runs the stage."""
    config = make_config({"results": str(tmp_path / "results"), "resources": str(tmp_path / "resources")})
    raw = tmp_path / "resources/raw/toy"
    raw.mkdir(parents=True)
    (raw / "source.json").write_text('{"status": "recovered"}')
    (raw / "train.txt").write_text(TRAIN)
    (raw / "test.txt").write_text(TEST)
    canonicalise.main(argparse.Namespace(source="toy", reader="user_lists"), config)
    args = argparse.Namespace(paper="p", dataset="toy")

    def run(expect):
        dataset = Dataset(label="Toy", source="toy", reader="user_lists", split="released", valid_k=2, expect=expect)
        for stage in (prepare, check):
            monkeypatch.setattr(stage, "load_paper", lambda name: types.SimpleNamespace(dataset=lambda key: dataset))
        prepare.main(args, config)

    return types.SimpleNamespace(prepare=run, check=lambda: check.main(args, config), raw=raw, config=config,
                                 folder=tmp_path / "results/p/toy/data", canonical=tmp_path / "resources/canonical/toy")


def test_canonical_tables_and_receipt(house):
    receipt = json.loads((house.canonical / "canonical.json").read_text())
    assert receipt["rows"] == {"interactions": 12, "items": 3, "users": 7}
    assert receipt["status"] == "recovered" and set(receipt["inputs"]) == {"train.txt", "test.txt"}
    names = pq.read_schema(house.canonical / "interactions.parquet").names
    assert names == ["user", "item", "time", "rating", "part", "position"]


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
    assert leaks(toy()) == []
    assert found in leaks(data)


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
