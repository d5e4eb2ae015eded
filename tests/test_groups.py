"""Means over groups of items and users: by hand, by brute force, on the paper's own data, in claims and figures."""

from __future__ import annotations

import dataclasses

import fake_runs
import numpy as np
import pandas as pd
import pytest
import torch
from known_results import Known, claim
from matplotlib.figure import Figure
from reprise.data.interactions import Interactions
from reprise.data.prepared import Prepared
from reprise.errors import RepriseError
from reprise.evaluation.groups import FEWEST_USERS, Groups, group_names, item_recall, shares_of
from reprise.files import read_json, write_json
from reprise.papers import Run, load_paper
from reprise.reporting.answers import Answers
from reprise.reporting.claim_rows import judged_claims
from reprise.reporting.finished import load_results
from reprise.reporting.judging import judge_claim
from reprise.reporting.lookup import Cell, Missing
from reprise.reporting.plots import _condensed, draw, one_legend
from reprise.reporting.printed import printed_claims, restated
from reprise.reporting.record import recordable
from reprise.training.build import build
from reprise.training.execution import executing
from reprise.training.measuring import _gates, write_groups
from safetensors.numpy import load_file

PAPER = load_paper(fake_runs.PAPER)
FIGURES = ("figure1", "figure8", "figure9", "figure10", "figure11")


def test_an_edge_belongs_to_the_group_below_it():
    groups = Groups("items", [10, 50], np.array([0, 10, 11, 50, 51, 900]))
    assert groups.names == ["items<=10", "items11-50", "items>50"]
    assert list(groups.sizes) == [2, 2, 2]


def test_a_user_without_training_rows_stands_in_no_group():
    assert list(Groups("users", [5, 7], np.array([0, 1, 5, 6, 8])).sizes) == [2, 1, 1]


def test_means_leave_out_nothing_but_nan_and_groups_of_few_users():
    counts, values = np.array([1, 2, 20, 30]), np.array([0.5, np.nan, 0.2, 0.4])
    assert Groups("items", [10], counts).means("m", 20, values) == [
        ("m", 20, "items<=10", 0.5),
        ("m", 20, "items>10", pytest.approx(0.3)),
    ]
    many = np.r_[np.full(FEWEST_USERS, 1), np.full(FEWEST_USERS - 1, 20)]
    assert [row[2] for row in Groups("users", [10], many).means("m", None, np.ones(len(many)))] == ["users<=10"]


def test_item_recall_by_hand():
    # Item 0: users 0 and 1 sought it, user 0 has it. Item 1: user 2 sought it, only user 0 has it. Item 2: not sought.
    lists = pd.DataFrame({"user": [0, 0, 1], "item": [0, 1, 2]})
    found = item_recall(lists, np.array([[0, 0], [1, 0], [2, 1]]), 3)
    np.testing.assert_array_equal(found, [0.5, 0.0, np.nan])


def test_group_means_equal_a_loop_over_everything():
    rng = np.random.default_rng(0)
    n_users, n_items, edges = 40, 25, [3, 6]
    test = np.argwhere(rng.random((n_users, n_items)) < 0.1)
    places = [(u, i) for u in range(n_users) for i in rng.permutation(n_items)[:4]]
    lists = pd.DataFrame(places, columns=["user", "item"])
    counts = rng.integers(0, 10, n_items)
    groups = Groups("items", edges, counts)
    recall = groups.means("item_recall", 4, item_recall(lists, test, n_items))
    frequency = groups.means("frequency", 4, shares_of(np.bincount(lists["item"], minlength=n_items)))
    shown = set(map(tuple, lists.to_numpy()))
    for group, (name, low, high) in enumerate([("items<=3", 0, 3), ("items4-6", 4, 6), ("items>6", 7, 99)]):
        members = [item for item in range(n_items) if low <= counts[item] <= high]
        sought = {item: [u for u, i in test if i == item] for item in members}
        rates = [np.mean([(u, item) in shown for u in users]) for item, users in sought.items() if users]
        assert recall[group][2:] == (name, pytest.approx(np.mean(rates)))
        places = [sum(i == item for _, i in shown) / len(lists) for item in members]
        assert frequency[group][2:] == (name, pytest.approx(np.mean(places)))
    assert sum(row[3] * size for row, size in zip(frequency, groups.sizes, strict=True)) == pytest.approx(1)


def test_adressas_groups_are_those_of_the_paper(request):
    folder = request.config.rootpath / "resources/canonical/macr-adressa"
    if not (folder / "interactions.parquet").exists():
        pytest.skip("Adressa is not at hand: snakemake macr_table1")
    frame = pd.read_parquet(folder / "interactions.parquet").query("part == 'train'")
    items, users = (Groups(f"{kind}s", PAPER.groups[f"{kind}s"], np.bincount(frame[kind])) for kind in ("item", "user"))
    assert list(items.sizes) == [370, 223, 32, 16, 42, 61]
    assert list(users.sizes) == [3450, 4019, 3127, 1969, 613, 306]


# Claims: figures by hand, seeds half a thousandth apart.


def means(*values: float, seeds: int = 3) -> pd.DataFrame:
    names = group_names("items", [10, 50])
    rows = [[value + seed * 5e-4 for seed in range(seeds)] for value in values]
    return pd.DataFrame(rows, index=names[: len(values)])


def judged_on(grouped, **row) -> tuple[str, float]:
    verdict = judge_claim(claim(**row), Known({("d", "A", "hr"): 0.1}, grouped=grouped))
    return verdict.verdict, verdict.effect


def test_a_comparison_holds_in_every_group_that_it_names():
    grouped = {"A": means(0.1, 0.2, 0.5), "B": means(0.1, 0.3, 0.4)}
    assert judged_on(grouped, group="items>50") == ("holds", pytest.approx(0.1))
    assert judged_on(grouped, group="items<=10")[0] == "undecided"
    assert judged_on(grouped, group="items>50; items11-50") == ("contradicted", pytest.approx(-0.1))
    assert judged_on(grouped, kind="worse_than", group="items11-50")[0] == "holds"
    assert judged_on(grouped, group="items51-60")[0] == "not run"


def test_the_test_set_has_one_exact_number():
    grouped = {"A": means(0.1, 0.2, 0.5), "the test set": means(0.15, 0.15, 0.15, seeds=1)}
    assert judged_on(grouped, rhs="the test set", group="items>50") == ("holds", pytest.approx(0.3505))
    assert judged_on(grouped, rhs="the test set", group="items<=10")[0] == "contradicted"


def test_a_method_with_one_seed_is_not_known_exactly():
    grouped = {"A": means(0.1, 0.2, 0.5), "B": means(0.15, 0.15, 0.15, seeds=1)}
    for one, other in (("A", "B"), ("B", "A")):
        assert judged_on(grouped, lhs=one, rhs=other, group="items>50")[0] == "undecided"


def test_a_gain_is_compared_with_the_gain_in_every_other_group():
    grouped = {"A": means(0.2, 0.4, 0.7), "B": means(0.1, 0.3, 0.4)}  # gains .1, .1 and .3
    assert judged_on(grouped, lhs="A - B in items>50", rhs="other groups") == ("holds", pytest.approx(0.2))
    assert judged_on(grouped, lhs="A - B in items<=10", rhs="other groups")[0] == "contradicted"


def test_a_trend_allows_ties_and_names_the_groups_where_it_turns():
    assert judged_on({"A": means(0.1, 0.1, 0.5)}, kind="monotone", rhs="increasing")[0] == "holds"
    falls = judge_claim(
        claim(kind="monotone", rhs="increasing"), Known({("d", "A", "hr"): 0}, grouped={"A": means(0.1, 0.5, 0.3)})
    )
    assert (falls.verdict, falls.reason) == ("contradicted", "turns back from items11-50 to items>50")


# From runs to the paper's claims and figures.


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return load_results(PAPER, fake_runs.make(tmp_path_factory.mktemp("tree")))


def test_every_claim_of_the_figures_is_judged(results):
    claims = judged_claims(results).set_index(["id", "reading"])["verdict"]
    wanted = claims[[(f"C{n}", reading) for n in range(363, 376) for reading in PAPER.readings]]
    assert not (wanted == "not run").any()
    assert (claims["C364", "sound"], claims["C365", "sound"]) == ("holds", "holds")  # the slope is half of MF's
    assert (claims["C372", "sound"], claims["C373", "sound"]) == ("contradicted", "holds")  # falls, rises


def test_a_restated_claim_must_exist():
    odd = PAPER.model_copy(update={"restated": {"C999": {"lhs": "MF"}}})
    with pytest.raises(RepriseError, match="C999"):
        restated(odd, printed_claims(PAPER))


def test_what_was_not_measured_says_so(results):
    with pytest.raises(Missing, match="no user_gate over groups was measured of MF"):
        Answers(results, "sound").groups(Cell("adressa", "MF", "user_gate", 20))


def test_groups_go_on_record_without_the_runs(results):
    recorded = recordable(results)
    assert {"frequency", "item_recall", "item_gate", "user_gate"} <= set(recorded["metric"])


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_plots_every_group_in_order(results, name):
    drawing, exhibit = draw(name, results), PAPER.figures[name]
    assert len(drawing.plotted) == len(exhibit.methods) * len(PAPER.readings) * 6
    lines = [one for axes in drawing.figure.axes for one in axes.get_lines() if len(one.get_xdata()) == 6]
    assert len(lines) >= len(exhibit.methods) * len(PAPER.readings)
    assert all(list(one.get_xdata()) == [0, 1, 2, 3, 4, 5] for one in lines)


@pytest.mark.parametrize("name", FIGURES)
def test_panels_stand_in_the_order_of_the_papers_files_whatever_the_rows(results, name):
    plotted = draw(name, dataclasses.replace(results, frame=results.frame.iloc[::-1])).plotted
    assert list(plotted["reading"].unique()) == list(PAPER.readings)
    for _, part in plotted.groupby("reading"):
        shown = set(part["method"])
        assert list(part["method"].unique()) == [one for one in PAPER.figures[name].methods if one in shown]


def test_the_caption_says_what_was_found(results):
    assert "MACR_MF, Adressa, sound: falls (0.902, 0.802," in draw("figure10", results).caption
    assert "MACR_MF, Adressa, sound: rises" in draw("figure11", results).caption


def test_a_figure_says_which_lines_it_lacks(results):
    lacking = "Not drawn: MACR_LightGCN (Adressa, printed and sound): no finished run."
    others = results.frame[results.frame["method"] != "MACR_LightGCN"]
    gone = [run for run in (*results.absent, *results.runs) if run.method == "MACR_LightGCN"]
    absent = dataclasses.replace(
        results, frame=others, absent=dict.fromkeys(gone, "no finished run"),
        runs={run: record for run, record in results.runs.items() if run not in gone})
    drawing = draw("figure10", absent)
    assert drawing.caption.endswith(lacking) and " ".join(drawing.figure.get_suptitle().split()) == lacking
    nothing = dataclasses.replace(results, frame=others[:0])
    assert "Not drawn" not in draw("figure10", nothing).caption  # which is empty, and says so itself


@pytest.mark.parametrize(("letters", "columns"), [(4, 4), (36, 2), (200, 1)])
def test_a_legend_has_the_columns_that_fit(letters, columns):
    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots()
    for number in range(6):
        axes.plot([0, 1], label=f"{number} " + "x" * letters)
    one_legend(figure)
    (legend,) = figure.legends
    assert legend._ncols == columns and len(legend.get_texts()) == 6
    assert (legend.get_window_extent().width <= figure.bbox.width) == (letters < 200)


def test_points_of_a_sweep_are_counted():
    assert _condensed(["MF", "DACSR[weight=0.1]", "DACSR[weight=0.2]", "CaliRec[weight=0.1]"]) == (
        "MF, 2 points of DACSR, CaliRec")


@pytest.mark.parametrize("ego", [False, True])
def test_gates_of_propagated_rows_and_of_the_tables_own(ego):
    """LightGCN of one layer: rows are the mean of a table's own and of the neighbours', or `ego`, the table's alone."""
    pairs = np.array([[0, 0], [1, 0], [1, 1], [2, 2]])
    spec = {"model": {"name": "lightgcn", "dim": 3, "layers": 1},
            "method": {"name": "macr", "alpha": 0.1, "beta": 0.1, "fusion": "pairwise", "c": "all", "sweep": [0, 4],
                       "ego": ego}}  # fmt: skip
    method = build(spec, Interactions.of(pairs, 3, 3), 1, "search")
    with torch.no_grad():
        for head in (method.item_head, method.user_head):
            head.normal_(generator=torch.Generator().manual_seed(3))
        gates = {name: gate.squeeze(-1).numpy() for name, gate in _gates(method, "cpu", 3).items()}
    user, item = method.model.user.detach().numpy(), method.model.item.detach().numpy()
    near = np.array([[2**-0.5, 0, 0], [0.5, 2**-0.5, 0], [0, 0, 1]])  # 1 / sqrt(degree of user x degree of item)
    rows = {"user": (user + near @ item) / 2, "item": (item + near.T @ user) / 2}
    own = {"user": user, "item": item}
    heads = {"user": method.user_head.detach().numpy(), "item": method.item_head.detach().numpy()}
    assert set(gates) == {"user_gate", "item_gate", "user_gate_ego", "item_gate_ego"}
    for side, head in heads.items():
        for name, shown in ((f"{side}_gate", own if ego else rows), (f"{side}_gate_ego", own)):
            np.testing.assert_allclose(gates[name], 1 / (1 + np.exp(-(shown[side] @ head)[:, 0])), rtol=1e-5)


def test_a_trained_run_measured_again_by_hand(tmp_path):
    rng = np.random.default_rng(0)
    cells = rng.permutation(np.argwhere(rng.random((100, 80)) < 0.15))
    prepared = tmp_path / "results/macr/small-world/data"
    Prepared(100, 80, cells[200:], cells[100:200], cells[:100], "small-world").save(prepared)
    write_json(prepared / "check.json", {})
    config = fake_runs.make_config({"results": str(tmp_path / "results"), "resources": str(tmp_path / "resources"),
                                    "device": "cpu", "max_epochs": 20, "datasets": "small-world"})
    with executing(Run.named(PAPER, "small-world", "MACR_MF", "printed", 1), config) as execution:
        execution.all()
        write_groups(execution)
    measured = pd.read_csv(execution.folder / "groups.csv").set_index(["metric", "group"])["value"]

    (lists,) = execution.folder.glob("test-*")
    model = load_file(lists / "model.safetensors")
    seen = np.zeros((100, 80), bool)
    seen[tuple(execution.data.parts("train+valid").T)] = True
    user_gate, item_gate = (
        1 / (1 + np.exp(-(model[f"model.{side}"] @ model[f"{side}_head"])[:, 0])) for side in ("user", "item"))
    active = (seen.sum(1) > 10) & (seen.sum(1) <= 15)
    assert measured["user_gate", "users11-15"] == pytest.approx(user_gate[active].mean(), abs=1e-6)
    rare = seen.sum(0) <= 10
    assert measured["item_gate", "items<=10"] == pytest.approx(item_gate[rare].mean(), abs=1e-6)

    c = read_json(execution.folder / "run.json")["selected"]["setting"]["c"]
    scores = (model["model.user"] @ model["model.item"].T - c) * item_gate * user_gate[:, None]
    places = np.argsort(np.where(seen, -np.inf, scores))[:, -20:]
    assert measured["frequency", "items<=10"] == pytest.approx(rare[places].mean() / rare.sum())
    sought = np.unique(execution.data.parts("test")[:, 0])
    assert measured["test_user_frequency", "items<=10"] == pytest.approx(rare[places[sought]].mean() / rare.sum())
