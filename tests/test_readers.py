"""The reader of `user item item ...` files: what it makes of good files, and what it says of bad ones."""

import numpy as np
import pytest
from reprise.data.readers import reader, user_lists
from reprise.errors import RepriseError


def write(folder, train=b"2 0 6\n0 6\n", test=b"1 0\n"):
    (folder / "train.txt").write_bytes(train)
    (folder / "test.txt").write_bytes(test)
    return folder


def test_reads_a_row_an_interaction_in_file_order(tmp_path):
    tables = reader("user_lists")(write(tmp_path))
    columns = tables.interactions[["user", "item", "part", "position"]].astype(object).values.tolist()
    assert columns == [[2, 0, "train", 0], [2, 6, "train", 1], [0, 6, "train", 0], [1, 0, "test", 0]]
    assert tables.items["item"].tolist() == [0, 6] and tables.users["user"].tolist() == [0, 1, 2]
    assert tables.files == ("train.txt", "test.txt")


def test_time_and_rating_are_typed_nulls(tmp_path):
    table = user_lists.read(write(tmp_path)).interactions
    assert str(table["time"].dtype) == "Int64" and str(table["rating"].dtype) == "Float64"
    assert table["time"].isna().all() and table["rating"].isna().all()


def test_repeated_interactions_stay_and_are_counted(tmp_path):
    tables = user_lists.read(write(tmp_path, train=b"0 5 5 5 1\n"))
    assert tables.interactions["item"].tolist() == [5, 5, 5, 1, 0]
    assert tables.facts == {"repeated_train": 2, "repeated_test": 0}


@pytest.mark.parametrize("train", [b"2 0 6\r\n0 6\r\n", b"2 0 6\n0 6", b"2 0 6\n0 6\n\n"])
def test_line_ends_of_any_kind_give_the_same_table(tmp_path, train):
    expected = user_lists.read(write(tmp_path)).interactions
    assert user_lists.read(write(tmp_path, train=train)).interactions.equals(expected)


@pytest.mark.parametrize(("train", "line", "found"), [
    (b"0 1\n1 x 2\n", 2, "'1 x 2'"),
    (b"0 1\n1 2.5\n", 2, "'1 2.5'"),
    (b"0 1\n1 -2\n", 2, "'1 -2'"),
    (b"0 1\n\n1 2\n", 2, "an empty line"),
    (b"0 1\n1  2\n", 2, "'1  2'"),
    (b"0 1\n1 2 \n", 2, "'1 2 '"),
    (b" 0 1\n1 2\n", 1, "' 0 1'"),
    (b"0 1\n1\t2\n", 2, r"'1\t2'"),
    (b"0 1\n1 2\n2\n", 3, "user 2 without an item"),
    (b"0 1\n1 2\n0 3\n", 3, "user 0 for a second time"),
    (b"0 1\n1 1000000000\n", 2, "'1 1000000000'"),
    (b"\x89PNG\x0d\x1a\x00\xff", 1, "bytes that are no text: 89 50 4e 47"),
])
def test_malformed_line_is_named(tmp_path, train, line, found):
    with pytest.raises(RepriseError) as caught:
        user_lists.read(write(tmp_path, train=train))
    assert caught.value.where == f"{tmp_path / 'train.txt'}, line {line}"
    assert caught.value.found.startswith(found)


@pytest.mark.parametrize("empty", [b"", b"\n", b"\r\n\r\n"])
def test_empty_file_is_refused(tmp_path, empty):
    with pytest.raises(RepriseError, match="test.txt") as caught:
        user_lists.read(write(tmp_path, test=empty))
    assert caught.value.found == "an empty file"


def test_missing_file_is_named(tmp_path):
    (tmp_path / "train.txt").write_bytes(b"0 1\n")
    with pytest.raises(RepriseError, match="test.txt") as caught:
        user_lists.read(tmp_path)
    assert caught.value.found == "no such file"


def test_unknown_format_lists_those_there_are():
    with pytest.raises(RepriseError) as caught:
        reader("csv")
    assert "user_lists" in caught.value.expected


def test_agrees_with_a_plain_loop_on_random_lists(tmp_path):
    rng = np.random.default_rng(7)
    lists = {int(user): rng.integers(0, 10**6, rng.integers(1, 9)).tolist() for user in rng.permutation(200)}
    text = "".join(" ".join(map(str, [user, *items])) + "\n" for user, items in lists.items())
    table = user_lists.read(write(tmp_path, train=text.encode())).interactions.query("part == 'train'")
    expected = [[user, item, position] for user, items in lists.items() for position, item in enumerate(items)]
    assert table[["user", "item", "position"]].values.tolist() == expected
