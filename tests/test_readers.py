"""The readers of raw files: what they make of good files, and what they say of bad ones."""

import numpy as np
import pytest
from reprise.data.readers import movielens, reader, user_lists
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
    (b"0 1\nx 2\n", 2, "'x 2'"),
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


def write_val(folder, valid=b"0 6\n", rest=b"2 0 6\n"):
    (folder / "val").mkdir()
    (folder / "val/valid.txt").write_bytes(valid)
    (folder / "val/train.txt").write_bytes(rest)
    return write(folder)


def test_a_released_validation_part_is_a_part_of_train(tmp_path):
    tables = user_lists.read(write_val(tmp_path))
    assert tables.interactions["part"].tolist() == ["train", "train", "valid", "test"]
    assert tables.facts == {"repeated_train": 0, "repeated_test": 0, "unlike_val_train": 0}
    assert tables.files == ("train.txt", "test.txt", "val/valid.txt", "val/train.txt")


def test_a_val_train_that_is_not_the_rest_is_counted(tmp_path):
    # It lacks (2, 6) and has (1, 6) too many.
    assert user_lists.read(write_val(tmp_path, rest=b"2 0\n1 6\n")).facts["unlike_val_train"] == 2


def test_validation_pairs_outside_train_are_refused(tmp_path):
    with pytest.raises(RepriseError, match=r"val/valid\.txt") as caught:
        user_lists.read(write_val(tmp_path, valid=b"0 6\n1 0\n"))
    assert caught.value.found == "1 of 2 pairs that are not in it"


RATINGS = b"7::122::5::838985046\n7::185::3.5::838983525\n2::122::0.5::1083000000\n"


def rated(folder, text=RATINGS):
    (folder / "ml-10M100K").mkdir(exist_ok=True)
    (folder / "ml-10M100K/ratings.dat").write_bytes(text)
    return folder


@pytest.mark.parametrize("text", [RATINGS, RATINGS.replace(b"\n", b"\r\n"), RATINGS[:-1]])
def test_reads_ratings_in_file_order(tmp_path, text):
    tables = reader("movielens")(rated(tmp_path, text))
    table = tables.interactions
    assert table.to_numpy().tolist() == [
        [7, 122, 838985046, 5.0], [7, 185, 838983525, 3.5], [2, 122, 1083000000, 0.5]]
    assert list(table.columns) == ["user", "item", "time", "rating"]
    assert (str(table["time"].dtype), str(table["rating"].dtype)) == ("Int64", "Float64")
    assert tables.users["user"].tolist() == [2, 7] and tables.items["item"].tolist() == [122, 185]
    assert tables.files == ("ml-10M100K/ratings.dat",)


@pytest.mark.parametrize("line", [
    b"1::122::5", b"1::122::5::838985046::9", b"x::122::5::838985046", b"1::1x2::5::838985046", b"1::122::::838985046",
    b"1::122::nan::838985046", b"-1::122::5::838985046", b"1,122,5,838985046", b"1:5:122::5::838985046", b"",
    b"\xff\x00::1::5::1",
])
def test_malformed_rating_is_named(tmp_path, line):
    with pytest.raises(RepriseError) as caught:
        movielens.read(rated(tmp_path, b"1::7::5::838985046\n" + line + b"\n1::8::5::838985046\n"))
    assert caught.value.where == f"{tmp_path}/ml-10M100K/ratings.dat, line 2"
    assert caught.value.found == (repr(line.decode("utf-8", "backslashreplace")) if line else "an empty line")


def test_empty_or_missing_ratings_are_named(tmp_path):
    with pytest.raises(RepriseError, match="no such file"):
        movielens.read(tmp_path)
    with pytest.raises(RepriseError, match="an empty file"):
        movielens.read(rated(tmp_path, b""))
