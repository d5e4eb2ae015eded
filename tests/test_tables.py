"""Tables: one frame, four renderings; printed beside ours in both readings; nothing that is absent without a reason."""

from __future__ import annotations

import re
from dataclasses import replace

import fake_runs
import pandas as pd
import pytest
from reprise.papers import load_paper
from reprise.reporting import rendering, shortcuts, tables
from reprise.reporting.claim_rows import judged_claims
from reprise.reporting.claims import claims_in
from reprise.reporting.finished import load_results
from reprise.reporting.pairs import COLUMNS as PAIR_COLUMNS
from reprise.reporting.pairs import compare_pairs
from reprise.reporting.tables import Block, Entry, Sheet, lay_out, table_frame
from reprise.reporting.tidy import empty
from reprise.reporting.verdict_rows import judged

PAPER = load_paper(fake_runs.PAPER)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return load_results(PAPER, fake_runs.make(tmp_path_factory.mktemp("tree")))


@pytest.fixture(scope="module")
def significance(results):
    return compare_pairs(results)


@pytest.fixture(scope="module")
def frame(results, significance):
    return table_frame("table2", results, significance)


@pytest.fixture(scope="module")
def sheet(frame):
    return lay_out("table2", PAPER, frame)


def one(frame: pd.DataFrame, method: str, reading: str, metric: str = "hr", dataset: str = "adressa") -> dict:
    (row,) = frame.query(
        "dataset == @dataset and method == @method and reading == @reading and metric == @metric"
    ).to_dict("records")
    return row


def test_every_cell_has_a_place(frame):
    exhibit = PAPER.tables["table2"]
    rows = len(exhibit.methods) + len(exhibit.floor)
    assert len(frame) == len(exhibit.datasets) * rows * len(exhibit.metrics) * len(PAPER.readings)
    assert (frame["mean"].notna() ^ (frame["reason"] != "")).all(), "a cell has a number or a reason"


def test_printed_and_ours_side_by_side(frame):
    row = one(frame, "MACR_MF", "sound")
    assert (row["printed"], row["mean"], row["seeds"], row["data"]) == (0.140, pytest.approx(0.140), 3, "official")
    assert pd.isna(one(frame, "Random", "sound")["printed"])


def test_best_of_its_column_is_bold(frame):
    best = frame[frame["best"]]
    assert set(best["method"]) == {"MACR_LightGCN"}
    assert len(best) == 3 * len(PAPER.readings)


def test_marks_stand_only_where_a_p_may(frame):
    assert one(frame, "MACR_MF", "sound")["mark"] == "*"
    assert one(frame, "MF", "sound")["mark"] == ""
    assert set(frame[frame["reading"] == "printed"]["mark"]) == {""}


def test_a_worse_method_is_marked_as_worse(results, significance):
    swapped = significance.assign(low=-significance["high"], high=-significance["low"])
    assert one(table_frame("table2", results, swapped), "MACR_MF", "sound")["mark"] == "†"


def test_where_less_is_better_the_smallest_is_bold_and_a_fall_is_marked_as_better(monkeypatch, results, significance):
    monkeypatch.setattr(tables, "LOWER_IS_BETTER", frozenset({"hr"}))
    frame = table_frame("table2", results, significance)
    assert set(frame[frame["best"] & (frame["metric"] == "hr")]["method"]) == {"Popularity"}
    assert set(frame[frame["best"] & (frame["metric"] == "recall")]["method"]) == {"MACR_LightGCN"}
    assert one(frame, "MACR_MF", "sound")["mark"] == "†" and one(frame, "MACR_MF", "sound", "recall")["mark"] == "*"
    printed = {name: entries[0].bold for name, entries in lay_out("table2", PAPER, frame).blocks[0].rows}
    assert [name for name, bold in printed.items() if bold] == ["Reg_MF"]  # .093, the smallest printed HR@20


def test_a_shortcut_is_told_beside_every_number_made_with_it(monkeypatch, results, significance):
    monkeypatch.setitem(shortcuts.CHEAPER, "fusion", {"pairwise": "on fewer pairs"})
    older = results.frame[results.frame["metric"] != "shortcuts"]  # runs that were measured before this was
    table = table_frame("table2", replace(results, frame=older), significance)
    told = table[table["remark"] == "on fewer pairs"]
    assert set(zip(told["method"], told["reading"], strict=True)) == {("MACR_MF", "sound"), ("MACR_LightGCN", "sound")}
    sheet = lay_out("table2", PAPER, table)
    entries = dict(sheet.blocks[0].rows)["MACR_LightGCN"]
    assert [entry.note and sheet.notes[entry.note - 1] for entry in entries[:3]] == [None, None, "on fewer pairs"]


def test_a_shortcut_stays_with_the_run_that_took_it(results, significance):
    """Whatever the settings come to on the day when a table is made."""
    frame = results.frame
    counted = frame[(frame["metric"] == "shortcuts") & (frame["method"] == "MF")]
    assert set(counted["value"]) == {0} and len(counted) == 3 * len(PAPER.readings)
    capped = counted.assign(metric="shortcut: max_epochs=5 for 1000", value=1.0)
    results = replace(results, frame=pd.concat([frame, capped]))
    table = table_frame("table2", results, significance)
    told = table[table["remark"] != ""]
    assert set(told["remark"]) == {"max_epochs=5 for 1000"} and set(told["method"]) == {"MF"}
    numbers = judged(results)
    off = numbers[(numbers["method"] == "MF") & numbers["verdict"].str.startswith("off")]
    assert all("max_epochs=5 for 1000" in reason for reason in off["reason"] if reason.startswith("protocol"))
    claims = judged_claims(results)
    sides = {claim.id: {*claim.lhs, *claim.rhs} for claim in claims_in(PAPER)}
    ran, told = claims["verdict"] != "not run", claims["reason"].str.contains("max_epochs=5 for 1000")
    of_mf = claims["id"].map(lambda key: "MF" in sides[key])
    of_others = claims["id"].map(lambda key: bool({"MACR_MF", "LightGCN"} & sides[key])) & ~of_mf
    assert (ran & of_mf).sum() > 5 and told[ran & of_mf].all()
    assert (ran & of_others).sum() > 5 and not told[of_others].any() and not told[~ran].any()


def test_a_cap_of_epochs_is_measured_with_the_run(tmp_path):
    config = fake_runs.make(tmp_path, methods="MF", readings="sound", seeds=1, max_epochs=5)
    rows = load_results(PAPER, config).frame.set_index("metric")["value"]
    assert (rows["shortcuts"], rows["shortcut: max_epochs=5 for 1000"]) == (1, 1)


def test_layout(sheet):
    adressa = sheet.blocks[0]
    assert adressa.title == "Adressa (official data)"
    assert adressa.heads == [("HR@20", 3), ("Recall@20", 3), ("NDCG@20", 3)]
    assert adressa.columns[:3] == ["paper", "ours, printed", "ours, sound"]
    entries = dict(adressa.rows)["MACR_LightGCN"]
    assert entries[0] == Entry("0.158", bold=True)
    assert entries[2] == Entry("0.1580 ± 0.0020", bold=True, mark="*")
    absent = dict(adressa.rows)["ExpoMF"][1]
    assert absent.text == "not run"
    assert sheet.notes[absent.note - 1] == "not run: no finished run"


def test_a_data_set_without_any_run_says_so_once(sheet):
    globo = sheet.blocks[1]
    assert globo.remark == "ours not run: left out by datasets=adressa"
    assert globo.columns == ["paper"] * 3
    assert "Random" not in dict(globo.rows)


def test_the_small_world_has_a_block_of_its_own_without_print(tmp_path):
    results = load_results(PAPER, fake_runs.make(tmp_path, "small-world", seeds=1))
    sheet = lay_out("table2", PAPER, table_frame("table2", results, empty(PAIR_COLUMNS)))
    assert [block.title for block in sheet.blocks][-1] == "Small world"
    world = sheet.blocks[-1]
    assert "paper" not in world.columns
    assert dict(world.rows)["MACR_MF"][0].text == "0.1400", "one seed has no spread"


def test_statistics(results):
    sheet = lay_out("table1", PAPER, table_frame("table1", results, empty(PAIR_COLUMNS)))
    (block,) = sheet.blocks
    assert [entry.text for entry in dict(block.rows)["Adressa (official data)"]] == [
        "13,485",
        "13,485",
        "744",
        "744",
        "116,321",
        "116,321",
        "0.011594",
        "0.011594",
    ]


@pytest.mark.parametrize("name", list(PAPER.tables))
@pytest.mark.parametrize("render", [rendering.markdown, rendering.html, rendering.tex])
def test_every_table_renders_with_no_run_at_all(tmp_path, name, render):
    config = fake_runs.make_config({"results": str(tmp_path), "resources": str(tmp_path)})
    results = load_results(PAPER, config)
    assert not results.runs
    text = render(lay_out(name, PAPER, table_frame(name, results, empty(PAIR_COLUMNS))))
    assert "not run" in text
    assert PAPER.tables[name].title in text


def test_tex_is_well_formed(sheet):
    text = rendering.tex(sheet)
    assert text.count("\\begin{tabular}") == text.count("\\end{tabular}") == len(sheet.blocks)
    plain = re.sub(r"\\[{}]", "", text)
    depth = 0
    for letter in plain:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 0
    assert depth == 0
    assert not re.search(r"(?<!\\)_", text.replace("\\label{tab:table2}", ""))
    assert "±" not in text and "†" not in text
    block = text.split("\\midrule")[1].split("\\bottomrule")[0].strip().splitlines()
    assert {line.count("&") for line in block} == {9}
    assert all(line.endswith("\\\\") for line in block)


def test_hostile_names_stay_text():
    entry = Entry("<script>alert(1)</script> & 100 % _x_ {y}")
    sheet = Sheet("t", "<b>title</b> | $", [Block("", [("M|N", 1)], ["a"], [("row", [entry])])])
    assert "<script" not in rendering.html(sheet)
    assert "&lt;script&gt;" in rendering.html(sheet)
    assert r"100 \% \_x\_ \{y\}" in rendering.tex(sheet)
    assert "M\\|N" in rendering.markdown(sheet)
