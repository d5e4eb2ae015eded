"""The logs of Twitch and of WeChat: their readers on rows of full width, on real ones, and on every kind of bad one."""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from reprise.config import make_config
from reprise.data.prepare import prepare
from reprise.data.readers import reader, twitch_100k, wechat_2021
from reprise.data.recipe import Recipe
from reprise.errors import RepriseError
from reprise.stages import canonicalise

PLACED = Path(__file__).resolve().parents[1] / "resources/raw"
# As published; the note beside them says that a stop is exclusive.
STAYS = ("1,34347669376,grimnax,5415,5419", "1,34391109664,jtgtv,5869,5870", "1,34395247264,towshun,5898,5899",
         "1,34405646144,mithrain,6024,6025", "2,33848559952,chfhdtpgus1,206,207", "2,33881429664,sal_gu,519,524",
         "2,33921292016,chfhdtpgus1,922,924")


def twitch(folder, *lines, end="\n"):
    (folder / twitch_100k.FILE).write_bytes("".join(line + end for line in lines).encode("utf-8", "surrogateescape"))
    return folder


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_real_stays_are_read_in_the_files_order(tmp_path, end):
    tables = reader("twitch_100k")(twitch(tmp_path, *STAYS, STAYS[0], end=end))
    rows = tables.interactions.read_all()
    fields = [line.split(",") for line in (*STAYS, STAYS[0])]
    assert rows.drop_columns("rating").to_pydict() == {
        "user": [int(one[0]) for one in fields], "item": [int(one[1]) for one in fields],
        "time": [600 * int(one[3]) for one in fields]}
    assert rows["rating"].null_count == 8 and tables.users is None and tables.facts == {"repeated": 1}
    assert tables.items.to_numpy().tolist() == sorted([int(one[1]), one[2]] for one in fields[:-1])


@pytest.mark.parametrize(("line", "found"), [
    ("1,7,a,9,9", "a stop that is not after its start"), ("1,7,a,9,8", "a stop that is not after its start"),
    ("1,7,a,9", "no such line"), ("1,7,a,9,10,11", "no such line"), ("1,7,,9,10", "no such line"),
    ("1,7, ,9,10", "no such line"), ("1,,a,9,10", "no such line"), ("x,7,a,9,10", "no such line"),
    ("1,7,a,nine,10", "no such line"), ("1,7,a,9.5,10", "no such line"), ("1,-7,a,9,10", "no such line"),
    ("1,7,a,-1,10", "no such line"), ("", "an empty line"), ("user,stream,streamer,start,stop", "no such line"),
    ("1,7,\udcff,9,10", "a name that is no UTF-8"),
])
def test_a_malformed_stay_is_named(tmp_path, line, found):
    with pytest.raises(RepriseError) as caught:
        twitch_100k.read(twitch(tmp_path, *STAYS[:2], line, STAYS[2]))
    assert caught.value.where == f"{tmp_path / twitch_100k.FILE}, line 3" and caught.value.found.startswith(found)


def test_a_stream_of_two_streamers_and_empty_or_missing_files_are_named(tmp_path):
    with pytest.raises(RepriseError, match="no such file"):
        twitch_100k.read(tmp_path)
    with pytest.raises(RepriseError, match="an empty file"):
        twitch_100k.read(twitch(tmp_path))
    with pytest.raises(RepriseError, match="1 more, e.g. 'a' and 'b' of stream 8"):
        twitch_100k.read(twitch(tmp_path, "1,7,a,1,2", "1,8,a,3,4", "2,8,b,3,4", "3,8,a,3,4"))


# WeChat

SHOWN = ("8,71474,1,1,0,0,1,500,5366,0,0,0,0", "8,73916,1,1,0,0,0,250,1533,0,0,0,0",
         "8,50282,1,1,0,0,0,750,1302,0,0,0,0")
TEXTS = '0,"a, b\nand ""c""",ocr,"x\r\n9,9",,,"1;2",3,"7","8 0.5;9 0.1",1 2,3,4'
MADE = (f"71474,3,{TEXTS}", f"73916,4,{TEXTS}", f"50282,3,{TEXTS}", f"6,,{TEXTS}")


def wechat(folder, shown=SHOWN, made=MADE, header=wechat_2021.ACTIONS_HEADER, feeds=wechat_2021.FEEDS_HEADER):
    for file, lines in ((wechat_2021.ACTIONS, (header, *shown)), (wechat_2021.FEEDS, (feeds, *made))):
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes("".join(line + "\n" for line in lines if line is not None).encode())
    return folder


def test_real_actions_are_read_and_feeds_joined_around_their_texts(tmp_path):
    more = [f"9,73916,14,2,{','.join(done[:3])},0,0,{','.join(done[3:])}" for done in np.eye(7, dtype=int).astype(str)]
    tables = reader("wechat_2021")(wechat(tmp_path, (*SHOWN, *more)))
    rows = tables.interactions.read_all()
    assert rows["user"].to_pylist() == [8] * 3 + [9] * 7
    assert rows["item"].to_pylist() == [71474, 73916, 50282] + [73916] * 7
    assert rows["time"].to_pylist() == [86400] * 3 + [14 * 86400] * 7
    # Of the three real rows the first is liked; each of the seven that follow has one of the seven actions.
    assert rows["action"].to_pylist() == ["positive", "shown", "shown"] + ["positive"] * 7
    assert tables.items.astype(object).where(tables.items.notna(), None).to_numpy().tolist() == [
        [6, None], [50282, 3], [71474, 3], [73916, 4]]
    assert tables.facts == {"repeated": 6, "feeds_without_action": 1, "feeds_without_author": 1}


def wide(**changed):
    fields = dict(zip(wechat_2021.ACTIONS_HEADER.split(","), SHOWN[0].split(","), strict=True)) | changed
    return ",".join(fields.values())


@pytest.mark.parametrize(("line", "found"), [
    (wide(date_="16"), "day 16"), (wide(date_="0"), "day 0"), (wide(date_="20210701"), "day 20210701"),
    (wide(date_="one"), "no such line"), (wide(date_=""), "no such line"), (wide(like="2"), "no such line"),
    (wide(follow="-1"), "no such line"), (wide(favorite="300"), "no such line"), (wide(comment=""), "no such line"),
    (wide(userid="u"), "no such line"), (wide(feedid="-3"), "no such line"), (wide() + ",1", "no such line"),
    (wide()[:-2], "no such line"), ("", "an empty line"),
])
def test_a_malformed_action_is_named(tmp_path, line, found):
    with pytest.raises(RepriseError) as caught:
        wechat_2021.read(wechat(tmp_path, (*SHOWN, line, SHOWN[0])))
    assert caught.value.where == f"{tmp_path / wechat_2021.ACTIONS}, line 5" and caught.value.found.startswith(found)


@pytest.mark.parametrize(("feed", "found"), [
    (f"x,3,{TEXTS}", "15 fields"), (f"7,y,{TEXTS}", "15 fields"), (f"-7,3,{TEXTS}", "15 fields"),
    (f",3,{TEXTS}", "15 fields"), (f"7,-3,{TEXTS}", "15 fields"), (f"7,3,{TEXTS},4", "16 fields"), ("7,3", "2 fields"),
])
def test_a_malformed_feed_is_named_where_it_begins(tmp_path, feed, found):
    with pytest.raises(RepriseError) as caught:
        wechat_2021.read(wechat(tmp_path, made=(*MADE[:3], feed)))
    # The texts of each feed before it hold two line ends.
    assert caught.value.where == f"{tmp_path / wechat_2021.FEEDS}, line 11" and caught.value.found.startswith(found)


@pytest.mark.parametrize(("files", "said"), [
    ({"shown": [*SHOWN, wide(feedid="5"), wide(feedid="4")]}, "2 others, e.g. feed 5"),
    ({"made": [*MADE, f"71474,9,{TEXTS}"]}, "1 more, e.g. 3 and 9 of feed 71474"),
    ({"made": []}, "no line after the first"), ({"shown": []}, "no line after the first"),
    ({"header": "user,feed,day"}, "another edition"), ({"feeds": "feedid,authorid"}, "another edition"),
    ({"shown": [], "header": None}, "an empty file"), ({"made": [], "feeds": None}, "an empty file"),
])
def test_files_that_do_not_fit_are_named(tmp_path, files, said):
    with pytest.raises(RepriseError, match=said):
        wechat_2021.read(wechat(tmp_path, **files))


@pytest.mark.parametrize("file", [wechat_2021.ACTIONS, wechat_2021.FEEDS])
def test_a_missing_file_is_named(tmp_path, file):
    (wechat(tmp_path) / file).unlink()
    with pytest.raises(RepriseError, match="no such file") as caught:
        wechat_2021.read(tmp_path)
    assert caught.value.where == str(tmp_path / file)


# From the raw file to what a model reads

RECIPES = {
    "twitch_100k": {"provider": "streamer", "repeats": "kept"},
    "wechat_2021": {"provider": "author", "repeats": "kept"},
    "ijcai16": {"provider": "seller", "repeats": "merged", "merged_time": "last", "actions": ["buy"]},
}


def prepared(folder, form, **other):
    config = make_config({"resources": str(folder)})
    (folder / "raw/toy/source.json").write_text('{"status": "official"}')
    canonicalise.main(argparse.Namespace(source="toy", reader=form), config)
    tables = folder / "canonical/toy"
    recipe = Recipe(**{"split": "leave_one_out", "order": "time", "valid_from": 4, **RECIPES[form], **other})
    return prepare(tables / "interactions.parquet", recipe, status="official", expect={}, where="toy",
                   items=tables / "items.parquet", users=tables / "users.parquet")[0]


def raw(folder):
    (folder / "raw/toy").mkdir(parents=True)
    return folder / "raw/toy"


def test_stays_become_sequences_with_streamers(tmp_path):
    twitch(raw(tmp_path), *STAYS)
    data = prepared(tmp_path, "twitch_100k")
    # Seven streams as they appear; chfhdtpgus1 is watched twice.
    assert data.features["provider"].to_pylist() == [0, 1, 2, 3, 4, 5, 4]
    assert data.train.tolist() == [[0, 0], [0, 1], [1, 4], [1, 5]]
    assert data.valid.tolist() == [[0, 2]] and data.test.tolist() == [[0, 3], [1, 6]]


def test_feeds_become_sequences_with_authors_and_may_be_those_that_were_liked(tmp_path):
    shown = [*SHOWN, wide(userid="9", date_="2"), wide(userid="9", date_="1", feedid="6", like="0")]
    wechat(raw(tmp_path), shown)
    with pytest.raises(RepriseError, match="none for 1 of 4 items, e.g. item 6"):
        prepared(tmp_path, "wechat_2021")
    data = prepared(tmp_path, "wechat_2021", provider_missing="own")
    assert data.features["provider"].to_pylist() == [0, 1, 0, 2]  # of 71474 73916 50282 6
    liked = prepared(tmp_path, "wechat_2021", actions=["positive"])
    assert (liked.n_users, liked.n_items, len(liked.train)) == (2, 1, 2)


def test_purchases_become_sequences_with_sellers(tmp_path):
    header = "use_ID,sel_ID,ite_ID,cat_ID,act_ID,time"
    lines = ("1,50,9,4,1,20150703", "1,60,8,7,1,20150702", "1,50,9,4,1,20150701", "1,50,7,4,0,20150701")
    (raw(tmp_path) / "ijcai2016_taobao.csv").write_text("".join(f"{line}\n" for line in (header, *lines)))
    data = prepared(tmp_path, "ijcai16")
    # Bought twice, 9 counts on the day of its last line, the first of July: 9, then 8.
    assert data.features["provider"].to_pylist() == [0, 1] and data.train.tolist() == [[0, 0], [0, 1]]
    assert data.features["category"].to_pylist() == [4, 7] and "seller" not in data.features


@pytest.mark.parametrize("form", ["twitch_100k", "wechat_2021"])
def test_rows_of_full_width_pass_through_whole(tmp_path, form):
    rng, count = np.random.default_rng(5), 5000
    item, step = rng.integers(1, 400, count), rng.integers(0, 14, count)
    rows = pd.DataFrame({"user": rng.integers(1, 60, count), "item": item})
    if form == "twitch_100k":
        names, stop = [f"s{one % 17}" for one in item], step + rng.integers(1, 9, count)
        lines = rows.assign(streamer=names, start=step, stop=stop)
        twitch(raw(tmp_path), *lines.to_csv(header=False, index=False).splitlines())
        expected, factor = lines.assign(time=600 * step), 17
    else:
        other = {name: rng.integers(0, 2, count) for name in wechat_2021.ACTIONS_HEADER.split(",")[3:]}
        lines = rows.assign(date_=step + 1, **other)
        made = [f"{one},{one % 23},{TEXTS}" for one in range(1, 500)]
        wechat(raw(tmp_path), lines.to_csv(header=False, index=False).splitlines(), made)
        done = lines[list(wechat_2021.DONE)].any(axis=1)
        expected = rows.assign(time=86400 * (step + 1), action=np.where(done, "positive", "shown"))
        factor = 23
    data = prepared(tmp_path, form)
    table = pq.read_table(tmp_path / "canonical/toy/interactions.parquet").to_pandas()
    names = [name for name in table if name != "rating"]
    assert table[names].equals(expected[names])
    written = json.loads((tmp_path / "canonical/toy/canonical.json").read_text())
    assert written["facts"]["repeated"] == int(rows.duplicated().sum()) > 0
    assert data.statistics()["interactions"] == count and data.statistics()["providers"] == factor


@pytest.mark.skipif(not (PLACED / "twitch-100k" / twitch_100k.FILE).exists(), reason="nobody has placed the log")
def test_the_counts_of_twitch():
    tables = twitch_100k.read(PLACED / "twitch-100k")
    rows = tables.interactions.read_all()
    assert (len(rows["user"].unique()), len(tables.items), tables.items["streamer"].nunique(), len(rows)) == (
        100_000, 739_991, 162_625, 3_051_733)


@pytest.mark.skipif(not (PLACED / "wechat-2021" / wechat_2021.ACTIONS).exists(), reason="nobody has placed the log")
def test_the_counts_of_wechat():
    tables = wechat_2021.read(PLACED / "wechat-2021")
    rows = tables.interactions.read_all()
    shown = tables.items[tables.items["item"].isin(rows["item"].unique().to_pylist())]
    assert (len(rows["user"].unique()), len(shown), shown["author"].nunique(), len(rows)) == (
        20_000, 96_564, 18_429, 7_317_882)
