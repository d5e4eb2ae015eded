"""Which runs count, and what is computed from them."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import fake_runs
import numpy as np
import pandas as pd
import pytest
from reprise.__main__ import main
from reprise.errors import RepriseError
from reprise.papers import load_paper
from reprise.reporting.answers import Answers
from reprise.reporting.claim_rows import judged_claims
from reprise.reporting.finished import load_results
from reprise.reporting.lookup import Cell, Missing
from reprise.reporting.pairs import compare_pairs
from reprise.reporting.shortcuts import Taken
from reprise.reporting.tidy import COLUMNS, cells, read_tidy
from reprise.reporting.verdict_rows import departure, judged, orders, remake
from reprise.stages import collect

PAPER = load_paper(fake_runs.PAPER)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return load_results(PAPER, fake_runs.make(tmp_path_factory.mktemp("tree")))


def row(frame: pd.DataFrame, **wanted: object) -> pd.Series:
    found = frame[np.logical_and.reduce([frame[name] == value for name, value in wanted.items()])]
    assert len(found) == 1, f"{len(found)} rows for {wanted}"
    return found.iloc[0]


def test_cells_are_means_over_seeds(results):
    cell = {"dataset": "adressa", "reading": "sound", "method": "MACR_MF", "variant": "main"}
    one = row(cells(results.frame), **cell, metric="hr", k=20, group="")
    # Seeds 1, 2, 3 hit 140, 142 and 138 of 1,000 users.
    assert one["values"] == (0.140, 0.142, 0.138)
    assert one["mean"] == pytest.approx((140 + 142 + 138) / 3 / 1000)
    assert one["sd"] == pytest.approx(0.002)
    assert one["seeds"] == 3


def test_metrics_csv_holds_lists_sweeps_costs_and_statistics(results, tmp_path):
    arguments = [f"{key}={getattr(results.config, key)}" for key in ("results", "resources")] + [
        "datasets=adressa",
        "seeds=3",
    ]
    assert main(["collect", "macr", "--config", *arguments]) == 0
    path = Path(results.config.results, "macr", "metrics.csv")
    assert path.read_text().splitlines()[0] == "dataset,reading,backbone,method,variant,seed,metric,k,group,value"
    frame = read_tidy(path, COLUMNS)
    sound = {"reading": "sound", "method": "MACR_MF", "variant": "main", "seed": 2}
    assert row(frame, **sound, metric="hr", k=20, group="c=12;own_epoch;valid")["value"] == pytest.approx(
        0.142 - 18 * 0.0004
    )
    assert row(frame, **sound, metric="wall_s")["value"] == 122.0
    assert row(frame, dataset="adressa", method="", metric="items")["value"] == 744
    pd.testing.assert_frame_equal(frame, results.metrics.reset_index(drop=True), check_exact=True)


def test_a_run_of_other_code_is_not_used(tmp_path):
    config = fake_runs.make(tmp_path)
    path = Path(config.results, fake_runs.RUN.folder, "run.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"code": "of yesterday"}))
    results = load_results(PAPER, config)
    assert results.absent[fake_runs.RUN].startswith("stale")
    assert [run.seed for run in results.seeds("adressa", "sound", "MACR_MF")] == [2, 3]
    assert row(cells(results.frame), reading="sound", method="MACR_MF", variant="main", metric="hr", k=20, group="")[
        "mean"
    ] == pytest.approx(0.140)


def test_absent_cells_have_a_reason(tmp_path):
    results = load_results(PAPER, fake_runs.make(tmp_path, methods="MF"))
    assert results.reason("adressa", "sound", "MACR_MF") == "left out by methods=MF"
    assert results.reason("globo", "sound", "MF") == "left out by datasets=adressa"
    assert results.reason("adressa", "sound", "ExpoMF") == "left out by methods=MF"
    assert (
        load_results(PAPER, results.config.model_copy(update={"seeds": (9,)})).reason("adressa", "sound", "MF")
        == "no finished run"
    )


def test_pairs(results):
    pairs = compare_pairs(results)
    one = row(pairs, exhibit="table2", reading="sound", lhs="MACR_MF", rhs="MF", metric="hr", k=20)
    assert one["diff"] == pytest.approx(0.140 - 0.111)
    assert 0 < one["low"] < one["diff"] < one["high"]
    # Means differ by .029, each sd is .002: t = .029 / sqrt(2 * .002^2 / 3) = 17.76 with 4 degrees of freedom.
    assert one["p"] == pytest.approx(6e-05, rel=0.05)
    assert one["p"] < one["p_adjusted"] <= one["p"] * PAPER.tables["table2"].family
    # 29 of 1,000 users are hit by one of the two alone.
    assert one["paired_diff"] == pytest.approx(0.029)
    assert one["paired_wilcoxon_p"] < 1e-4


def test_what_no_user_has_is_compared_of_no_pair(results):
    """`next_id` is a share of all hits; an exhibit may show it, but there is nothing to pair."""
    table = PAPER.tables["table2"]
    tables = PAPER.tables | {"table2": table.model_copy(update={"metrics": (*table.metrics, "next_id")})}
    shown = load_results(PAPER.model_copy(update={"tables": tables}), results.config)
    pairs = compare_pairs(shown).query("exhibit == 'table2'")
    assert set(pairs["metric"]) == set(table.metrics)


def test_no_p_where_the_test_set_selects(results):
    printed = compare_pairs(results).query("reading == 'printed'")
    assert len(printed)
    assert printed[["p", "p_adjusted", "paired_t_p", "paired_wilcoxon_p"]].isna().all(axis=None)
    assert printed["note"].str.contains("selects on the test set").all()


def test_a_pair_outside_the_claims_has_no_adjusted_p(results):
    pair = row(
        compare_pairs(results),
        exhibit="table2",
        reading="sound",
        lhs="Random",
        rhs="Popularity",
        metric="hr",
        k=20,
    )
    assert pair["p"] < 0.05
    assert np.isnan(pair["p_adjusted"])


def test_a_stand_in_is_a_family_of_its_own(tmp_path):
    world = load_results(PAPER, fake_runs.make(tmp_path, "small-world", methods="MF,MACR_MF", readings="sound"))
    pair = row(compare_pairs(world), exhibit="table2", lhs="MACR_MF", rhs="MF", metric="hr", k=20)
    # Three tests of equal data, the smallest times the family's size.
    assert pair["p_adjusted"] == pytest.approx(pair["p"] * PAPER.tables["table2"].family, rel=0.02)


def test_every_printed_number_has_a_verdict_in_every_reading(results):
    numbers = judged(results)
    printed = pd.read_csv(PAPER.folder / "reported.csv")
    assert len(numbers) == len(printed) * len(PAPER.readings)
    one = row(numbers, table="2", reading="printed", dataset="adressa", method="MACR_MF", metric="hr", k=20)
    assert (one["verdict"], one["seeds"]) == ("reproduced", 3)
    there, here = (row(numbers, table="2", reading=reading, dataset="adressa", method="MF", metric="ndcg")
                   for reading in ("printed", "sound"))
    assert there["verdict"] == here["verdict"] == "off (low)"
    assert (there["reason"], here["reason"]) == ("unknown", "unknown: it is off (low) as printed, too")
    assert row(numbers, table="1", reading="sound", dataset="adressa", metric="items")["verdict"] == "reproduced"
    moved = results.frame.assign(value=results.frame["value"].where(results.frame["metric"] != "items", 2000.0))
    counts = judged(dataclasses.replace(results, frame=moved)).query("dataset == 'adressa' and metric == 'items'")
    assert set(counts["reason"]) == {"unknown"} and len(counts) == len(PAPER.readings)  # a count has but one reading
    absent = numbers[numbers["verdict"] == "not run"]
    assert (absent["reason"] != "").all()


def test_a_number_far_above_is_off_high(tmp_path):
    config = fake_runs.make(tmp_path, methods="MACR_MF", readings="printed")
    for seed in config.seeds:
        fake_runs.move(config, fake_runs.other_seed(seed, fake_runs.PRINTED), 0.05)
    results = load_results(PAPER, config)
    one = row(
        judged(results), table="2", reading="printed", dataset="adressa", method="MACR_MF", metric="hr"
    )
    assert one["verdict"] == "off (high)"
    assert one["deviation"] == pytest.approx(0.05 / 0.14)


def test_commands_remake_a_cell(results):
    command = row(
        judged(results), table="2", reading="sound", dataset="adressa", method="MACR_MF", metric="hr"
    )["command"]
    selected = "datasets=adressa methods=MACR_MF readings=sound seeds=3"
    assert command == f".venv/bin/snakemake --cores all macr_table2 --config {selected}"
    other = dataclasses.replace(results, config=results.config.model_copy(update={"seeds": (1, 2, 3, 4, 5)}))
    again = row(judged(other), table="2", reading="sound", dataset="adressa", method="MACR_MF", metric="hr")
    assert again["command"] == command, "the seeds are those of the number, not of the selection"
    odd = results.config.model_copy(update={"seeds": (7,), "max_epochs": 2})
    assert remake("macr", "table2", odd, "adressa", "sound", "MF").endswith("'seeds=[7]' max_epochs=2")
    gated = remake("decrs", "table3", results.config, "ml-1m", "sound", "FM")
    assert "datasets=ml-1m licences=movielens methods=FM" in gated


def test_a_command_says_what_made_its_number_another(results, monkeypatch):
    monkeypatch.setattr(Taken, "text", lambda *place: "max_epochs=80 for 300; from random weights")
    where = {"table": "2", "reading": "sound", "dataset": "adressa", "method": "MACR_MF", "metric": "hr"}
    recovered = dataclasses.replace(results, frame=results.frame.assign(data="recovered"))
    command = row(judged(recovered), **where)["command"]
    assert command.endswith("seeds=3 max_epochs=80  # with official data; here they were recovered")


def test_a_misspelled_selection_takes_nothing_away(results):
    for key in ("datasets", "methods", "readings"):
        wrong = results.config.model_copy(update={key: ("nope",)})
        with pytest.raises(RepriseError, match=f"{key}=nope"):
            collect.main(argparse.Namespace(paper="macr"), wrong)


def test_departure_names_the_switches():
    assert departure(PAPER, "adressa", "printed", "MACR_MF") == ""
    assert "fusion=pairwise for batch_outer" in departure(PAPER, "adressa", "sound", "MACR_MF")


def test_claims_are_judged_in_both_readings(results):
    claims = judged_claims(results)
    assert len(claims) == 2 * len(pd.read_csv(PAPER.folder / "claims.csv"))
    assert row(claims, id="C003", reading="sound")["verdict"] == "holds"
    assert np.isnan(row(claims, id="C003", reading="printed")["p"])
    # The tent rises to c = 30, so it rises to 29 and does not yet fall from there.
    assert row(claims, id="C359", reading="printed")["verdict"] == "holds"
    assert row(claims, id="C360", reading="printed")["verdict"] != "holds"


def test_the_order_of_the_methods(results):
    one = row(orders(results), table="2", dataset="adressa", reading="sound", metric="hr")
    assert (one["tau_b"], one["n"]) == (1.0, 4)


def test_answers(results):
    answers = Answers(results, "sound")
    assert not answers.selects_on_test
    assert Answers(results, "printed").selects_on_test
    sample = answers.sample(Cell("adressa", "MF", "hr", 20))
    assert sample.seeds == (1, 2, 3) and sample.means == pytest.approx([0.111, 0.113, 0.109])
    assert sample.spread.shape == (fake_runs.USERS, 3)
    # A search on validation has its own-epoch curve there; on test only the selected epoch was read.
    curve = answers.curve(Cell("adressa", "MACR_MF", "hr", 20), "c")
    assert list(curve.index) == list(range(61))
    assert curve.loc[0, 1] == pytest.approx(0.140 - 30 * 0.0008)
    assert answers.printed(Cell("adressa", "MACR_MF", "hr", 20)) == 0.140
    assert answers.methods("adressa", "MF")[0] == "MF" and "LightGCN" not in answers.methods("adressa", "MF")
    with pytest.raises(Missing, match="no finished run"):
        answers.sample(Cell("adressa", "ExpoMF", "hr", 20))
    with pytest.raises(Missing, match="no mrr@20 of MF was measured"):
        answers.sample(Cell("adressa", "MF", "mrr", 20))
    with pytest.raises(Missing, match="no finished run"):  # the tree has no variants
        answers.curve(Cell("adressa", "MACR_MF", "hr", 20), "alpha")
    with pytest.raises(Missing, match="no sweep over gamma"):
        answers.curve(Cell("adressa", "MACR_MF", "hr", 20), "gamma")
