"""Rows that are a method with other settings: which run stands behind them, and what MACR's ablations compute."""

from __future__ import annotations

import argparse
import re

import fake_runs
import pytest
import torch
from reprise.data.interactions import Interactions
from reprise.errors import RepriseError
from reprise.methods import pairs
from reprise.papers import Run, load_paper, loading, resolve, variant_of
from reprise.papers.specs import starts_of
from reprise.reporting.claim_rows import judged_claims
from reprise.reporting.finished import load_results
from reprise.reporting.pairs import compare_pairs
from reprise.reporting.shortcuts import shortcuts_of
from reprise.reporting.tables import table_frame
from reprise.reporting.verdict_rows import judged, orders
from reprise.stages.run import named_run
from reprise.training.build import build

PAPER = load_paper(fake_runs.PAPER)
SOUND = ("adressa", "sound")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree")
    return load_results(PAPER, fake_runs.make(folder, variants=True, methods="MF,MACR_MF"))


def test_rows_of_equal_settings_are_one_run():
    for label in ("MACR_MF", "MACR_MF[alpha=1e-3;beta=1e-3]", "MACR_MF[beta=1e-3;alpha=1e-3]", "MACR_MF[alpha=0.001]"):
        assert variant_of(PAPER, label, *SOUND) == ("MACR_MF", "main")
    for label in ("MACR_MF[alpha=1e-2]", "MACR_MF[alpha=1e-2;beta=1e-3]"):
        assert variant_of(PAPER, label, *SOUND) == ("MACR_MF", "alpha=0.01")
    # On the small world alpha is 1e-2 already, so there the same row is another run.
    assert variant_of(PAPER, "MACR_MF[alpha=1e-3]", "small-world", "sound") == ("MACR_MF", "alpha=0.001")
    assert variant_of(PAPER, "MACR_MF w/o L_I", *SOUND) == ("MACR_MF", "alpha=0")


def test_a_folder_names_its_run_and_needs_no_quoting():
    for label in PAPER.labels:
        for dataset in ("adressa", "small-world"):
            method, variant = variant_of(PAPER, label, dataset, "printed")
            run = Run(PAPER.name, dataset, "printed", PAPER.method(label).backbone, method, variant, 1)
            assert re.fullmatch(r"[\w./=~+-]+", run.folder)
            assert Run.named(PAPER, dataset, method, run.folder.split("/")[-2], 1) == run
            assert resolve(PAPER, dataset, "printed", run.label) == resolve(PAPER, dataset, "printed", label)


def test_only_the_named_settings_differ():
    full, ablated = (resolve(PAPER, *SOUND, label) for label in ("MACR_MF", "MACR_MF w/o user branch"))
    assert ablated == full | {"method": full["method"] | {"user_branch": False}}


@pytest.mark.parametrize(
    "label", ["Nobody", "MACR_MF w/o nothing", "MACR_MF[alpha]", "MACR_MF[alpha=1e-3", "MACR_MF[alpha=1;]"]
)
def test_a_label_that_names_nothing_is_one_clear_error(label):
    assert not PAPER.has_row(label)
    with pytest.raises(RepriseError, match="method of macr"):
        PAPER.row(label)


def test_a_row_with_an_unknown_setting_is_refused_before_anything_runs():
    with pytest.raises(RepriseError, match="unknown key 'gamma'"):
        resolve(PAPER, *SOUND, "MACR_MF[gamma=1]")
    table = PAPER.tables["table4"].model_copy(update={"methods": ("MF[a=1]",)})
    broken = PAPER.model_copy(update={"tables": {"table4": table}})
    with pytest.raises(RepriseError, match="unknown key 'a'"):
        loading.check(broken, "papers/macr/paper.yaml")


def test_tables_show_every_row_and_one_run_serves_several(results):
    significance = compare_pairs(results)
    found = {}
    for name in ("table3", "table4", "table5"):
        frame = table_frame(name, results, significance)
        assert list(frame["method"].unique()) == list(PAPER.tables[name].methods)
        assert frame["mean"].notna().all() and frame["printed"].notna().all()
        rows = frame[(frame["metric"] == "hr") & (frame["reading"] == "sound")]
        found |= dict(zip(rows["method"], rows["mean"], strict=True))
    assert found["MACR_MF w/o item branch"] == pytest.approx(0.116)
    assert found["MACR_MF[alpha=1e-5;beta=1e-3]"] == pytest.approx(0.133)
    assert found["MACR_MF"] == found["MACR_MF[alpha=1e-3;beta=1e-3]"] == found["MACR_MF[beta=1e-3;alpha=1e-3]"]
    # A claim writes `[alpha=1e-2]`, the table `[alpha=1e-2;beta=1e-3]`: the pair counts as claimed, so p is adjusted.
    pair = significance.query("exhibit == 'table4' and reading == 'sound' and metric == 'hr' and p_adjusted.notna()")
    assert [tuple(row) for row in pair[["lhs", "rhs"]].to_numpy()] == [
        ("MACR_MF[alpha=1e-2;beta=1e-3]", "MACR_MF[alpha=1e-3;beta=1e-3]")
    ]


def test_verdicts_and_order_of_variants(results):
    numbers = judged(results).query("metric == 'hr' and reading == 'printed'")
    numbers = numbers[numbers["table"].isin(["3", "4", "5"])]
    assert len(numbers) == 5 + 4 + 4 and (numbers["verdict"] == "reproduced").all()
    order = orders(results).query("table == '3' and metric == 'hr' and reading == 'sound'")
    assert (order["tau_b"].item(), order["n"].item()) == (1.0, 5)


def test_claims_on_variants_are_judged(results):
    claims = judged_claims(results).set_index(["id", "reading"])["verdict"]
    assert claims["C326", "sound"] == "holds"  # .140 against .116
    assert claims["C341", "sound"] == "holds"  # w/o L_I .124 against w/o item branch .116
    assert claims["C347", "sound"] == "holds"  # .133, .139, .140 over alpha; every seed moves all points alike
    assert set(claims[[(f"C{n}", "sound") for n in range(323, 359)]]) <= {"holds", "undecided", "contradicted"}


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(3)
    cells = torch.nonzero(torch.rand(30, 20, generator=generator) < 0.3).numpy()
    return Interactions.of(cells, 30, 20)


def logistic(x):
    return torch.nn.functional.softplus(-x).mean()


@pytest.mark.parametrize("fusion", ["pairwise", "batch_outer"])
@pytest.mark.parametrize("branches", [(True, True), (True, False), (False, True)])
def test_the_loss_of_an_ablation_is_written_out(data, fusion, branches):
    item_branch, user_branch = branches
    spec = resolve(PAPER, *SOUND, "MACR_MF[alpha=0.3;beta=0.2]")
    spec["method"] |= {"fusion": fusion, "item_branch": item_branch, "user_branch": user_branch}
    method = build(spec, data, 1, "search")
    with torch.no_grad():
        for table in method.parameters():
            table *= 3  # away from s(0) = 1/2, where every gate is alike
    batch = pairs(method.model, torch.arange(6), torch.arange(6), torch.arange(6) + 9)
    user = (batch.user @ method.user_head)[:, 0]
    good, bad = (batch.good @ method.item_head)[:, 0], (batch.bad @ method.item_head)[:, 0]
    one = torch.ones(6)
    gate_user = user.sigmoid() if user_branch else one
    gates = [(item.sigmoid() if item_branch else one) * gate_user for item in (good, bad)]
    if fusion == "pairwise":
        expected = logistic(gates[0] * batch.positive) + logistic(-gates[1] * batch.negative)
    else:  # entry (a, b): the gates of pair a with the score of pair b
        expected = logistic(gates[0][:, None] * batch.positive) + logistic(-gates[1][:, None] * batch.negative)
    if item_branch:
        expected = expected + 0.3 * (logistic(good) + logistic(-bad))
    if user_branch:
        expected = expected + 0.2 * (logistic(user) + logistic(-user))
    torch.testing.assert_close(method.loss(batch), expected)


@pytest.mark.parametrize(("head", "ego"), [("mlp", False), ("linear", True), ("mlp", True)])
def test_heads_as_the_paper_words_them(data, head, ego):
    """y = ReLU(x W) w in place of x w, of a LightGCN's own rows in place of the propagated ones."""
    spec = resolve(PAPER, *SOUND, "MACR_LightGCN")
    spec["method"] |= {"head": head, "ego": ego, "alpha": 1.0, "beta": 0.5}
    method = build(spec, data, 1, "search")
    model, users = method.model, torch.arange(6)
    batch = pairs(model, users, users, users + 9)
    shown = model.represent(users)
    of_users, of_items = (model.user[users], model.item) if ego else (shown.user, shown.item)
    if head == "mlp":
        of_users, of_items = (of_users @ method.user_hidden).relu(), (of_items @ method.item_hidden).relu()
    user, item = (of_users @ method.user_head)[:, 0], (of_items @ method.item_head)[:, 0]
    good, bad = item[users], item[users + 9]
    gates = [one.sigmoid() * user.sigmoid() for one in (good, bad)]
    expected = logistic(gates[0] * batch.positive) + logistic(-gates[1] * batch.negative)
    expected = expected + logistic(good) + logistic(-bad) + 0.5 * (logistic(user) + logistic(-user))
    torch.testing.assert_close(method.loss(batch), expected)
    torch.testing.assert_close(method.item_gate(users), item.sigmoid())
    plain = build(resolve(PAPER, *SOUND, "MACR_LightGCN"), data, 1, "search")
    assert not torch.allclose(plain.item_gate(users), method.item_gate(users), atol=1e-3)


def test_without_the_item_branch_the_ranking_is_the_models_own(data):
    method = build(resolve(PAPER, *SOUND, "MACR_MF w/o item branch"), data, 1, "search")
    users = torch.arange(30)
    assert (method.choices(), method.sweep()) == ([{}], [])
    assert torch.equal(method.adjust(method.scores(users), {}), method.model.scores(users))
    # Without the user branch nothing changes at inference: (y_k - c) s(y_i).
    other = build(resolve(PAPER, *SOUND, "MACR_MF w/o user branch"), data, 1, "search")
    scores = other.scores(users)
    torch.testing.assert_close(other.adjust(scores, {"c": 7}), (scores - 7) * other.item_gate(users))


def test_every_point_of_a_sweep_over_dacsr_starts_from_the_same_two_runs():
    dacsr = load_paper("dacsr")
    found = {label: starts_of(dacsr, label) for name in ("figure3", "figure4") for label in dacsr.exhibits[name].methods
             if label.startswith("DACSR")}
    same = {"accuracy": "SASRec_D64", "calibration": "SASRec_D64_calibration"}
    assert len(found) == 10 + 8 and all(starts == same for starts in found.values())


@pytest.mark.parametrize("row", ["DecRS_FM", "DecRS_NFM", "DecRS-on-FM_NFM", "DecRS-EP_FM", "FM+FM", "NFM+NFM"])
@pytest.mark.parametrize("dataset", ["ml-1m", "amazon-book"])
def test_a_published_alpha_is_fixed_as_printed_and_chosen_on_validation_where_sound(row, dataset):
    decrs = load_paper("decrs")
    printed, sound = (resolve(decrs, dataset, reading, row)["rerank"]["alpha"] for reading in ("printed", "sound"))
    published = {"ml-1m": (0.2, 0.4), "amazon-book": (0.5, 1.0)}[dataset]
    assert printed == published["NFM" in row] and len(sound) == 10


def test_only_rows_that_share_windows_are_said_to_overlap_them():
    ipsrec = load_paper("ipsrec")
    said = {(reading, row): "overlap" in " ".join(shortcuts_of(ipsrec, "ml-1m", reading, row))
            for reading in ipsrec.readings for row in ("SASRec", "Caser", "SR-GNN", "IPSRec-S")}
    assert {key for key, overlap in said.items() if overlap} == {("sound", "SASRec"), ("sound", "IPSRec-S")}


def test_every_row_of_dacsr_on_long_histories_is_said_to_overlap_windows():
    dacsr = load_paper("dacsr")
    trained = [name for name, row in dacsr.methods.items() if row.rerank or row.model not in ("random", "popularity")]
    for reading in dacsr.readings:
        said = {(dataset, row): "overlap" in " ".join(shortcuts_of(dacsr, dataset, reading, row))
                for dataset in ("ml-1m", "beauty") for row in [*trained, "DACSR[weight=0.1]", "CaliRec[weight=0.1]"]}
        assert {key for key, overlap in said.items() if overlap} == {key for key in said if key[0] == "ml-1m"}


@pytest.mark.parametrize(("label", "reading", "folder"), [
    ("MACR_MF w/o user branch", "sound", "MACR_MF/sound-user_branch=false"),
    ("MACR_MF[alpha=1e-2;beta=1e-3]", "printed", "MACR_MF/printed-alpha=0.01"),
    ("MACR_MF[alpha=1e-3;beta=1e-3]", "printed", "MACR_MF/printed"),
    ("MACR_MF", "sound-alpha=0.01", "MACR_MF/sound-alpha=0.01"),
])
def test_a_stage_takes_a_row_as_tables_name_it(label, reading, folder):
    words = argparse.Namespace(paper="macr", dataset="adressa", method=label, reading=reading, seed=3)
    assert named_run(words).folder == f"macr/adressa/runs/{folder}/seed3"


def test_a_row_of_a_reading_that_is_none_is_named():
    with pytest.raises(RepriseError, match="reading"):
        named_run(argparse.Namespace(paper="macr", dataset="adressa", method="MACR_MF w/o L_I", reading="both", seed=1))
