"""What a recipe keeps, what can be recommended, and what is known of users: by hand, and against plain loops."""

from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from reprise.data.interactions import Interactions
from reprise.data.prepare import leaks, prepare
from reprise.data.prepared import Prepared
from reprise.data.recipe import Recipe
from reprise.errors import RepriseError
from reprise.settings import checked

# User a: w x y z, user b: x w x v, user c: y y, in order of time; item u has no row.
ROWS = [("a", "w"), ("a", "x"), ("b", "x"), ("c", "y"), ("a", "y"), ("b", "w"), ("a", "z"), ("b", "x"), ("b", "v"),
        ("c", "y")]


@pytest.fixture
def tables(tmp_path):
    return canonical(tmp_path, ROWS)


def canonical(folder, rows):
    """Canonical tables of some rows; their order is that of time."""
    frame = pd.DataFrame(rows, columns=["user", "item"])
    frame.assign(time=range(len(rows))).to_parquet(folder / "interactions.parquet", index=False)
    about = {"z": [3], "y": [], "x": [1, 2], "w": [2], "v": [1], "u": [5]}
    items = pd.DataFrame({"item": list(about), "title": "a title", "kinds": list(about.values())})
    items.to_parquet(folder / "items.parquet", index=False)
    users = pd.DataFrame({"user": ["c", "b", "a"], "town": ["Rome", "Bern", "Rome"], "age": [1, 18, 25], "name": "?"})
    users.astype({"town": "category"}).to_parquet(folder / "users.parquet", index=False)
    return folder


def made(folder, expect=None, **recipe):
    recipe = Recipe(**{"split": "leave_one_out", "order": "time", "repeats": "kept", **recipe})
    data, facts = prepare(folder / "interactions.parquet", recipe, status="official", expect=expect or {}, where="toy",
                          items=folder / "items.parquet", users=folder / "users.parquet")
    assert leaks(data, recipe) == []
    return data, facts


def histories(data, part):
    pairs = getattr(data, part)
    return [pairs[pairs[:, 0] == user, 1].tolist() for user in range(data.n_users)]


def test_items_without_a_row_may_be_candidates(tables):
    # Numbers by first appearance: w 0, x 1, y 2, z 3, v 4; then those of the source's table that nobody met: u 5.
    data, facts = made(tables, {"items": 6, "unmet_items": 1}, candidates="catalogue")
    assert histories(data, "train") == [[0, 1], [1, 0], [2, 2]]
    assert data.features["kinds"].to_pylist() == [[2], [1, 2], [], [3], [1], [5]]
    assert sorted(data.features["shuffled"].to_pylist()) == [1, 2, 3, 4, 5, 6]
    assert (made(tables)[0].n_items, facts["unmet_items"]) == (5, 1)
    assert "1 item ids between 0 and 5 never occur" in leaks(data, Recipe(split="released"))


def test_candidates_are_those_left_those_met_or_all(tables):
    # Rows of an item: w 2, x 3, y 3, z 1, v 1.
    for candidates, items in (("kept", 3), ("met", 5), ("catalogue", 6)):
        data, facts = made(tables, core=2, core_rule="items", candidates=candidates)
        assert (data.n_items, facts["unmet_items"]) == (items, items - 3)
        # Without z and v: a has w x y, b has x w x, and c is too short to be tested.
        assert histories(data, "train") == [[0], [1], [2, 2]]
        assert histories(data, "valid") == [[1], [0], []] and histories(data, "test") == [[2], [1], []]


def test_held_out_first_then_rare_items_leave_training_alone(tables):
    # a holds out y z, b holds out x v. With 3, w leaves the training of both, though b has it as its second item.
    data, _ = made(tables, core=3, core_rule="train_items")
    # Numbers: a keeps x y z, b keeps x x v, c keeps y y.
    assert histories(data, "train") == [[0], [0], [1, 1]]
    assert histories(data, "valid") == [[1], [0], []] and histories(data, "test") == [[2], [3], []]


def test_a_user_keeps_its_held_out_rows_when_training_is_emptied(tmp_path):
    # a's p and q are rare: what is left of a are the two rows that were held out.
    data, _ = made(canonical(tmp_path, [("a", "w"), ("a", "v"), ("a", "y"), ("a", "z"), ("b", "y"), ("b", "y"),
                                        ("b", "y"), ("b", "y")]), core=2, core_rule="train_items")
    assert histories(data, "train") == [[], [0, 0]]
    assert histories(data, "valid") == [[0], [0]] and histories(data, "test") == [[1], [0]]


def test_once_counts_before_it_drops(tmp_path):
    # v is rare, and without v user b has one row left; the repeated rule drops b, and then item x, and then all.
    rows = [("a", "w"), ("a", "x"), ("b", "v"), ("b", "x"), ("a", "w")]
    data, _ = made(canonical(tmp_path, rows), core=2, core_rule="once")
    assert (data.n_users, data.n_items) == (2, 2) and histories(data, "test") == [[0], []]
    data, _ = made(canonical(tmp_path, rows), core=2)
    assert (data.n_users, data.n_items) == (1, 1) and histories(data, "train") == [[0, 0]]


@pytest.mark.parametrize("rule", ["once", "items", "train_items"])
def test_the_rules_agree_with_plain_loops(tmp_path, rule):
    rng = np.random.default_rng(1)
    rows = [(f"u{user}", "zyxwvu"[min(item, 6) - 1]) for user, item in zip(rng.integers(0, 12, 60), rng.zipf(1.6, 60),
                                                                           strict=True)]
    frame = pd.DataFrame(rows, columns=["user", "item"])
    frame.assign(time=range(60)).to_parquet(tmp_path / "interactions.parquet", index=False)
    for k in (2, 4, 6):
        users, items = (Counter(column) for column in zip(*rows, strict=True))
        lists = {}
        for user, item in rows:
            lists.setdefault(user, []).append(item)
        expected = {}
        for user, walk in lists.items():
            held = 2 if rule == "train_items" and len(walk) >= 3 else 0
            body = [item for item in walk[: len(walk) - held] if items[item] >= k]
            left = body + walk[len(walk) - held :]
            if rule == "once" and users[user] < k:
                left = []
            if not held and len(left) >= 3 and rule != "train_items":
                body, held = left[:-2], 2
            if left:
                expected[user] = (body if held else left, left[-2:] if held else [])
        recipe = Recipe(split="leave_one_out", order="time", repeats="kept", core=k, core_rule=rule)
        data, _ = prepare(tmp_path / "interactions.parquet", recipe, status="official", expect={}, where="toy")
        numbers = {}
        walks = [([numbers.setdefault(item, len(numbers)) for item in body],
                  [numbers.setdefault(item, len(numbers)) for item in held]) for body, held in expected.values()]
        assert histories(data, "train") == [body for body, _ in walks]
        assert [v + t for v, t in zip(histories(data, "valid"), histories(data, "test"), strict=True)] == [
            held for _, held in walks]


def test_one_column_says_what_items_are_about(tables):
    data, _ = made(tables, {"attributes": 3}, attributes="kinds")  # 1, 2 and 3; nobody met the item that has 5
    assert data.features["attributes"].to_pylist() == [[2], [1, 2], [], [3], [1]] and "kinds" not in data.features
    assert made(tables, {"attributes": 4}, attributes="kinds", candidates="catalogue")[0].n_items == 6
    with pytest.raises(RepriseError, match="attributes") as caught:
        made(tables, attributes="title")
    assert (caught.value.expected, caught.value.found) == ("one of kinds", "title")


def test_sequences_are_counted_as_papers_do(tables):
    # Training: a has w x, b has x w, c has y y: one prefix with a next item each. Test: what comes before z and v.
    made(tables, {"train_sequences": 3, "test_sequences": 2, "avg_sequence_length": 3.0})


def test_users_are_known_by_whole_numbers_and_categories(tables, tmp_path):
    data, _ = made(tables)
    known = {name: one.to_pylist() for name, one in data.user_features.items()}
    assert known == {"town": [1, 0, 1], "age": [25, 18, 1]}
    data.save(tmp_path / "data")
    again = Prepared.load(tmp_path / "data")
    assert again.content == data.content and again.user_features["town"].to_pylist() == [1, 0, 1]
    laid: Interactions = again.interactions("train")
    assert laid.user_features["age"].single().tolist() == [25, 18, 1]


def test_what_is_known_of_users_is_part_of_the_content(tables):
    data, _ = made(tables)
    parts = (data.n_users, data.n_items, data.train, data.valid, data.test, "official", True)
    known = [data.user_features, {}, {"age": data.user_features["age"]}, {"age": pa.array([25, 18, 2])}]
    contents = [Prepared(*parts, data.features, one).content for one in known]
    assert contents[0] == data.content and len(set(contents)) == 4
    # Users' features are none of the items'.
    both = {"n": pa.array([1, 2, 3])}
    assert Prepared(3, 3, *parts[2:], both).content != Prepared(3, 3, *parts[2:], {}, both).content


@pytest.mark.parametrize(("recipe", "said"), [
    ({"core": 5, "core_most": 4}, "core_most needs"),
    ({"core_rule": "items"}, "core_rule needs core"), ({"core": 5, "core_rule": "twice"}, "core_rule"),
    ({"candidates": "some"}, "candidates"),
    ({"split": "official_rule", "test_k": 1, "candidates": "met"}, "does not read candidates"),
])
def test_a_switch_that_says_nothing_is_refused(recipe, said):
    with pytest.raises(RepriseError, match=said):
        checked(Recipe, {"split": "leave_one_out", "order": "time", **recipe}, "toy")


def test_a_catalogue_needs_a_table_of_items(tables):
    recipe = Recipe(split="leave_one_out", order="time", repeats="kept", candidates="catalogue")
    with pytest.raises(RepriseError, match="a source with a table of items"):
        prepare(tables / "interactions.parquet", recipe, status="official", expect={}, where="toy")
