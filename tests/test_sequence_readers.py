"""The raw files of sequences: S3-Rec's lists, Amazon's and Yelp's reviews; what is made of good and of bad ones."""

import argparse
import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reprise.config import make_config
from reprise.data import json_lines
from reprise.data.readers import amazon_reviews, reader, s3rec, yelp_reviews
from reprise.errors import RepriseError
from reprise.stages import canonicalise

SAMPLES = Path(__file__).resolve().parents[2] / "shared/data/samples"


def lists(folder, text="1 1 2 1\n2 2 3\n3 1\n", attributes='{"1": [4, 2], "2": [], "3": [1]}'):
    (folder / "Toy.txt").write_text(text)
    (folder / "Toy_item2attributes.json").write_text(attributes)
    return folder


def test_s3recs_lists_keep_order_repeats_and_empty_attributes(tmp_path):
    tables = reader("s3rec")(lists(tmp_path))
    columns = tables.interactions[["user", "item", "position"]].values.tolist()
    assert columns == [[1, 1, 0], [1, 2, 1], [1, 1, 2], [2, 2, 0], [2, 3, 1], [3, 1, 0]]
    assert [list(one) for one in tables.items["attributes"]] == [[4, 2], [], [1]]
    assert tables.facts == {"repeated": 1, "items_without_attributes": 1}
    assert tables.files == ("Toy.txt", "Toy_item2attributes.json")


@pytest.mark.parametrize(("text", "attributes", "where", "found"), [
    ("1 1 2 9\n", '{"1": [1], "2": [1]}', "Toy.txt", "1 others, e.g. item 9"),
    ("1 1 2\n", '{"1": [1], "2": [1], "7": [1]}', "Toy_item2attributes.json", "1 others, e.g. item 7"),
    ("1 1 2\n2\n", '{"1": [1], "2": [1]}', "Toy.txt, line 2", "user 2 without an item"),
    ("1 1 x\n", '{"1": [1]}', "Toy.txt, line 1", "'1 1 x'"),
    ("1 0 1\n", '{"1": [1]}', "Toy.txt", "item 0"),
    ("1 1\n", '{"1": [1], "1": [2]}', "Toy_item2attributes.json", "key '1' twice"),
    ("1 1\n", '{"1": [1], "01": [2]}', "Toy_item2attributes.json, item '01'", "[2]"),
    ("1 1\n", '{"1": [0]}', "Toy_item2attributes.json, item '1'", "[0]"),
    ("1 1\n", '{"1": [true]}', "Toy_item2attributes.json, item '1'", "[True]"),
    ("1 1\n", '{"1": "drama"}', "Toy_item2attributes.json, item '1'", "drama"),
    ("1 1\n", '{"1": [1], "2": [', "Toy_item2attributes.json", "Expecting value"),
    ("1 1\n", "[1]", "Toy_item2attributes.json", "list"),
])
def test_a_fault_in_s3recs_files_is_named(tmp_path, text, attributes, where, found):
    with pytest.raises(RepriseError) as caught:
        s3rec.read(lists(tmp_path, text, attributes))
    assert caught.value.where == f"{tmp_path}/{where}" and caught.value.found.startswith(found)


def test_missing_files_of_s3rec_are_named(tmp_path):
    with pytest.raises(RepriseError, match="no such file"):
        s3rec.read(tmp_path)
    lists(tmp_path)
    (tmp_path / "Toy.txt").unlink()
    with pytest.raises(RepriseError, match=r"Toy\.txt"):
        s3rec.read(tmp_path)


REVIEW = {"review_id": "r", "user_id": "-u", "business_id": "b", "stars": 4, "text": "{\n",
          "date": "2019-01-02 00:00:07"}


def yelp(folder, *lines):
    text = b"\n".join(line if isinstance(line, bytes) else json.dumps(REVIEW | line).encode() for line in lines)
    (folder / yelp_reviews.FILE).write_bytes(text)
    return yelp_reviews.read(folder).interactions


def test_yelps_reviews_pass_through_with_their_date_as_text(tmp_path):
    rows = yelp(tmp_path, {}, b"", {"stars": 2.5, "date": "1970-01-02 00:00:00"}, {"date": "1970-01-01"}).read_all()
    assert rows.select(["user", "item", "time", "rating"]).to_pydict() == {
        "user": ["-u"] * 3, "item": ["b"] * 3, "time": [1546387207, 86400, 0], "rating": [4, 2.5, 4]}
    assert rows["date"].to_pylist() == ["2019-01-02 00:00:07", "1970-01-02 00:00:00", "1970-01-01"]


WHOLE = json.dumps(REVIEW).encode()


@pytest.mark.parametrize(("line", "found"), [
    (WHOLE[:-25], "Unterminated string"),
    (WHOLE[:-1] + b', "stars": 3}', "key 'stars' twice"),
    (WHOLE.replace(b'"-u"', b"null"), "user_id is absent"),
    (WHOLE.replace(b'"user_id": "-u", ', b""), "user_id is absent"),
    (WHOLE.replace(b"4", b'"4"', 1), "stars is '4'"),
    (WHOLE.replace(b'"b"', b'"\xff"'), "'utf-8' codec"),
    (b"{'user_id': 'u'}", "Expecting property name"),
    (b"[1]", "no object"),
])
def test_a_malformed_review_is_named_with_its_line(tmp_path, line, found):
    with pytest.raises(RepriseError) as caught:
        yelp(tmp_path, {}, {}, line).read_all()
    assert caught.value.where == f"{tmp_path / yelp_reviews.FILE}, line 3" and caught.value.found.startswith(found)


@pytest.mark.parametrize("date", ["2019-13-02 00:00:00", "yesterday"])
def test_a_date_that_is_none_is_named(tmp_path, date):
    with pytest.raises(RepriseError, match=date):
        yelp(tmp_path, {}, {"date": date}).read_all()


def test_empty_missing_and_cut_files_are_named(tmp_path):
    schema = yelp_reviews.READ
    with pytest.raises(RepriseError, match="no such file"):
        list(json_lines.batches(tmp_path / "a.json", schema))
    (tmp_path / "a.json").write_bytes(b"\n")
    with pytest.raises(RepriseError, match="a.json"):
        list(json_lines.batches(tmp_path / "a.json", schema))
    texts = np.random.default_rng(0).bytes(50_000).hex()
    packed = gzip.compress("\n".join(json.dumps(REVIEW | {"text": texts[n : n + 50]}) for n in range(2000)).encode())
    (tmp_path / "a.json.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(RepriseError, match="after line"):
        list(json_lines.batches(tmp_path / "a.json.gz", schema))


def test_blocks_join_to_the_whole_file_and_memory_holds_one_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "BLOCK", 1 << 16)
    count, text = 20_000, "x" * 1000  # 20 MB and more
    with open(tmp_path / "a.json", "w") as file:
        for n in range(count):
            file.write(json.dumps(REVIEW | {"user_id": str(n), "text": text}) + "\n")
    pool = pa.default_memory_pool()
    before, seen, most = pool.bytes_allocated(), 0, 0
    for batch in json_lines.batches(tmp_path / "a.json", yelp_reviews.READ):
        assert batch["user_id"].to_pylist() == [str(n) for n in range(seen, seen + len(batch))]
        seen, most = seen + len(batch), max(most, pool.bytes_allocated() - before)
    assert seen == count
    assert most < 4e6  # a fifth of the file


def test_a_stream_becomes_canonical_tables_with_those_who_occur(tmp_path):
    config = make_config({"resources": str(tmp_path)})
    raw = tmp_path / "raw/toy"
    raw.mkdir(parents=True)
    (raw / "source.json").write_text('{"status": "official"}')
    yelp(raw, {"user_id": "z"}, {"business_id": "c"}, {"user_id": "A"}, {})
    canonicalise.main(argparse.Namespace(source="toy", reader="yelp_reviews"), config)
    folder = tmp_path / "canonical/toy"
    assert json.loads((folder / "canonical.json").read_text())["rows"] == {"interactions": 4, "items": 2, "users": 3}
    assert pq.read_table(folder / "users.parquet")["user"].to_pylist() == ["-u", "A", "z"]
    assert pq.read_table(folder / "interactions.parquet")["item"].to_pylist() == ["b", "c", "b", "b"]
    yelp(raw, {}, b"{")
    with pytest.raises(RepriseError, match="line 2"):
        canonicalise.main(argparse.Namespace(source="toy", reader="yelp_reviews"), config)
    assert pq.read_table(folder / "interactions.parquet").num_rows == 4  # what stood there stays


AMAZON = [{"reviewerID": user, "asin": item, "unixReviewTime": time, "overall": 5.0, "summary": "it's {ok}"}
          for user, item, time in (("B", "0001", 30), ("A", "0002", 10), ("B", "0002", 20))]
META = (b"{'asin': '0002', 'brand': 'Some', 'categories': [['Beauty', 'Hair'], ['Beauty', 'Hair', 'Care']]}\n"
        b"{'asin': '0009', 'title': \"it's\"}\n")


def amazon(folder, meta=None, rows=AMAZON):
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (folder / "reviews_Toy_5.json.gz").write_bytes(gzip.compress(text))
    if meta is not None:
        (folder / "meta_Toy.json.gz").write_bytes(gzip.compress(meta))
    return folder


def test_amazons_reviews_keep_file_order_and_leading_zeros(tmp_path):
    tables = reader("amazon_reviews")(amazon(tmp_path))
    assert tables.interactions.to_numpy().tolist() == [
        ["B", "0001", 30, 5.0], ["A", "0002", 10, 5.0], ["B", "0002", 20, 5.0]]
    assert list(tables.interactions) == ["user", "item", "time", "rating"]
    assert tables.items["item"].tolist() == ["0001", "0002"] and tables.users["user"].tolist() == ["A", "B"]
    assert tables.files == ("reviews_Toy_5.json.gz",)


def test_amazons_products_are_literals_of_python(tmp_path):
    tables = amazon_reviews.read(amazon(tmp_path, META))
    known = tables.items.set_index("item").loc["0002"]
    assert (known["brand"], known["categories"]) == ("Some", ["Hair", "Care"])
    assert tables.facts == {"items_without_product": 1} and len(tables.items) == 2


@pytest.mark.parametrize("line", [
    b"{'asin': '0001', 'brand': __import__('os').getcwd()}",
    b"{'asin': '0001', 'brand': 'cut",
    b"{'asin': '0001', 'categories': 'Hair'}",
    b"{'asin': '0001', 'categories': ['Beauty', 'Hair']}",
    b"{'asin': '0001', 'categories': [7]}",
    b"{'asin': '0001', 'brand': 7}",
    b"{'asin': '0001', 'x': " + b"[" * 5000 + b"]" * 5000 + b"}",
    b"print({'asin': '0001'})",
    b"{'asin': '0001', 'title': '\xff'}",
    b"{'asin': '0001', 'brand': 'One', 'brand': 'Other'}",
    b"{'asin': '0001', 'related': {'x': 1, 'x': 2}}",
    b"{'title': 'cut before its asi",
])
def test_a_product_that_is_no_literal_is_refused_and_never_evaluated(tmp_path, line):
    with pytest.raises(RepriseError) as caught:
        amazon_reviews.read(amazon(tmp_path, META + line + b"\n"))
    assert caught.value.where == f"{tmp_path}/meta_Toy.json.gz, line 3"


def test_missing_or_two_files_of_amazon_are_named(tmp_path):
    with pytest.raises(RepriseError, match="no such file"):
        amazon_reviews.read(tmp_path)
    (amazon(tmp_path) / "reviews_Other_5.json.gz").touch()
    with pytest.raises(RepriseError, match="Other"):
        amazon_reviews.read(tmp_path)


@pytest.mark.skipif(not (SAMPLES / "yelp_raw_sample").exists(), reason="no samples of raw files here")
def test_real_lines_of_yelp_are_read_and_the_last_which_is_cut_off_is_named(tmp_path):
    data = (SAMPLES / "yelp_raw_sample" / yelp_reviews.FILE).read_bytes()
    end = data.rindex(b"\n") + 1
    (tmp_path / yelp_reviews.FILE).write_bytes(data[:end])
    rows = yelp_reviews.read(tmp_path).interactions.read_all()
    whole = [json.loads(line) for line in data[:end].splitlines()]
    assert rows["user"].to_pylist() == [one["user_id"] for one in whole] and rows.num_rows > 1000
    assert rows["date"].to_pylist() == [one["date"] for one in whole]
    (tmp_path / yelp_reviews.FILE).write_bytes(data)
    with pytest.raises(RepriseError, match=f"line {len(whole) + 1}"):
        yelp_reviews.read(tmp_path).interactions.read_all()


@pytest.mark.skipif(not (SAMPLES / "amazon_raw_sample").exists(), reason="no samples of raw files here")
def test_a_mangled_csv_is_no_file_of_reviews(tmp_path):
    data = (SAMPLES / "amazon_raw_sample/ratings_Beauty_sample_reheadered.csv").read_bytes()
    (tmp_path / "reviews_Beauty_5.json").write_bytes(data)
    with pytest.raises(RepriseError, match="line 1") as caught:
        amazon_reviews.read(tmp_path)
    assert "UserId,ProductId" in caught.value.found
