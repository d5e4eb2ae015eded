"""Providers as a feature, a second source that knows them, and the splits and merged rows that their papers use."""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reprise.config import make_config
from reprise.data.prepare import prepare
from reprise.data.prepared import Prepared
from reprise.data.readers import movie_directors, reader
from reprise.data.recipe import Recipe
from reprise.data.splits import leave_one_out
from reprise.errors import RepriseError
from reprise.papers import Dataset, data_code
from reprise.settings import checked
from reprise.stages import canonicalise, fetch
from reprise.stages import prepare as stage

MIRROR = Path(__file__).resolve().parents[2] / "shared/data/mirror"
# User 1 meets items 5 7 6, user 2 items 7 8 9: numbers 0 1 2 3 4 for 5 7 6 8 9.
ROWS = [(1, 5, 1), (1, 7, 2), (1, 6, 3), (2, 7, 1), (2, 8, 2), (2, 9, 3)]


def made(folder, items=None, known=None, rows=ROWS, **recipe):
    pd.DataFrame(rows, columns=["user", "item", "time"]).to_parquet(folder / "interactions.parquet", index=False)
    for name, table in (("items", items), ("known", known)):
        if table is not None:
            pd.DataFrame(table).to_parquet(folder / f"{name}.parquet", index=False)
    return prepare(folder / "interactions.parquet", Recipe(**{"split": "leave_one_out", "order": "time", **recipe}),
                   status="official", expect={}, where="toy", items=folder / "items.parquet" if items else None,
                   known=folder / "known.parquet" if known else None)


SHOPS = [70, 90, 70, 50, 70]  # of items 5 to 9: by number 5 7 6 8 9, so 70 70 90 50 70


@pytest.mark.parametrize("shops", [
    SHOPS, [f"shop {one}" for one in SHOPS], pd.Categorical([f"shop {one}" for one in SHOPS]),
    pd.array(SHOPS, "Int64"), [2**60 + one for one in SHOPS],
])
def test_providers_are_numbered_as_the_items_have_them(tmp_path, shops):
    data, facts = made(tmp_path, {"item": [5, 6, 7, 8, 9], "shop": shops}, provider="shop")
    assert data.features["provider"].to_pylist() == [0, 0, 1, 2, 0] and "shop" not in data.features
    assert data.statistics()["providers"] == 3 and facts["items_without_provider"] == 0
    assert data.interactions("train").features["provider"].single().tolist() == [0, 0, 1, 2, 0]
    data.save(tmp_path / "data")
    assert Prepared.load(tmp_path / "data").content == data.content


def test_only_providers_of_prepared_items_count(tmp_path):
    items = {"item": [1, 9, 8, 7, 6, 5], "shop": ["none here", *"edcba"], "size": [0, 1, 2, 3, 4, 5]}
    data, _ = made(tmp_path, items, provider="shop")
    assert data.features["provider"].to_pylist() == [0, 1, 2, 3, 4] and data.features["size"].to_pylist()[0] == 5
    data, _ = made(tmp_path, items, provider="shop", candidates="catalogue")
    assert data.features["provider"].to_pylist() == [0, 1, 2, 3, 4, 5], "what can be recommended has a provider, too"


def test_data_without_providers_keep_their_hash_and_statistics(tmp_path):
    items = {"item": [5, 6, 7, 8, 9], "shop": list("ababa")}
    without, facts = made(tmp_path, items)
    # As it was before there were providers.
    assert without.content == "6bd524356cb3f73efa2b67fb3805b43ccc66013bbcfb0fde27c94da961b05010"
    assert "providers" not in without.statistics() and "items_without_provider" not in facts
    assert made(tmp_path, items, provider="shop")[0].content != without.content


def test_an_item_without_a_provider_is_refused_or_has_its_own(tmp_path):
    items = {"item": [5, 6, 7, 8, 9], "shop": ["a", None, None, "a", None]}
    with pytest.raises(RepriseError, match="none for 3 of 5 items, e.g. item 7") as caught:
        made(tmp_path, items, provider="shop")
    assert "provider_missing: own" in caught.value.fix
    data, facts = made(tmp_path, items, provider="shop", provider_missing="own")
    assert data.features["provider"].to_pylist() == [0, 1, 2, 0, 3] and facts["items_without_provider"] == 3
    assert made(tmp_path, {"item": [5], "shop": [4]}, provider="shop", provider_missing="own")[1] == facts | {
        "items_without_provider": 4}, "an item without a row has none, either"


@pytest.mark.parametrize(("items", "provider", "said"), [
    ({"item": [5, 6, 7, 8, 9], "shop": list("ababa")}, "seller", "shop"),
    ({"item": [5, 6, 7, 8, 9], "shop": list("ababa")}, "item", "shop"),
    ({"item": [5, 6, 7, 8, 9]}, "shop", "no column at all"),
    (None, "shop", "no column at all"),
    ({"item": [5, 6, 7, 8, 9], "shop": [1.5] * 5}, "shop", "a whole number, a text or a category"),
    ({"item": [5, 6, 7, 8, 9], "shop": [[1]] * 5}, "shop", "a whole number, a text or a category"),
])
def test_a_column_that_cannot_say_it_is_named(tmp_path, items, provider, said):
    with pytest.raises(RepriseError, match=said):
        made(tmp_path, items, provider=provider)


def test_another_source_knows_of_some_items(tmp_path):
    own, known = {"item": [5, 6, 7, 8, 9], "size": [5, 6, 7, 8, 9]}, {"item": [9, 5, 3], "shop": ["a", "b", "c"]}
    data, facts = made(tmp_path, own, known, provider="shop", provider_missing="own")
    assert data.features["provider"].to_pylist() == [0, 1, 2, 3, 4] and facts["items_without_provider"] == 3
    assert data.features["size"].to_pylist() == [5, 7, 6, 8, 9]
    with pytest.raises(RepriseError, match="none for 3 of 5 items"):
        made(tmp_path, own, known, provider="shop")
    with pytest.raises(RepriseError, match="size"):
        made(tmp_path, own, known | {"size": [1, 2, 3]}, provider="shop")
    with pytest.raises(RepriseError, match="one catalogue"):
        made(tmp_path, own, {"item": ["5", "7"], "shop": ["a", "b"]}, provider="shop")


def test_both_sources_of_a_data_set_are_asked_for_and_count(tmp_path):
    entry = {"label": "Toy", "source": "ml-1m", "reader": "movielens_1m", "known": "hetrec-directors",
             "known_reader": "movie_directors", "split": "leave_one_out", "order": "time"}
    dataset = Dataset(**entry)
    assert dataset.readers == {"ml-1m": "movielens_1m", "hetrec-directors": "movie_directors"}
    assert data_code(dataset) != data_code(Dataset(**{key: entry[key] for key in entry if "known" not in key}))


def run_stage(folder, monkeypatch, dataset):
    """Prepare a data set that no paper has, from what lies in `folder`; return its stats."""
    paper = argparse.Namespace(dataset=lambda _: dataset)
    monkeypatch.setattr(stage, "load_paper", lambda _: paper)
    config = make_config({"results": str(folder / "results"), "resources": str(folder)})
    stage.main(argparse.Namespace(paper="toy", dataset="toy"), config)
    return json.loads((folder / "results/toy/toy/data/stats.json").read_text())


def test_the_stage_joins_both_sources_and_its_data_are_as_good_as_the_worse(tmp_path, monkeypatch):
    tables = {"own": {"interactions": pd.DataFrame(ROWS, columns=["user", "item", "time"]), "users": {"user": [1, 2]},
                      "items": {"item": [5, 6, 7, 8, 9]}}, "other": {"items": {"item": [5, 6], "shop": ["a", "a"]}}}
    for source, status in (("own", "official"), ("other", "rebuilt")):
        folder = tmp_path / "canonical" / source
        folder.mkdir(parents=True)
        (folder / "canonical.json").write_text(json.dumps({"status": status}))
        for name, table in tables[source].items():
            pd.DataFrame(table).to_parquet(folder / f"{name}.parquet", index=False)
    entry = {"label": "Toy", "source": "own", "reader": "movielens_1m", "known": "other", "split": "leave_one_out",
             "order": "time", "provider": "shop", "provider_missing": "own",
             "expect": {"providers": 4, "items_without_provider": 3}}
    assert run_stage(tmp_path, monkeypatch, Dataset(**entry))["status"] == "rebuilt"
    with pytest.raises(RepriseError, match="providers: expected 5, found 4"):
        run_stage(tmp_path, monkeypatch, Dataset(**entry | {"expect": {"providers": 5}}))


# Directors of movies

LINES = b"1\tjohn\tJohn L\r\n", b"7\td-orr\tDoris D\xf6rrie\r\n", b"3\tother_john\tJohn L\r\n"


HEADER = movie_directors.HEADER.encode() + b"\r\n"


def directors(folder, lines=LINES, header=HEADER):
    (folder / movie_directors.FILE).write_bytes(header + b"".join(lines))
    return folder


def test_directors_are_known_by_id_and_nobody_met_them(tmp_path):
    tables = reader("movie_directors")(directors(tmp_path))
    assert tables.items.to_numpy().tolist() == [
        [1, "john", "John L"], [7, "d-orr", "Doris Dörrie"], [3, "other_john", "John L"]]
    assert tables.facts == {"directors": 3} and len(tables.interactions) == 0


@pytest.mark.parametrize("line", [b"1\tother\tOther\r\n", b"8\t\tOther\n", b"8\tother\n", b"x\to\tO\n", b"\n",
                                  b"8\to\tO\t9\n"])
def test_a_fault_in_the_directors_is_named(tmp_path, line):
    with pytest.raises(RepriseError) as caught:
        movie_directors.read(directors(tmp_path, [*LINES, line]))
    assert caught.value.where == f"{tmp_path / movie_directors.FILE}, line 5"


def test_missing_empty_and_other_files_of_directors_are_named(tmp_path):
    with pytest.raises(RepriseError, match="no such file"):
        movie_directors.read(tmp_path)
    for lines, header, said in (([], b"", "an empty file"), (LINES, b"movieID,directorID\n", "edition"),
                                ([], HEADER, "no line after the first")):
        with pytest.raises(RepriseError, match=said):
            movie_directors.read(directors(tmp_path, lines, header))


@pytest.mark.skipif(not (MIRROR / "MANIFEST.csv").exists(), reason="no mirror of the released data here")
def test_movielens_with_directors_through_every_stage(tmp_path, monkeypatch):
    """Of 3,883 films 3,645 have one of 1,885 directors; of the 3,706 with a rating 3,565 have one of 1,835."""
    config = make_config({"resources": str(tmp_path), "mirror": str(MIRROR), "licences": ["movielens"]})
    films = {"label": "ML-1M", "split": "leave_one_out", "order": "time", "provider": "director",
             "provider_missing": "own", "valid_from": 4, "source": "ml-1m", "reader": "movielens_1m",
             "known": "hetrec-directors", "known_reader": "movie_directors",
             "expect": {"users": 6040, "items": 3706, "interactions": 1000209, "test": 6040, "valid": 6040,
                        "train_sequences": 1000209 - 3 * 6040, "items_without_provider": 3706 - 3565,
                        "providers": 1835 + 3706 - 3565}}
    whole = Dataset(**films | {"candidates": "catalogue", "expect": {
        "items": 3883, "items_without_provider": 3883 - 3645, "providers": 1885 + 3883 - 3645, "valid": 6040}})
    rated = Dataset(**films)
    for source, form in rated.readers.items():
        fetch.main(argparse.Namespace(source=source), config)
        canonicalise.main(argparse.Namespace(source=source, reader=form), config)
    run_stage(tmp_path, monkeypatch, whole)
    stats = run_stage(tmp_path, monkeypatch, rated)
    assert stats["status"] == "recovered" and stats["cold_items"] > 0


# Parts

def by_samples(user, valid_from):
    """Parts by the samples that a user's rows make: one for each row but the first, with all before it as history."""
    parts = []
    for one in dict.fromkeys(user.tolist()):
        rows = [index for index, owner in enumerate(user) if owner == one]
        samples = [(rows[:end], rows[end]) for end in range(1, len(rows))]
        part = dict.fromkeys(rows, 0)
        if len(rows) >= 3:
            part[samples[-1][1]] = 2
        if len(rows) >= valid_from:
            part[samples[-2][1]] = 1
        parts += [part[row] for row in rows]
    return parts


@pytest.mark.parametrize("valid_from", [3, 4, 6])
@pytest.mark.parametrize("seed", range(5))
def test_parts_agree_with_samples_one_by_one(valid_from, seed):
    user = np.repeat(np.random.default_rng(seed).permutation(40), np.random.default_rng(seed).integers(1, 9, 40))
    assert leave_one_out(user, valid_from).tolist() == by_samples(user, valid_from)
    assert (leave_one_out(user) == leave_one_out(user, 3)).all()


def test_whoever_has_three_rows_learns_from_two_where_validation_starts_at_four(tmp_path):
    rows = [(n, item, item) for n in range(1, 6) for item in range(n)]  # user n has items 0 to n - 1
    data, _ = made(tmp_path, rows=rows, valid_from=4)
    of = {part: [(user + 1, item) for user, item in data.parts(part).tolist()] for part in ("train", "valid", "test")}
    assert of["test"] == [(3, 2), (4, 3), (5, 4)] and of["valid"] == [(4, 2), (5, 3)]
    assert of["train"] == [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (4, 0), (4, 1), (5, 0), (5, 1), (5, 2)]
    # Next items to learn from: 0 1 1 1 2, as the protocol's table has them, and 10 in all with the held-out ones.
    assert data.statistics()["train_sequences"] == 5 and 5 + 2 + 3 == len(rows) - 5
    assert len(made(tmp_path, rows=rows)[0].valid) == 3, "by default a user with three rows gives to validation"


# Merged rows and equal times

# User 1 buys 7 on days 5 and 2, 8 on day 5 between the two, 9 on day 3; in the file 7 comes first.
BOUGHT = [(1, 7, 5), (1, 8, 5), (1, 7, 2), (1, 9, 3), (2, 9, 1)]


@pytest.mark.parametrize(("merged_time", "walk"), [
    ("last", [7, 9, 8]),     # 7 on day 2
    ("latest", [9, 7, 8]),   # 7 on day 5, like 8, and before it in the file, where 7 first stands
    ("first", [9, 7, 8]),    # day 5
    (None, [7, 9, 8]),       # the last row alone
])
def test_merged_rows_by_hand(tmp_path, merged_time, walk):
    data, facts = made(tmp_path, rows=BOUGHT, repeats="merged", merged_time=merged_time, valid_from=4)
    numbers = {item: number for number, item in enumerate(walk)}
    assert data.parts("train+valid+test").tolist() == [
        *([0, numbers[item]] for item in walk[:2]), [1, numbers[9]], [0, numbers[walk[2]]]]
    assert facts["users_with_repeats"] == 0


@pytest.mark.parametrize("merged_time", ["last", "latest", "first"])
def test_merged_rows_agree_with_a_dictionary_filled_line_by_line(tmp_path, merged_time):
    rng = np.random.default_rng(3)
    rows = list(zip(rng.integers(0, 20, 900).tolist(), rng.integers(0, 12, 900).tolist(),
                    rng.integers(0, 4, 900).tolist(), strict=True))
    times = {}
    for user, item, time in rows:
        old = times.setdefault((user, item), time)
        times[user, item] = {"last": time, "latest": max(old, time), "first": old}[merged_time]
    walks = defaultdict(list)
    for (user, item), _ in sorted(times.items(), key=lambda one: one[1]):  # stable: ties as they were put in
        walks[user].append(item)
    numbers, users = {}, list(dict.fromkeys(user for user, _, _ in rows))
    walks = [[numbers.setdefault(item, len(numbers)) for item in walks[user]] for user in users]
    data, _ = made(tmp_path, rows=rows, repeats="merged", merged_time=merged_time)
    pairs = data.parts("train+valid+test")
    assert [pairs[pairs[:, 0] == user, 1].tolist() for user in range(len(users))] == walks


def test_equal_times_stand_as_in_the_file_or_in_a_seeded_order(tmp_path):
    rows = [(1, item, 1 + (item > 3)) for item in range(8)]

    def walk(**recipe):
        data, _ = made(tmp_path, {"item": range(8), "own": range(8)}, rows=rows, **recipe)
        return [data.features["own"][item].as_py() for item in data.parts("train+valid+test")[:, 1].tolist()]

    assert walk() == walk(ties="file") == list(range(8))
    drawn = [walk(ties="random", tie_seed=seed) for seed in range(30)]
    assert walk(ties="random", tie_seed=7) == drawn[7] and len(set(map(tuple, drawn))) > 20
    assert all(sorted(one[:4]) == [0, 1, 2, 3] and sorted(one[4:]) == [4, 5, 6, 7] for one in drawn)
    # Each of 4 to 7 is last with a chance of a quarter: 30 draws miss one of them in less than one case of a thousand.
    assert {one[-1] for one in drawn} == {4, 5, 6, 7}


@pytest.mark.parametrize(("recipe", "said"), [
    ({"merged_time": "last"}, "repeats: merged"), ({"merged_time": "last", "repeats": "kept"}, "repeats: merged"),
    ({"merged_time": "last", "repeats": "merged", "order": "position"}, "in order of time"),
    ({"provider_missing": "own"}, "provider_missing needs provider"), ({"tie_seed": 1}, "tie_seed needs"),
    ({"valid_from": 2}, "greater than or equal to 3"), ({"ties": "item"}, "file"),
    ({"split": "user_tenths", "valid_from": 4}, "does not read valid_from"),
    ({"split": "released", "order": None, "provider": "shop"}, "does not read provider"),
])
def test_a_recipe_that_cannot_be_is_refused(recipe, said):
    values = {"split": "leave_one_out", "order": "time"} | recipe
    with pytest.raises(RepriseError, match=said):
        checked(Recipe, {key: value for key, value in values.items() if value is not None}, "toy")
