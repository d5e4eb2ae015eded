"""Runs that are made of other runs: re-rankers in the store, in a search, in the DAG, and chains of weights."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from reprise import selection
from reprise.__main__ import main
from reprise.config import make_config
from reprise.data import small_tastes
from reprise.data.prepared import Prepared
from reprise.errors import RepriseError
from reprise.files import read_json, read_yaml, write_json
from reprise.papers import MAIN, TUNED, Run, load_paper, loading, schema
from reprise.reporting import record
from reprise.reporting.finished import load_results
from reprise.training.execution import Execution
from reprise.tuning import is_tuned, row_of
from workflow_copy import Copy, copy_workflow

WORLD = "small-tastes"
DACSR = read_yaml(schema.PAPERS / "dacsr/paper.yaml")
ROW = {"backbone": "SASRec", "about": ""}
ROWS = {
    "Chosen": {"rerank": "calibrated", "reranks": "SASRec",
               "settings": {"rerankers": {"calibrated": {"weight": [0.0, 0.3, 0.9]}}}},
    "Diverse": {"rerank": "diversity", "reranks": "SASRec"},
    "Fair": {"rerank": "fairco", "reranks": "SASRec"},
    "Fused": {"rerank": "fused", "reranks": ["SASRec", "SASRec@+1000"]},
    "Slow": {"model": "sasrec", "method": "next_item", "starts_from": "SASRec",
             "settings": {"training": {"learning_rate": 1e-30}}},
}  # fmt: skip
RERANKERS = {"diversity": {"candidates": 50, "theta": [0.0, 0.5]}, "fairco": {"weight": [0.0, 0.5]},
             "fused": {"alpha": [0.0, 0.5], "fusion": "sigmoid"}}  # fmt: skip


def toy(change=lambda values: None):
    """DACSR's paper with smaller models, a grid and more rows, as `paper.yaml` would have it."""
    values = copy.deepcopy(DACSR)
    values |= {"name": "toy", "grid": {"training": {"learning_rate": [0.001, 0.003]}}}
    values["defaults"]["models"]["sasrec"] |= {"dim": 16, "inner": 32, "layers": 1}
    values["defaults"]["rerankers"] |= copy.deepcopy(RERANKERS)
    values["methods"] |= {name: ROW | copy.deepcopy(row) for name, row in ROWS.items()}
    values["tables"]["extra"] |= {"methods": [*ROWS, "SASRec", "CaliRec"], "stand_ins": True}
    change(values)
    return values


@pytest.fixture(scope="module")
def reprise(tmp_path_factory):
    """A stage in a folder of its own that holds the paper `toy` and the prepared small world."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "papers/toy").mkdir(parents=True)
    (folder / "papers/toy/paper.yaml").write_text(yaml.safe_dump(toy(), sort_keys=False))
    for name in ("claims.csv", "reported.csv"):
        shutil.copy(schema.PAPERS / "dacsr" / name, folder / "papers/toy" / name)
    world = small_tastes.make()
    cuts = {"train": (None, -2), "valid": (-2, -1), "test": (-1, None)}
    pairs = {part: np.array([(user, item) for user, items in enumerate(world.histories) for item in items[slice(*cut)]])
             for part, cut in cuts.items()}  # fmt: skip
    features = {"attributes": pa.array([[int(one)] for one in world.category])}
    data = Prepared(len(world.histories), len(world.category), **pairs, status="small-world", ordered=True,
                    features=features)  # fmt: skip
    data.save(folder / "results/toy" / WORLD / "data")
    write_json(folder / "results/toy" / WORLD / "data/check.json", {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "PAPERS", folder / "papers")
        load_paper.cache_clear()
        yield Stage(folder)
    load_paper.cache_clear()


class Stage:
    def __init__(self, folder):
        self.folder, self.store, self.paper = folder, folder / "resources/store", load_paper("toy")
        self.places = {"results": folder / "results", "resources": folder / "resources", "device": "cpu",
                       "threads": 1, "max_epochs": 2}  # fmt: skip

    def config(self, **values):
        return make_config({key: str(value) for key, value in (self.places | values).items()})

    def __call__(self, stage, *words, **values):
        settings = [f"{key}={value}" for key, value in (self.places | values).items()]
        return main([stage, *map(str, words), "--config", *settings])

    def run(self, method, seed=1, preset="sound", **values):
        return self("run", "toy", WORLD, method, preset, seed, **values)

    def shown(self, method, seed=1, preset="sound"):
        return self.folder / "results/toy" / WORLD / "runs" / method / preset / f"seed{seed}"

    def lists(self, method, **where):
        folder = self.shown(method, **where)
        return pd.read_parquet(folder / read_json(folder / "run.json")["selected"]["list"] / "topk.parquet")


@pytest.fixture(scope="module")
def based(reprise):
    """The same with the runs that re-rankers need."""
    assert reprise.run("SASRec") == 0 and reprise.run("SASRec", 1001) == 0
    return reprise


# One run


def test_a_re_ranker_needs_its_base_and_says_so(reprise, capsys):
    shutil.rmtree(reprise.shown("SASRec"), ignore_errors=True)
    shutil.rmtree(reprise.store, ignore_errors=True)
    assert reprise.run("CaliRec") == 1
    said = capsys.readouterr().err
    assert "a finished run of SASRec" in said and "with seed 1" in said


def test_a_re_ranked_run_leaves_the_files_of_the_contract_and_no_weights(based):
    assert based.run("Chosen") == 0
    folder = based.shown("Chosen")
    receipt, base = (read_json(based.shown(name) / "run.json") for name in ("Chosen", "SASRec"))
    assert receipt["spec"]["reranks"] == {"SASRec": {"method": "SASRec", "seed": 0, "code": base["code"]}}
    assert {"run.json", "cost.json", "history.csv", "sweep.csv", "groups.csv"} <= {one.name for one in folder.iterdir()}
    for name in (receipt["selected"]["list"], receipt["selected"]["valid_list"]):
        assert {one.name for one in (folder / name).iterdir()} == {"topk.parquet", "users.parquet", "metrics.csv"}
    cost = read_json(folder / "cost.json")
    assert cost["steps"] == cost["epochs"] == 0 < cost["wall_s"]
    measured = pd.read_csv(folder / receipt["selected"]["list"] / "metrics.csv")
    assert {"recall", "ckl", "ild"} <= set(measured["metric"])


def test_the_choice_is_the_best_on_validation_and_its_curve_is_kept(based):
    assert based.run("Chosen") == 0
    sweep = pd.read_csv(based.shown("Chosen") / "sweep.csv")
    assert len(sweep) == 3 * 2 * 4 and set(sweep["weight"]) == {0.0, 0.3, 0.9}
    receipt = read_json(based.shown("Chosen") / "run.json")
    valid = sweep[(sweep["split"] == "valid") & (sweep["metric"] == "mrr")].set_index("weight")["value"]
    assert receipt["selected"]["setting"] == {"weight": valid.idxmax()}
    assert receipt["selected"]["score"] == valid.max()
    # The curve's test numbers are those of the list that the choice is shown by.
    test = sweep[(sweep["split"] == "test") & (sweep["metric"] == "mrr")].set_index("weight")["value"]
    measured = pd.read_csv(based.shown("Chosen") / receipt["selected"]["list"] / "metrics.csv")
    shown = measured[(measured["metric"] == "mrr") & (measured["k"] == 20)]["value"].item()
    assert test[valid.idxmax()] == pytest.approx(shown, abs=1e-12)


def test_without_weight_every_re_ranker_gives_back_its_base(based):
    for preset, method in (("sound-weight=0", "CaliRec"), ("sound-theta=0", "Diverse"), ("sound-weight=0", "Fair"),
                           ("sound-alpha=0", "Fused")):  # fmt: skip
        assert based.run(method, preset=preset) == 0
        base = based.lists("SASRec", seed=1001 if method == "Fused" else 1)
        assert based.lists(method, preset=preset)[["user", "rank", "item"]].equals(base[["user", "rank", "item"]])
    assert based.run("CaliRec") == 0 and not based.lists("CaliRec")["item"].equals(based.lists("SASRec")["item"])


def test_calibration_brings_lists_nearer_to_histories(based):
    assert based.run("CaliRec") == 0

    def ckl(method):
        folder = based.shown(method)
        users = pd.read_parquet(folder / read_json(folder / "run.json")["selected"]["list"] / "users.parquet")
        return users["ckl@10"].mean()

    assert ckl("CaliRec") < 0.9 * ckl("SASRec")


def test_a_second_call_does_nothing_and_a_lost_run_comes_back_with_the_same_bytes(based, caplog):
    assert based.run("Fused") == 0

    def content():
        return {str(one.relative_to(based.shown("Fused"))): one.read_bytes() for one in based.shown("Fused").rglob("*")
                if one.is_file() and one.name not in ("run.json", "cost.json", "selected.json")}  # fmt: skip

    before, caplog.handler.records[:] = content(), []
    assert based.run("Fused") == 0 and "found in the store" in caplog.text
    shutil.rmtree(based.store / read_json(based.shown("Fused") / "run.json")["fingerprint"])
    assert based.run("Fused") == 0 and content() == before


def test_two_seeds_of_one_row_are_fused_and_only_the_shown_seeds_count(based):
    assert based.run("Fused") == 0
    spec = read_json(based.shown("Fused") / "run.json")["spec"]
    assert {name: one["seed"] for name, one in spec["reranks"].items()} == {"SASRec": 0, "SASRec@+1000": 1000}
    config = based.config(seeds=1, datasets=WORLD, readings="sound", methods="SASRec,Fused")
    planned = {one.run for one in selection.plan(based.paper, ["extra"], config)}
    assert Run("toy", WORLD, "sound", "SASRec", "SASRec", MAIN, 1001) in planned
    results = load_results(based.paper, config)
    assert {run.seed for run in results.runs} == {1} == set(results.frame["seed"].dropna())


def test_store_and_record_take_such_runs(based, monkeypatch, tmp_path):
    assert based.run("Chosen") == 0
    fingerprint = read_json(based.shown("Chosen") / "run.json")["fingerprint"]
    assert based("prune", "--yes") == 0 and (based.store / fingerprint).exists()
    assert based("export", tmp_path / "runs.tar", fingerprint) == 0
    shutil.rmtree(based.store / fingerprint)
    assert based("import", tmp_path / "runs.tar") == 0 and (based.store / fingerprint / "run.json").exists()
    monkeypatch.setattr(record, "RECORD", tmp_path / "record")
    config = based.config(seeds=1, datasets=WORLD, readings="sound", methods="SASRec,Chosen")
    record.add_runs("toy", record.recordable(load_results(based.paper, config)))
    kept = record.read_runs("toy")
    rows = kept[(kept["method"] == "Chosen") & (kept["metric"] == "mrr") & kept["group"].str.contains("weight=0.3")]
    assert len(rows) == 2, "its curve on validation and test"
    assert based("plan", "toy_extra", seeds=1, datasets=WORLD, methods="Chosen,Fused") == 0


# Under a search


def test_a_search_gives_a_re_ranker_tuned_rows(based):
    searching = {"tuning": "search", "trials": 2}
    config = based.config(**searching)
    assert row_of(based.paper, "Chosen", WORLD, "sound", config) == ("Chosen", TUNED)
    assert is_tuned(based.paper, WORLD, "Fused", "sound") and based("tune", "toy", WORLD, "Chosen", "sound") == 1
    assert based.run("Chosen", preset="sound-tuned", **searching) == 1, "nothing was chosen yet"
    run = Run("toy", WORLD, "sound", "SASRec", "Chosen", TUNED, 1)
    assert selection.planned(based.paper, run, config).code is None
    assert based("tune", "toy", WORLD, "SASRec", "sound", **searching) == 0
    assert based.run("SASRec", preset="sound-tuned", **searching) == 0
    assert based.run("Chosen", preset="sound-tuned", **searching) == 0
    receipt, base = (read_json(based.shown(name, preset="sound-tuned") / "run.json") for name in ("Chosen", "SASRec"))
    assert receipt["spec"]["reranks"]["SASRec"]["code"] == base["code"]
    assert selection.planned(based.paper, run, config).code == receipt["code"]


def test_a_trial_starts_from_the_weights_that_a_run_would_start_from(based, capsys):
    """Steps of 1e-30 move nothing, so the published trial scores what the run that it starts from did."""
    searching = {"tuning": "search", "trials": 1}
    assert based("tune", "toy", WORLD, "Slow", "sound", **searching) == 1
    assert "a finished run of SASRec" in capsys.readouterr().err
    search = selection.before_search(based.paper, selection.search_of("toy", WORLD, "Slow", "sound", based.config()))
    assert search == [Run("toy", WORLD, "sound", "SASRec", "SASRec", MAIN, 0)]
    assert based.run("SASRec", 0) == 0 and based("tune", "toy", WORLD, "Slow", "sound", **searching) == 0
    chosen = read_json(based.folder / "results/toy" / WORLD / "tuning/Slow/sound/choice.json")
    assert chosen["score"] == read_json(based.shown("SASRec", 0) / "run.json")["selected"]["score"]


# A stopwatch


def test_a_stopwatch_is_held_to_what_ran_and_the_first_row_is_no_condition(based):
    assert based.run("CaliRec") == 0
    assert based("clock", "toy", WORLD, "table3", "sound", methods="CaliRec,DACSR") == 0
    times = pd.read_csv(based.folder / f"results/toy/{WORLD}/times/table3/sound.csv")
    assert times.groupby("method").size().to_dict() == {"CaliRec": 5}
    found = load_results(based.paper, based.config(datasets=WORLD, seeds=1)).frame
    assert "response_time" in set(found["metric"]) and "response_ratio" not in set(found["metric"])


@pytest.mark.parametrize(("load", "warned"), [(0.9, False), (2.0, True)])
def test_a_stopwatch_says_when_something_else_is_running(based, monkeypatch, capsys, load, warned):
    assert based.run("CaliRec") == 0
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
    assert based("clock", "toy", WORLD, "table3", "sound", methods="CaliRec") == 0
    assert ("at work on something else (load 2.0)" in capsys.readouterr().err) == warned


def test_a_stopwatch_without_a_run_says_so(reprise, capsys):
    assert reprise("clock", "toy", WORLD, "table3", "printed") == 1
    assert "a finished run of one of its rows" in capsys.readouterr().err


def test_times_are_measured_on_the_cpu_whatever_trained_the_runs(based, tmp_path):
    """As on a machine with a GPU: what lies in the store has a GPU's name."""
    assert based.run("CaliRec") == 0
    shutil.copytree(based.folder / "results", tmp_path / "results")
    for name in ("SASRec", "CaliRec"):
        path = tmp_path / based.shown(name).relative_to(based.folder) / "run.json"
        record, run = read_json(path), Run.named(based.paper, WORLD, name, "sound", 1)
        there = Execution(run, based.config(), "cuda")
        shutil.copytree(based.store / record["fingerprint"], tmp_path / "store" / there.fingerprint)
        write_json(path, record | {"cell": there.cell})
    places = {"results": tmp_path / "results", "resources": tmp_path}
    assert based("clock", "toy", WORLD, "table3", "sound", methods="CaliRec", **places) == 0
    times = pd.read_csv(tmp_path / f"results/toy/{WORLD}/times/table3/sound.csv")
    assert set(times["device"].str.split().str[0]) == {"cpu"} and set(times["threads"]) == {1}


# What is refused


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows["Chosen"].update(reranks="Nobody"), "Nobody"),
        (lambda rows: rows["Chosen"].pop("reranks"), "rerank and reranks"),
        (lambda rows: rows["Chosen"].update(model="sasrec"), "without model"),
        (lambda rows: rows["Chosen"].update(reranks="CaliRec"), "rows that are trained"),
        (lambda rows: rows["Chosen"].update(rerank="greedy"), "one of calibrated, diversity, fairco, fused"),
        (lambda rows: rows["Chosen"]["settings"]["rerankers"]["calibrated"].update(weight=2), "weight"),
    ],
)
def test_a_mistake_is_named(reprise, change, said, monkeypatch):
    monkeypatch.setattr(loading, "read_yaml", lambda _: toy(lambda values: change(values["methods"])))
    with pytest.raises(RepriseError) as caught:
        load_paper.__wrapped__("toy")
    assert said in caught.value.text()


def test_lists_longer_than_the_candidates_are_refused(based, capsys):
    assert based.run("CaliRec", preset="sound-candidates=19") == 1
    assert "at least 20, as long as the longest list" in capsys.readouterr().err


def test_what_is_made_of_a_failed_run_is_not_run_and_says_why(based):
    run = Run("toy", WORLD, "sound", "SASRec", "CaliRec", MAIN, 7)
    base = Run("toy", WORLD, "sound", "SASRec", "SASRec", MAIN, 7)
    code = selection.planned(based.paper, base, based.config()).code
    write_json(based.shown("SASRec", 7) / "failure.json", {"reason": "diverged", "code": code})
    assert "made of SASRec, not run: diverged" in selection.planned(based.paper, run, based.config()).reason
    assert selection.planned(based.paper, run, based.config(retry=True)).reason is None


# The workflow

SOME = {"papers": "dacsr", "datasets": WORLD, "methods": "all", "seeds": 1, "max_epochs": 1}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    copied = Copy(copy_workflow(tmp_path_factory.mktemp("copy")))
    copied.edit("papers/dacsr/paper.yaml", "dim: 128, window: 50, layers: 2, heads: 2, inner: 512",
                "dim: 16, window: 50, layers: 1, heads: 2, inner: 32")
    return copied


def test_the_workflow_makes_what_a_run_is_made_of_first(world):
    """A re-ranked row, and weights that pass through three runs."""
    wanted = [f"out/dacsr/{WORLD}/runs/{name}/sound/seed1/run.json" for name in ("CaliRec", "SASRec_third_phase")]
    done = world.snakemake(*wanted, **SOME)
    assert done.returncode == 0, done.stdout
    receipts = {name: read_json(Path(world.folder, f"out/dacsr/{WORLD}/runs/{name}/sound/seed1/run.json"))
                for name in ("SASRec", "SASRec_second_phase", "SASRec_third_phase", "CaliRec")}  # fmt: skip
    for later, before in (("SASRec_second_phase", "SASRec"), ("SASRec_third_phase", "SASRec_second_phase")):
        assert receipts[later]["spec"]["starts_from"][""]["code"] == receipts[before]["code"]
    assert receipts["CaliRec"]["spec"]["reranks"]["SASRec"]["code"] == receipts["SASRec"]["code"]
    assert len(world.trained()) == 4

    file = "reprise/rerank/calibrated.py"
    world.edit(file, '"""\n', '"""\nCHANGED = True\n')
    assert world.planned(*wanted, **SOME)["run"] == 1, "the re-ranker alone"
    world.edit(file, "CHANGED = True\n", "")
    world.edit("reprise/models/sasrec.py", '"""\n', '"""\nCHANGED = True\n')
    assert world.planned(*wanted, **SOME)["run"] == 4, "its base, and all that is made of it"
    world.edit("reprise/models/sasrec.py", "CHANGED = True\n", "")


def test_a_row_takes_as_many_updates_as_another_rows_phases(world):
    name, phases = "SASRec_as_long_as_DACSR", ("SASRec", "SASRec_second_phase", "SASRec_third_phase")
    world.edit("papers/dacsr/paper.yaml", "updates_of: DACSR", f"updates_of: {phases[-1]}")  # whose form the edit kept
    done = world.snakemake(f"out/dacsr/{WORLD}/runs/{name}/sound/seed1/run.json", **SOME)
    assert done.returncode == 0, done.stdout
    steps = {row: read_json(Path(world.folder, f"out/dacsr/{WORLD}/runs/{row}/sound/seed1/cost.json"))["steps"]
             for row in (*phases, name)}
    assert all(steps.values()) and steps[name] == sum(steps[row] for row in phases)
    history = pd.read_csv(Path(world.folder, f"out/dacsr/{WORLD}/runs/{name}/sound/seed1/history.csv"))
    assert history["steps"].max() == steps[name] and len(history) > 1, "no cap of one epoch, and none of patience"
    receipt = read_json(Path(world.folder, f"out/dacsr/{WORLD}/runs/{name}/sound/seed1/run.json"))
    assert set(receipt["spec"]["updates_of"]) == set(phases)


def test_a_search_is_planned_after_what_its_trials_start_from(world):
    grid = "grid: {training: {learning_rate: [0.001, 0.003]}}\n\nreadings:\n"
    world.edit("papers/dacsr/paper.yaml", "readings:\n", grid)
    choice = f"out/dacsr/{WORLD}/tuning/SASRec_second_phase/sound/choice.json"
    said = world.dry(choice, **(SOME | {"tuning": "search", "trials": 2}))
    assert "Run SASRec on small-tastes (dacsr, sound, seed 0)" in said
    tuned = f"out/dacsr/{WORLD}/runs/CaliRec/sound-tuned/seed1/run.json"
    jobs = world.planned(tuned, **(SOME | {"tuning": "search", "trials": 2}))
    assert (jobs["tune"], jobs["run"]) == (1, 2), "one search, its row's run, and the re-ranker's"
