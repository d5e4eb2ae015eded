"""The released Gowalla, Yelp2018 and sequences of S3-Rec, where they are at hand: counts, rules, every row.

The files may not be passed on, so these tests skip where no mirror lies beside the repository.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from reprise.config import make_config
from reprise.data.pairs import codes, within
from reprise.data.prepare import prepare
from reprise.data.prepared import Prepared
from reprise.data.readers import user_lists
from reprise.data.splits import last_per_item
from reprise.evaluation.drift import drift
from reprise.models.factorisation import user_columns
from reprise.papers import load_paper
from reprise.stages import canonicalise, check, fetch
from reprise.stages import prepare as stage

ROOT = Path(__file__).resolve().parent.parent
MIRROR, OTHER = ROOT.parent / "shared/data/mirror", ROOT.parent / "shared/data/other"
PAPER = load_paper("macr")
pytestmark = pytest.mark.skipif(not (MIRROR / "MANIFEST.csv").exists(), reason="no mirror of the released data here")


def canonical(folder, source):
    """LightGCN's lists in canonical form, for `prepare`."""
    tables = user_lists.read(OTHER / source)
    tables.interactions.to_parquet(folder / "interactions.parquet", index=False)
    return folder / "interactions.parquet", tables.interactions


def from_the_mirror(folder, paper, key):
    """Fetch, canonicalise, prepare (which compares with every count of paper.yaml) and check; statistics and data."""
    config = make_config({"results": str(folder / "results"), "resources": str(folder), "mirror": str(MIRROR),
                          "licences": "movielens"})
    dataset = load_paper(paper).dataset(key)
    for source, form in ((dataset.source, dataset.reader), (dataset.lists, dataset.lists_reader)):
        if source:
            fetch.main(argparse.Namespace(source=source), config)
            canonicalise.main(argparse.Namespace(source=source, reader=form), config)
    args = argparse.Namespace(paper=paper, dataset=key)
    stage.main(args, config)
    check.main(args, config)
    data = folder / "results" / paper / key / "data"
    return json.loads((data / "stats.json").read_text()), Prepared.load(data)


def released(name):
    """The rows of the released files, and which of them are the test part."""
    rows = user_lists.read(MIRROR / "macr" / name).interactions
    return rows, (rows["part"] == "test").to_numpy()


# From validation to (train, valid), as shares of train.txt: 199,330 / 822,465 = 24 % and 187,352 / 1,371,166 = 14 %.
@pytest.mark.parametrize(("key", "status", "share"), [
    ("adressa", "official", 0.03), ("gowalla", "official", 0.24), ("yelp2018", "rebuilt", 0.14)])
def test_from_the_mirror_to_checked_parts(tmp_path, key, status, share):
    stats, data = from_the_mirror(tmp_path, "macr", key)
    assert stats["status"] == status and round(stats["valid"] / stats["train+valid"], 2) == share
    rows, test = released(PAPER.dataset(key).source.removeprefix("macr-").replace("adressa", "addressa"))
    file = codes(rows["user"], rows["item"])
    for part, expected in (("test", file[test]), ("train+valid", file[~test])):
        assert np.array_equal(np.sort(codes(*data.parts(part).T)), np.sort(expected))


def lines(user, item):
    """Pairs as the official code writes them: a user's items in the order of the rows, users as they first appear."""
    lists = {}
    for one, other in zip(user.tolist(), item.tolist(), strict=True):
        lists.setdefault(one, []).append(other)
    return "".join(f"{one} {' '.join(map(str, items))}\n" for one, items in lists.items()).encode()


def test_the_official_rule_makes_the_released_gowalla_byte_for_byte(tmp_path):
    interactions, rows = canonical(tmp_path, "gowalla_lightgcn")
    dataset = PAPER.dataset("gowalla-rule")
    data, _ = prepare(interactions, dataset, status="official", expect=dataset.expect, where="gowalla-rule")
    # The official code walks through the items, and through an item's users by their place in the list.
    length = rows["user"].map(rows["user"][rows["part"] == "train"].value_counts()) * (rows["part"] == "test")
    walk = rows.iloc[np.lexsort((rows["position"] + length, rows["item"]))]
    user, item = walk["user"].to_numpy(), walk["item"].to_numpy()
    for part, file in (("test", "test.txt"), ("train+valid", "train.txt")):
        mine = within(codes(user, item), codes(*data.parts(part).T))
        assert lines(user[mine], item[mine]) == (MIRROR / "macr/gowalla" / file).read_bytes()


def test_with_sorted_train_lists_gowalla_would_agree_no_better_than_yelp2018():
    """The control of the next test: what is at hand of Yelp2018 is done to Gowalla, whose true order is known."""
    rows = user_lists.read(OTHER / "gowalla_lightgcn").interactions
    train = (rows["part"] == "train").to_numpy()
    user, item = rows["user"].to_numpy(), rows["item"].to_numpy().copy()
    place = rows["position"].to_numpy() + np.where(train, 0, np.bincount(user[train])[user])
    held = last_per_item(user, item, 5, order=place)
    truth = codes(user[held], item[held])
    item[train] = item[train][np.lexsort((item[train], user[train]))]  # users stand in order of their ids
    held = last_per_item(user, item, 5, order=place)
    assert round(within(codes(user[held], item[held]), truth).mean(), 3) == 0.749


def test_the_official_rule_on_yelp2018_fails_only_where_the_order_is_lost(tmp_path):
    """LightGCN's train lists of Yelp2018 are at hand with their items sorted: a train row's place is not known.

    It lies between 0 and the length of its list. A test row's place is known: it follows the whole train list.
    """
    interactions, rows = canonical(tmp_path, "yelp2018_lightgcn")
    data, _ = prepare(interactions, PAPER.dataset("gowalla-rule"), status="rebuilt", expect={}, where="yelp2018")
    theirs, test = released("yelp2018")
    theirs = codes(theirs["user"], theirs["item"])[test]
    agree = within(codes(*data.test.T), theirs)
    assert len(theirs) == len(data.test) == 190_240
    assert round(agree.mean(), 4) == 0.7509

    user, item, part = rows["user"], rows["item"], rows["part"]
    length = user.map(user[part == "train"].value_counts()).to_numpy()
    known = (part == "test").to_numpy()
    earliest = np.where(known, length + rows["position"], 0)
    latest = np.where(known, earliest, length - 1)

    def contradictions(held):
        """Items of which something held out is certain to come before something that is not."""
        first_held, last_left = np.full(item.max() + 1, np.inf), np.full(item.max() + 1, -np.inf)
        np.minimum.at(first_held, item[held], latest[held])
        np.maximum.at(last_left, item[~held], earliest[~held])
        return int((last_left > first_held).sum())

    assert contradictions(within(codes(user, item), theirs)) == 0
    at_random = last_per_item(user.to_numpy(), item.to_numpy(), 5, seed=1)
    assert contradictions(at_random) > 30_000  # of 38,048: were the rule another one, this would show it


# Training sequences: the paper has 981,504; which rare movies are held out depends on the order of equal times.
# Filtered first, 598 ratings of 290 rare movies go: 1,000,209 - 598 - 3 * 6,040 = 981,491 whatever that order.
@pytest.mark.parametrize(("key", "sequences"), [("ml-1m", 981_498), ("ml-1m-filtered", 981_491)])
def test_dacsrs_ml_1m(tmp_path, key, sequences):
    stats, data = from_the_mirror(tmp_path, "dacsr", key)
    facts = json.loads((tmp_path / "canonical/ml-1m/canonical.json").read_text())["facts"]
    assert facts["movies_without_rating"] == 177
    assert stats["status"] == "recovered" and stats["train_sequences"] == sequences
    assert round(stats["avg_sequence_length"], 2) == 164.50
    distinct = {name: len(one.unique()) for name, one in data.user_features.items()}
    assert distinct == {"gender": 2, "age": 7, "occupation": 21, "zip": 3439}


# From the protocol of DecRS: 13,410 features, 13,408 where age and occupation share codes. The lists hold out the same
# whatever the file knows; the rule that they follow holds out less of a file that has lost clicks.
@pytest.mark.parametrize(("key", "users", "held_out", "fitted"), [
    ("ml-1m", 6035, 54_855, 419_909), ("ml-1m-own", 5942, 50_524, 428_385)])
def test_decrss_ml_1m(tmp_path, key, users, held_out, fitted):
    stats, data = from_the_mirror(tmp_path, "decrs", key)
    assert stats["status"] == "recovered" and (stats["users"], stats["items"]) == (users, 3883)
    assert (stats["train"], stats["valid"], stats["test"]) == (fitted, held_out, held_out)
    if key == "ml-1m":
        assert (stats["features"], stats["features_unprefixed"], stats["users_without_train"]) == (13_410, 13_408, 629)
        # A model has a row of each but the five users who are dropped, and the one zip code that only they have.
        columns = user_columns(data.interactions("train", "cpu"))
        assert int(columns.max()) + 1 + data.n_items + 18 == 13_404
        # What the captions of Table 4 and of Figures 4 and 5 say of users whom the recovered file left nothing.
        lost, eta = ~np.isin(np.arange(users), data.train[:, 0]), drift(data)
        assert np.isin(data.test[:, 0], np.flatnonzero(lost)).sum() == 5307
        assert [round(lost[eta > threshold].mean(), 2) for threshold in (0, 2, 3, 4)] == [0.09, 0.22, 0.36, 0.49]


# From the protocol of GenRec: who has an item twice, and whose test item came before.
@pytest.mark.parametrize(("key", "file", "repeats"), [
    ("beauty", "Beauty", (0, 0)), ("sports", "Sports_and_Outdoors", (0, 0)), ("yelp", "Yelp", (7102, 2027))])
def test_s3recs_files_become_the_same_sequences(tmp_path, key, file, repeats):
    stats, data = from_the_mirror(tmp_path, "genrec", key)
    assert stats["status"] == "official" and (stats["users_with_repeats"], stats["test_in_train"]) == repeats
    pairs = data.parts("train+valid+test")
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")] + 1
    assert lines(pairs[:, 0], pairs[:, 1]).rstrip() == (MIRROR / "s3rec" / f"{file}.txt").read_bytes().rstrip()
    attributes = json.loads((MIRROR / "s3rec" / f"{file}_item2attributes.json").read_text())
    assert data.features["attributes"].to_pylist() == [attributes[str(item + 1)] for item in range(data.n_items)]


def test_beauty_is_a_data_set_of_dacsr_too(tmp_path):
    config = make_config({"results": str(tmp_path / "results"), "resources": str(tmp_path), "mirror": str(MIRROR)})
    fetch.main(argparse.Namespace(source="s3rec-beauty"), config)
    canonicalise.main(argparse.Namespace(source="s3rec-beauty", reader="s3rec"), config)
    contents = {}
    for paper in ("genrec", "dacsr"):
        stage.main(argparse.Namespace(paper=paper, dataset="beauty"), config)
        contents[paper] = Prepared.load(tmp_path / "results" / paper / "beauty/data").content
    assert contents["genrec"] == contents["dacsr"]
