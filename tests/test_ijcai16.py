"""The online log of IJCAI-16 (Tmall): its reader, a block at a time, and the search for the cut that a paper made."""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from reprise.config import make_config
from reprise.data.cuts import nearest_cut
from reprise.data.prepare import prepare
from reprise.data.readers import ijcai16, reader
from reprise.data.recipe import Recipe
from reprise.errors import RepriseError
from reprise.papers import load_paper
from reprise.settings import checked
from reprise.stages import canonicalise

# User, seller, item, category, action, day; item 8 changes its seller, and user 3 comes in the last row alone.
LINES = (b"1,50,9,4,0,20150701\n", b"2,60,8,7,1,20151111\n", b"1,61,8,7,1,20151130\n", b"3,50,9,4,1,20150701\n")


HEADER = ijcai16.HEADER.encode() + b"\n"


def log(folder, lines=LINES, header=HEADER):
    (folder / ijcai16.FILE).write_bytes(header + b"".join(lines))
    return folder


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_actions_pass_through_with_midnights_in_utc(tmp_path, end):
    tables = reader("ijcai16")(log(tmp_path, [line.replace(b"\n", end) for line in LINES],
                                   HEADER.replace(b"\n", end)))
    rows = tables.interactions.read_all()
    day = 86400
    july = 1435708800  # 1 July 2015, 00:00 UTC: 16,617 days after 1970 began
    assert july == 16617 * day
    assert rows.drop_columns("rating").to_pydict() == {
        "user": [1, 2, 1, 3], "item": [9, 8, 8, 9], "action": ["click", "buy", "buy", "buy"],
        "time": [july, july + 133 * day, july + 152 * day, july]}
    assert rows["rating"].null_count == 4 and tables.users is None
    # The category and seller of the first row; what else there is, is counted.
    assert tables.items().to_numpy().tolist() == [[8, 7, 60], [9, 4, 50]]
    assert tables.facts == {"items_with_several_categories": 0, "items_with_several_sellers": 1}


@pytest.mark.parametrize(("line", "found"), [
    (b"1,50,9,4,2,20150701\n", "no such line"),
    (b"1,50,9,4,-1,20150701\n", "no such line"),
    (b"1,50,9,4,300,20150701\n", "no such line"),
    (b"1,50,9,4,0,20150732\n", "a date that is none"),
    (b"1,50,9,4,0,20150229\n", "a date that is none"),
    (b"1,50,9,4,0,701\n", "no such line"),
    (b"1,50,9,4,0,1150703\n", "no such line"),
    (b"1,50,9,4,0,yesterday\n", "no such line"),
    (b"1,50,9,4,0\n", "no such line"),
    (b"1,50,9,4,0,20150701,7\n", "no such line"),
    (b"1,50,,4,0,20150701\n", "no such line"),
    (b"1,50,-9,4,0,20150701\n", "no such line"),
    (b"1,-50,9,4,0,20150701\n", "no such line"),
    (b"1,50,9,-4,0,20150701\n", "no such line"),
    (b"1,50,x,4,0,20150701\n", "no such line"),
    (b"\x00\xff,50,9,4,0,20150701\n", "no such line"),
])
def test_a_malformed_line_is_named(tmp_path, line, found):
    with pytest.raises(RepriseError) as caught:
        ijcai16.read(log(tmp_path, [*LINES[:2], line, LINES[2]])).interactions.read_all()
    assert caught.value.where == f"{tmp_path / ijcai16.FILE}, line 4" and caught.value.found.startswith(found)


def test_empty_missing_and_other_files_are_named(tmp_path):
    with pytest.raises(RepriseError, match="no such file"):
        ijcai16.read(tmp_path)
    with pytest.raises(RepriseError, match="an empty file"):
        ijcai16.read(log(tmp_path, [], b""))
    with pytest.raises(RepriseError, match="another edition"):
        ijcai16.read(log(tmp_path, LINES, b"user_id,item_id,cat_id,seller_id,brand_id,time_stamp,action_type\n"))
    with pytest.raises(RepriseError, match="no line after the first"):
        ijcai16.read(log(tmp_path, [])).interactions.read_all()


def test_blocks_join_to_the_whole_and_memory_holds_one_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(ijcai16, "BLOCK", 1 << 16)
    rng, count = np.random.default_rng(0), 200_000
    item = rng.integers(1, 300, count)
    frame = pd.DataFrame({"user": rng.integers(1, 99, count), "seller": item % 7, "item": item, "category": item % 5,
                          "action": rng.integers(0, 2, count), "day": 20150700 + rng.integers(1, 32, count)})
    log(tmp_path, [frame.to_csv(header=False, index=False).encode()])
    tables = ijcai16.read(tmp_path)
    pool = pa.default_memory_pool()
    before, seen, most = pool.bytes_allocated(), 0, 0
    for batch in tables.interactions:
        part = frame.iloc[seen : seen + len(batch)]
        assert batch["user"].to_pylist() == part["user"].tolist() and batch["item"].to_pylist() == part["item"].tolist()
        assert batch["action"].to_pylist() == [ijcai16.ACTIONS[one] for one in part["action"]]
        seen, most = seen + len(batch), max(most, pool.bytes_allocated() - before)
    assert seen == count
    assert most < 3e6  # a fifth of what the rows take: 200,000 of 8 * 10 bytes
    items = tables.items()
    assert items["item"].tolist() == list(range(1, 300)) and (items["category"] == items["item"] % 5).all()


def house(folder, lines):
    config = make_config({"resources": str(folder)})
    raw = folder / "raw/toy"
    raw.mkdir(parents=True)
    (raw / "source.json").write_text('{"status": "official"}')
    log(raw, lines)
    canonicalise.main(argparse.Namespace(source="toy", reader="ijcai16"), config)
    return folder / "canonical/toy"


def test_the_log_becomes_canonical_tables(tmp_path):
    folder = house(tmp_path, LINES)
    written = json.loads((folder / "canonical.json").read_text())
    assert written["rows"] == {"interactions": 4, "items": 2, "users": 3}
    assert written["facts"]["items_with_several_sellers"] == 1
    assert pq.read_table(folder / "users.parquet")["user"].to_pylist() == [1, 2, 3]


# User 1 buys 7 8 7, user 2 buys 8 7, user 3 buys 9 and clicks on 7 8 9; the file is not in order of time.
BOUGHT = (b"1,5,7,1,1,20150703\n", b"1,5,7,1,1,20150701\n", b"1,5,8,2,1,20150702\n", b"2,5,8,2,1,20150701\n",
          b"3,5,7,1,0,20150701\n", b"3,5,8,2,0,20150701\n", b"3,5,9,3,0,20150701\n", b"3,5,9,3,1,20150702\n",
          b"2,5,7,1,1,20150701\n")


def recipe(**other):
    return Recipe(**{"split": "leave_one_out", "order": "time", "repeats": "kept", "attributes": "category"} | other)


def made(folder, one):
    return prepare(folder / "interactions.parquet", one, status="official", expect={}, where="toy",
                   items=folder / "items.parquet")


def test_one_kind_of_action_and_pairs_merged(tmp_path):
    folder = house(tmp_path, BOUGHT)
    data, _ = made(folder, recipe(actions=["buy"]))
    walks = [data.parts("train+valid+test")[:, 1][data.parts("train+valid+test")[:, 0] == user] for user in range(3)]
    assert sorted(map(len, walks)) == [1, 2, 3] and data.features["attributes"].to_pylist() == [1, 2, 3]
    # Of user 1's two rows of item 7 the last in the file is the earlier day: 7 before 8.
    data, facts = made(folder, recipe(actions=["buy"], repeats="merged"))
    assert data.train.tolist() == [[0, 0], [0, 1], [1, 1], [1, 0], [2, 2]] and facts["repeated_train"] == 0
    with pytest.raises(RepriseError, match="no such action"):
        made(folder, recipe(actions=["return"]))


CUTS = {"bought": {"actions": ["buy"]}, "bought often": {"actions": ["buy"], "core": 2},
        "clicked often": {"actions": ["click"], "core": 2}}


def test_the_cut_nearest_to_the_printed_counts_is_taken(tmp_path):
    folder = house(tmp_path, BOUGHT)
    wanted = {"users": 2, "items": 2, "attributes": 3}
    one, tried = nearest_cut(folder / "interactions.parquet", recipe(cuts=CUTS, nearest_to=wanted), "toy",
                             folder / "items.parquet")
    # Bought: users 1 2 3, items 7 8 9 of three categories; often: users 1 2, items 7 8. Nobody clicked often.
    assert {name: (found["users"], found["items"], found["interactions"], found["attributes"])
            for name, found in tried.items()} == {"bought": (3, 3, 6, 3), "bought often": (2, 2, 5, 2),
                                                  "clicked often": (0, 0, 0, 0)}
    assert tried["bought"]["distance"] == pytest.approx(2 / 3 * np.log(3 / 2))
    assert tried["bought often"]["distance"] == pytest.approx(1 / 3 * np.log(3 / 2))
    assert tried["clicked often"]["distance"] == pytest.approx((2 * np.log(4) + np.log(6)) / 3)
    assert one == recipe(actions=["buy"], core=2)
    data, facts = made(folder, recipe(cuts=CUTS, nearest_to=wanted))
    assert facts["cut"] == "bought often" and set(facts["cuts"]) == set(CUTS)
    assert data.content == made(folder, one)[0].content


def test_cuts_that_leave_nothing_are_refused(tmp_path):
    folder = house(tmp_path, BOUGHT)
    nothing = recipe(cuts={"clicked often": CUTS["clicked often"]}, nearest_to={"users": 2})
    with pytest.raises(RepriseError, match="no user or item has enough rows"):
        made(folder, nothing)


PLACED = Path(__file__).resolve().parents[1] / "resources/raw/tmall-ijcai-16" / ijcai16.FILE


@pytest.mark.skipif(not PLACED.exists(), reason="the log needs an account; nobody has put it there")
def test_the_public_counts_of_the_log():
    """Those that RUCAIBox/RecSysDatasets lists of Tmall; purchases merged are IPSRec's rows."""
    rows = ijcai16.read(PLACED.parent).interactions.read_all().select(["user", "item", "action"])
    bought, clicked = (rows.filter(pc.equal(rows["action"], action)) for action in ("buy", "click"))
    counts = [(len(one), pc.count_distinct(one["user"]).as_py(), pc.count_distinct(one["item"]).as_py())
              for one in (rows, bought, clicked)]
    assert counts == [(44_528_127, 963_923, 2_353_207),
                      (9_348_756, 885_759, 1_144_124), (35_179_371, 626_041, 2_200_291)]
    assert len(bought.group_by(["user", "item"]).aggregate([])) == 7_592_214


@pytest.mark.parametrize(("other", "said"), [
    ({"cuts": CUTS}, "belong together"), ({"nearest_to": {"users": 3}}, "belong together"),
    ({"cuts": CUTS, "nearest_to": {"users": 3}, "attributes": None}, "belong together"),
    ({"cuts": {"one": {"core": 0}}, "nearest_to": {"users": 3}}, "greater than or equal to 1"),
    ({"cuts": {"one": {"colour": 0}}, "nearest_to": {"users": 3}}, "colour"),
    ({"split": "paper", "order": None, "repeats": "merged", "attributes": None}, "does not"),
])
def test_a_search_that_cannot_be_is_refused(other, said):
    values = {"split": "leave_one_out", "order": "time", "repeats": "kept", "attributes": "category"} | other
    with pytest.raises(RepriseError, match=said):
        checked(Recipe, {key: value for key, value in values.items() if value is not None}, "toy")


def test_every_cut_of_tmall_can_be_made(tmp_path):
    rng, count = np.random.default_rng(1), 4000
    item = (rng.random(count) ** 2 * 60).astype(int)
    lines = [f"{user},{one % 9},{one},{one % 6},{action},{20150700 + day}\n".encode() for user, one, action, day in zip(
        rng.integers(0, 120, count), item, rng.random(count) < 0.3, rng.integers(1, 32, count), strict=True)]
    lines = [line.replace(b"True", b"1").replace(b"False", b"0") for line in lines]
    folder = house(tmp_path, lines)
    data, facts = made(folder, load_paper("dacsr").dataset("tmall"))
    assert len(facts["cuts"]) == 8 and all(found["users"] for found in facts["cuts"].values())
    assert data.statistics()["attributes"] == 6
