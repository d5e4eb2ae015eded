"""P5's families beside the sequential one: reviews from raw file to texts, and the test pairs that they tell."""

import argparse
import csv
import gzip
import json
import re
import types
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from reprise.config import make_config
from reprise.data.prepared import Prepared
from reprise.data.recipe import Recipe
from reprise.data.reviews import Reviews, random_parts
from reprise.errors import RepriseError
from reprise.methods.prompted import Options
from reprise.models.generative.pieces import MadePieces
from reprise.models.generative.prompts import DIRECT, RATING, SEQUENTIAL, load_prompts
from reprise.papers import Dataset, Run, load_paper, variant_of
from reprise.settings import checked
from reprise.stages import canonicalise, check, collect, fetch, prepare
from reprise.stages import run as run_stage
from reprise.training.build import build

SAMPLES = Path(__file__).resolve().parents[2] / "shared/data/samples"
THREE = "sequential+rating+direct"
MODEL = {"name": "p5", "size": "tiny", "weights": "random", "ids": "shuffled", "max_tokens": 512}
METHOD = {"name": "prompted", "families": THREE, "prompt": "2-13", "whole_words_at_test": False, "candidates": 5,
          "beams": 4, "kept": 4, "longest": 6, "constrained": True, "early_stopping": False, "duplicates": "first",
          "ranks": "kept"}
RECIPE = {"split": "leave_one_out", "order": "time"}


def toy_reviews(users=60, items=40, seed=0):
    """Rows of a raw file, one a review and in no order of users: who, what, when, how many stars."""
    rng = np.random.default_rng(seed)
    pairs = [(user, item) for user in range(users) for item in rng.choice(items, rng.integers(5, 11), replace=False)]
    return [{"reviewerID": f"A{user}", "asin": f"00{item}", "unixReviewTime": int(rng.integers(1, 30)) * 86400,
             "overall": float(rng.integers(1, 6)), "summary": "as expected", "reviewText": "it's {fine}"}
            for user, item in rng.permutation(pairs)]


def write_reviews(raw, rows):
    raw.mkdir(parents=True, exist_ok=True)
    (raw / "source.json").write_text('{"status": "official"}')
    (raw / "reviews_Toy_5.json.gz").write_bytes(gzip.compress("".join(f"{json.dumps(row)}\n" for row in rows).encode()))


def prepared(folder, reader="amazon_reviews", **recipe):
    """Canonicalise `folder/raw/toy` and prepare it: the folder of the data."""
    config = make_config({"results": str(folder / "results"), "resources": str(folder)})
    canonicalise.main(argparse.Namespace(source="toy", reader=reader), config)
    dataset = Dataset(label="Toy", source="toy", reader=reader, **{**RECIPE, **recipe})
    args = argparse.Namespace(paper="p", dataset="toy")
    with pytest.MonkeyPatch.context() as patch:
        for stage in (prepare, check):
            patch.setattr(stage, "load_paper", lambda _: types.SimpleNamespace(dataset=lambda _: dataset))
        prepare.main(args, config)
        check.main(args, config)
    return folder / "results/p/toy/data"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A toy source prepared with and without its reviews: both folders."""
    folders = [tmp_path_factory.mktemp(name) for name in ("with", "without")]
    for folder in folders:
        write_reviews(folder / "raw/toy", toy_reviews())
    return prepared(folders[0], review_seed=2022), prepared(folders[1])


@pytest.fixture(scope="module")
def data(made):
    return Prepared.load(made[0])


def held_out(data):
    """Sets of (user, item), by part."""
    return {part: set(map(tuple, getattr(data, part).tolist())) for part in ("valid", "test")}


def told(folder):
    """Pairs that the reviews of the training part tell, in plain Python."""
    users = pq.read_table(folder / "users.parquet").to_pylist()
    return {(row["user"], item) for row in users
            for item, part in zip(row["reviewed"], row["review_part"], strict=True) if part == 0}


# From the raw file to prepared data


def test_reviews_are_three_columns_of_the_users_and_nothing_else_changes(made):
    with_them, without = made
    for part in ("train", "valid", "test", "items"):
        assert (with_them / f"{part}.parquet").read_bytes() == (without / f"{part}.parquet").read_bytes()
    both = [pq.read_table(folder / "users.parquet") for folder in made]
    assert both[0].column_names == ["user", "reviewed", "stars", "review_part"]
    assert both[0].select(["user"]).equals(both[1])
    stats = [json.loads((folder / "stats.json").read_text()) for folder in made]
    own = {"content", "reviews", "reviews_train", "valid_in_reviews", "test_in_reviews"}
    assert stats[0].keys() - stats[1].keys() == own - {"content"}
    assert {name for name in stats[1] if stats[0][name] != stats[1][name]} == {"content"}


def test_the_small_world_keeps_the_content_that_it_had_before_there_were_reviews(tmp_path):
    """Runs of record name it."""
    config = make_config({"results": str(tmp_path / "results"), "resources": str(tmp_path)})
    dataset = load_paper("macr").dataset("small-world")
    fetch.main(argparse.Namespace(source=dataset.source), config)
    canonicalise.main(argparse.Namespace(source=dataset.source, reader=dataset.reader), config)
    prepare.main(argparse.Namespace(paper="macr", dataset="small-world"), config)
    assert Prepared.load(tmp_path / "results/macr/small-world/data").content == SMALL_WORLD


SMALL_WORLD = "701efe069e5867950b462e83a2885ebcb6a7314c6c8cf31a3bf728f838537862"


def test_every_pair_has_the_stars_of_the_file(made, data):
    of_pair = {(row["reviewerID"], row["asin"]): row["overall"] for row in toy_reviews()}
    rows = pd.DataFrame(toy_reviews())
    names = pd.unique(rows["reviewerID"])
    walked = rows.iloc[np.lexsort([rows["unixReviewTime"], rows["reviewerID"].map(list(names).index)])]
    items = pd.unique(walked["asin"])
    users = pq.read_table(made[0] / "users.parquet").to_pylist()
    found = {(names[row["user"]], items[item]): stars for row in users
             for item, stars in zip(row["reviewed"], row["stars"], strict=True)}
    assert found == of_pair
    everything = data.parts("train+valid+test")
    for row in users:  # in order of time, so that the last is the test item
        assert row["reviewed"] == everything[everything[:, 0] == row["user"], 1].tolist()


def test_the_split_is_seeded_and_as_large_as_it_says():
    rng = np.random.default_rng(1)
    user, item = np.repeat(np.arange(50), 10), rng.integers(0, 60, 500)
    part = random_parts(user, item, 5)
    assert np.bincount(part).tolist() == [400, 50, 50]
    assert np.array_equal(part, random_parts(user, item, 5)) and (part != random_parts(user, item, 6)).mean() > 0.2
    assert set(user[part == 0]) == set(user) and set(item[part == 0]) == set(item)
    alone = random_parts(np.arange(10), np.arange(10), 0)  # no room for one of every user
    assert np.bincount(alone).tolist() == [8, 1, 1] and len(random_parts(user[:0], item[:0], 0)) == 0


def test_what_is_no_star_is_named(tmp_path):
    rows = toy_reviews(6)
    rows[3]["overall"] = 2.5
    write_reviews(tmp_path / "raw/toy", rows)
    with pytest.raises(RepriseError, match=r"(?s)review_seed.*1 others, e\.g\. 2\.5"):
        prepared(tmp_path, review_seed=1)
    prepared(tmp_path)
    with pytest.raises(RepriseError, match="does not read review_seed"):
        checked(Recipe, {"split": "paper", "review_seed": 1}, "here")


# Counted and removed


def test_leaked_pairs_are_those_that_a_loop_counts(made, data):
    pairs, parts = told(made[0]), held_out(data)
    wanted = {part: (len(some & pairs), len(some)) for part, some in parts.items()}
    reviews = Reviews.of(data.interactions("train"))
    assert reviews.leaked(reviews.trained()) == wanted and 0.6 < wanted["test"][0] / wanted["test"][1] < 0.95
    assert reviews.leaked(reviews.trained(removed=True)) == {part: (0, len(some)) for part, some in parts.items()}
    assert reviews.trained(True).sum() == len(pairs - parts["valid"] - parts["test"])
    stats = json.loads((made[0] / "stats.json").read_text())
    assert (stats["test_in_reviews"], stats["valid_in_reviews"]) == (wanted["test"][0], wanted["valid"][0])
    assert (stats["reviews"], stats["reviews_train"]) == (len(toy_reviews()), round(0.8 * len(toy_reviews())))
    refitted = Reviews.of(data.interactions("train+valid"))  # validation is no secret any more
    assert refitted.leaked(refitted.trained()) == {"test": wanted["test"], "valid": (0, 0)}


# The texts


def method_of(data, seed=1, **changes):
    return build({"model": MODEL, "method": {**METHOD, **changes}}, data.interactions("train"), seed, "search")


def written(method, data, epochs=3):
    """(prompt's number, words of the question, word of the answer) of some epochs; and the items by the words for them.
    """
    numbers = data.features["shuffled"].to_numpy()
    item = {str(number): place for place, number in enumerate(numbers)}
    spelt = [*map(str, numbers), *(f"user_{user + 1}" for user in range(data.n_users))]
    texts = ["", " </s>", "", "", *MadePieces([*spelt, *method.model.words._plain]).texts[4:]]
    rng, found = np.random.default_rng(0), []
    torch.manual_seed(0)
    for _ in range(epochs):
        samples = method.samples(rng)
        for number in np.unique(samples[3]):
            some = torch.from_numpy(samples[:, samples[3] == number])
            batch = method.texts(some)
            for question, answer in zip(batch.questions.tokens.tolist(), batch.targets.tolist(), strict=True):
                words = ["".join(texts[token] for token in row).split(" </s>")[0].split() for row in (question, answer)]
                found.append((method.names[number], words[0], *words[1]))
    return found, item


def mentioned(name, words, prompts):
    """User and item of a question of the rating family, and the stars that it names."""
    found = dict(zip(prompts[name].words, words, strict=True))  # every slot is one word
    return int(found["{user}"][5:]) - 1, found["{item}"], found.get("{stars}")


@pytest.fixture(scope="module")
def questions(data):
    """What is asked with and without the leaked pairs."""
    return {leaked: written(method_of(data, leaked=leaked), data) for leaked in ("kept", "removed")}


def test_rating_questions_tell_the_leaked_pairs_until_they_are_removed(made, data, questions):
    prompts, hidden = load_prompts(), set.union(*held_out(data).values())
    for leaked, (asked, item) in questions.items():
        pairs = set()
        for name, words, _ in asked:
            if prompts[name].family == RATING:
                user, number, _ = mentioned(name, words, prompts)
                pairs.add((user, item[number]))
        assert pairs == (told(made[0]) if leaked == "kept" else told(made[0]) - hidden)
        assert bool(pairs & hidden) == (leaked == "kept")


def test_no_other_family_says_that_a_held_out_item_was_met(data, questions):
    """As a wrong item it may come up by chance: to leave it out of the wrong ones would tell which it is."""
    prompts, hidden = load_prompts(), set.union(*held_out(data).values())
    asked, item = questions["removed"]
    for name, words, answer in asked:
        prompt, user = prompts[name], next(int(word[5:]) - 1 for word in words if word.startswith("user_"))
        met = [item[word] for word in words if word in item]
        if prompt.family != RATING and prompt.asks == "yes_no":
            shown = met[-1] if name != "2-12" else met[0]
            assert answer == "no" or (user, shown) not in hidden
            met.remove(shown)
        elif prompt.family != RATING and prompt.asks == "candidates":
            assert (user, item[answer]) not in hidden
            met = [] if prompt.family == DIRECT else met[5:] if name in ("2-8", "2-9") else met[:-5]
        elif prompt.family != RATING:
            assert (user, item[answer]) not in hidden
        if prompt.family == SEQUENTIAL:
            assert not {(user, one) for one in met} & hidden


def test_answers_about_reviews_are_right(made, data, questions):
    prompts, seen = load_prompts(), Counter()
    users = pq.read_table(made[0] / "users.parquet").to_pylist()
    stars = {(row["user"], item): star for row in users
             for item, star in zip(row["reviewed"], row["stars"], strict=True)}
    asked, item = questions["kept"]
    for name, words, answer in asked:
        if prompts[name].family != RATING:
            continue
        user, number, named = mentioned(name, words, prompts)
        star = stars[user, item[number]]
        if prompts[name].asks == "stars":
            assert answer == str(star)
        elif prompts[name].asks == "like":
            assert answer == ("like" if star >= 4 else "dislike")
        else:
            assert answer == ("yes" if named == str(star) else "no") and named in "12345"
            seen[answer] += 1
        seen[name] += 1
    assert {name for name in seen if "-" in name} == {f"1-{number}" for number in range(1, 10)}, "never 1-10"
    assert abs(seen["yes"] / (seen["yes"] + seen["no"]) - 0.5) < 0.12


def test_direct_questions_are_about_training_items_without_a_history(data, questions):
    prompts, seen, reached = load_prompts(), Counter(), set()
    train = set(map(tuple, data.train.tolist()))
    asked, item = questions["kept"]
    for name, words, answer in asked:
        if prompts[name].family != DIRECT:
            continue
        user, seen[name] = next(int(word[5:]) - 1 for word in words if word.startswith("user_")), seen[name] + 1
        shown = [item[word] for word in words if word in item]
        if prompts[name].asks == "candidates":
            assert len(shown) == 5 and item[answer] in shown
            assert [one for one in shown if (user, one) in train] == [item[answer]]
        else:
            assert len(shown) == 1 and (answer == "yes") == ((user, shown[0]) in train)
            seen[answer] += 1
        reached |= {(user, one) for one in shown if (user, one) in train}
    names = {name: count for name, count in seen.items() if "-" in name}
    assert names.keys() == {f"5-{number}" for number in range(1, 8)}, "never 5-8"
    assert sum(names.values()) == 3 * 15 * data.n_users and min(names.values()) > 0.8 * max(names.values())
    assert abs(seen["yes"] / (seen["yes"] + seen["no"]) - 0.5) < 0.1
    assert len(reached) > 0.9 * len(train), "any training item, not the last ones"


def test_an_epoch_asks_once_a_review_and_batches_know_how_long_texts_are(data):
    method = method_of(data, candidates=20)
    samples = method.samples(np.random.default_rng(0))
    families = np.array([method.model.prompts[name].family for name in method.names])[samples[3]]
    assert Counter(families) == {SEQUENTIAL: 20 * data.n_users, DIRECT: 15 * data.n_users,
                                 RATING: round(0.8 * len(toy_reviews()))}
    assert not np.array_equal(samples, method.samples(np.random.default_rng(1)))
    lengths = np.concatenate([method.texts(torch.from_numpy(samples[:, place : place + 1])).questions.lengths.numpy()
                              for place in range(0, samples.shape[1], 50)])
    assert np.abs(method.sizes(samples)[::50] - lengths).max() <= 8


# One family alone


def test_one_family_asks_the_same_whatever_else_could_be_asked(made, data):
    """With reviews at hand, or others asked beside it, its questions are the same, in the same words."""
    def asked(folder):
        loaded = Prepared.load(folder)
        method = method_of(loaded, families="sequential")
        samples = method.samples(np.random.default_rng(7))
        return method, samples, written(method, loaded, 1)

    (method, without, texts), (_, beside, others) = asked(made[1]), asked(made[0])
    assert np.array_equal(without, beside) and texts == others
    three = method_of(data).samples(np.random.default_rng(7))
    assert np.array_equal(three[:3, : without.shape[1]], without[:3]), "the others come behind"
    counts = np.bincount(without[3], minlength=12) / without.shape[1]
    assert len(method.names) == len(counts) == 12, "2-13 is never trained on"
    # Each of 20 questions a user draws one of twelve prompts: 4 standard deviations of so many draws.
    assert np.abs(counts - 1 / 12).max() < 4 * (1 / 12 / without.shape[1]) ** 0.5


# Errors


def test_data_without_reviews_and_families_that_are_not_built_are_named(made):
    with pytest.raises(RepriseError) as caught:
        method_of(Prepared.load(made[1]))
    assert caught.value.kind == "data" and "stars" in caught.value.expected and "review_seed" in caught.value.fix
    assert "families: sequential" in caught.value.fix and "who met whom" in caught.value.found
    for families in ("all", "sequential+review"):
        with pytest.raises(RepriseError, match=re.escape(THREE)):
            checked(Options, {key: value for key, value in METHOD.items() if key != "name"} | {"families": families},
                    "method")


# End to end


def test_a_tiny_p5_trains_on_three_families_and_says_how_many_test_pairs_they_told(tmp_path, monkeypatch):
    paper, source = load_paper("genrec"), "amazon-beauty-2014"
    rows = [f"P5_tiny[families={THREE}]", f"P5_tiny[families={THREE};leaked=removed]", "P5_tiny"]
    monkeypatch.setitem(paper.datasets, "beauty-raw", paper.dataset("beauty-raw").model_copy(update={"expect": {}}))
    table = paper.tables["families"].model_copy(update={"datasets": ("beauty-raw",), "methods": tuple(rows)})
    monkeypatch.setitem(paper.tables, "families", table)
    config = make_config({"results": str(tmp_path / "results"), "resources": str(tmp_path), "datasets": "beauty-raw",
                          "readings": "sound", "seeds": [1], "max_epochs": 1, "device": "cpu", "methods": "P5_tiny"})
    write_reviews(tmp_path / "raw" / source, toy_reviews(40, 20))
    canonicalise.main(argparse.Namespace(source=source, reader="amazon_reviews"), config)
    for stage in (prepare, check):
        stage.main(argparse.Namespace(paper="genrec", dataset="beauty-raw"), config)
    stats = json.loads((tmp_path / "results/genrec/beauty-raw/data/stats.json").read_text())
    for row in rows:
        run = Run("genrec", "beauty-raw", "sound", "", *variant_of(paper, row, "beauty-raw", "sound"), 1)
        reading = "sound" if run.variant == "main" else f"sound-{run.variant}"
        run_stage.main(argparse.Namespace(paper="genrec", dataset="beauty-raw", method="P5_tiny", reading=reading,
                                          seed=1), config)
    collect.main(argparse.Namespace(paper="genrec"), config)
    found = pd.read_csv(tmp_path / "results/genrec/metrics.csv")
    found = found[found["metric"].str.startswith("leaked")].set_index(["variant", "metric"])["value"]
    kept, removed = f"families={THREE}", f"families={THREE}~leaked=removed"
    assert set(found.index.get_level_values(0)) == {kept, removed}, "one family tells nothing but training pairs"
    for part in ("test", "valid"):
        assert found[kept, f"leaked_{part}_pairs"] == stats[f"{part}_in_reviews"] > 0
        assert found[kept, f"leaked_{part}"] == pytest.approx(stats[f"{part}_in_reviews"] / stats[part])
        assert found[removed, f"leaked_{part}_pairs"] == found[removed, f"leaked_{part}"] == 0


# Real rows


@pytest.mark.skipif(not (SAMPLES / "amazon_raw_sample").exists(), reason="no samples of raw files here")
def test_real_ratings_of_amazon_come_through_with_their_stars(tmp_path):
    """The sample is a list of ratings; here they are written as the lines of reviews that they come from."""
    with open(SAMPLES / "amazon_raw_sample/ratings_Beauty_sample_reheadered.csv", newline="") as file:
        rows = [{"reviewerID": row["UserId"], "asin": row["ProductId"], "overall": float(row["Rating"]),
                 "unixReviewTime": int(row["Timestamp"])} for row in csv.DictReader(file)]
    write_reviews(tmp_path / "raw/toy", rows)
    folder = prepared(tmp_path, review_seed=2022)
    users = pq.read_table(folder / "users.parquet").to_pylist()
    assert Counter(star for row in users for star in row["stars"]) == Counter(row["overall"] for row in rows)
    assert len(told(folder)) == round(0.8 * len(rows))
    by_user = Counter(row["reviewerID"] for row in rows)
    assert len(Prepared.load(folder).test) == sum(count >= 3 for count in by_user.values())


@pytest.mark.skipif(not (SAMPLES / "yelp_raw_sample").exists(), reason="no samples of raw files here")
def test_real_reviews_of_yelp_with_repeats_are_counted_as_a_loop_counts(tmp_path):
    lines = (SAMPLES / "yelp_raw_sample/yelp_academic_dataset_review.json").read_bytes()
    raw = tmp_path / "raw/toy"
    raw.mkdir(parents=True)
    (raw / "source.json").write_text('{"status": "official"}')
    (raw / "yelp_academic_dataset_review.json").write_bytes(lines[: lines.rindex(b"\n") + 1])
    folder = prepared(tmp_path, "yelp_reviews", review_seed=2022, repeats="kept")
    data = Prepared.load(folder)
    reviews, pairs = Reviews.of(data.interactions("train")), told(folder)
    for part, rows in (("valid", data.valid), ("test", data.test)):
        wanted = sum(tuple(pair) in pairs for pair in rows.tolist()), len(rows)
        assert reviews.leaked(reviews.trained())[part] == wanted
        assert reviews.leaked(reviews.trained(True))[part] == (0, len(rows))
