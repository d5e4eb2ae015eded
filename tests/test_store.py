"""Nothing is trained twice, nothing is lost, and what fails says so until it is asked to try again."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reprise import selection
from reprise.__main__ import STAGES, main
from reprise.config import make_config
from reprise.data.prepared import Prepared
from reprise.errors import RepriseError
from reprise.files import read_json, write_json
from reprise.papers import Run, load_paper
from reprise.reporting import record
from reprise.stages import plan
from reprise.training import run as training
from reprise.training.devices import leased
from reprise.training.execution import Execution, executing
from reprise.training.measuring import write_groups
from reprise.training.store import entries, locked

RUN = Run("macr", "small-world", "sound", "MF", "MACR_MF", "main", 1)


def prepare(results, seed=0):
    rng = np.random.default_rng(seed)
    cells = rng.permutation(np.argwhere(rng.random((60, 30)) < 0.3))
    data = Prepared(60, 30, cells[120:], cells[60:120], cells[:60], "small-world")
    data.save(Path(results, "macr/small-world/data"))
    write_json(Path(results, "macr/small-world/data/check.json"), {})
    return data


@pytest.fixture
def config(tmp_path):
    prepare(tmp_path / "results")
    return make_config(
        {
            "results": str(tmp_path / "results"),
            "resources": str(tmp_path / "resources"),
            "device": "cpu",
            "max_epochs": 20,
            "datasets": "small-world",
        }
    )


def changed(config, **values):
    return make_config({**config.model_dump(), **values})


def run(config, one=RUN):
    with executing(one, config) as execution:
        execution.all()
    return execution


def content(folder):
    """Names and bytes of a run folder, less what names a moment."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name not in ("run.json", "cost.json", "selected.json")
    }


@pytest.fixture
def no_training(monkeypatch):
    def forget():
        def refuse(*arguments, **named):
            raise AssertionError("trained again")

        monkeypatch.setattr(training, "train", refuse)

    return forget


def test_a_run_leaves_the_files_of_the_contract(config):
    folder = Path(run(config).folder)
    receipt = read_json(folder / "run.json")
    name = receipt["selected"]["list"]
    assert name == f"test-c{receipt['selected']['setting']['c']}"
    for listed in (name, receipt["selected"]["valid_list"]):
        assert {path.name for path in (folder / listed).iterdir()} == {
            "model.safetensors",
            "topk.parquet",
            "users.parquet",
            "metrics.csv",
        }
    assert {"history.csv", "cost.json", "sweep.csv"} <= {path.name for path in folder.iterdir()}
    assert receipt["data"]["status"] == "small-world" and receipt["seed"] == 1 and receipt["method"] == "MACR_MF"
    cost = read_json(folder / "cost.json")
    assert cost["steps"] > 0 and cost["step_s"] > 0 and cost["peak_bytes"] > 1e6
    assert not any(path.suffix == ".part" for path in folder.parent.rglob("*"))


def test_metrics_are_the_means_of_the_users(config):
    folder = Path(run(config).folder)
    listed = folder / read_json(folder / "run.json")["selected"]["list"]
    users, metrics = pd.read_parquet(listed / "users.parquet"), pd.read_csv(listed / "metrics.csv")
    for name in ("hr@20", "recall@5", "ndcg@10", "mrr@1", "precision@15"):
        metric, k = name.split("@")
        value = metrics.loc[(metrics.metric == metric) & (metrics.k == int(k)), "value"].item()
        assert value == pytest.approx(users[name].mean(), abs=1e-12)


def test_lists_hold_each_item_once_and_none_of_training(config):
    execution = run(config)
    folder = Path(execution.folder)
    top = pd.read_parquet(folder / read_json(folder / "run.json")["selected"]["list"] / "topk.parquet")
    assert not top.duplicated(["user", "item"]).any()
    trained = set(map(tuple, execution.data.parts("train+valid").tolist()))
    assert not trained & set(zip(top["user"], top["item"], strict=True))
    assert (top.groupby("user")["score"].diff().dropna() <= 0).all()


def test_a_second_call_links_without_training(config, no_training):
    before = content(run(config).folder)
    no_training()
    assert content(run(config).folder) == before


def test_lost_results_and_equal_data_prepared_again_train_nothing(config, no_training):
    first = run(config)
    before = content(first.folder)
    shutil.rmtree(config.results)
    prepare(config.results)
    no_training()
    second = run(config)
    assert second.fingerprint == first.fingerprint and content(second.folder) == before


def test_other_data_threads_seed_or_settings_are_other_runs(config):
    def fingerprint(one=RUN, **values):
        with executing(one, changed(config, **values)) as execution:
            return execution.fingerprint

    known = [
        fingerprint(),
        fingerprint(threads=2),
        fingerprint(max_epochs=5),
        fingerprint(Run(*[*vars(RUN).values()][:-1], 2)),
    ]
    prepare(config.results, seed=1)
    known.append(fingerprint())
    assert len(set(known)) == len(known)
    assert known[0].split("-")[0] == known[3].split("-")[0], "a cell is a run but for its seed"


def test_what_a_killed_write_left_is_swept(config):
    with executing(RUN, config) as execution:
        left = execution.entry / ".checkpoint.safetensors.1.part"
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_bytes(b"half a checkpoint")
        execution.all()
    assert not list(execution.entry.rglob(".*")) and not (execution.entry / "checkpoint.safetensors").exists()


def test_fewer_epochs_destroy_nothing(config, no_training):
    before = content(run(config).folder)
    assert content(run(changed(config, max_epochs=10)).folder) != before
    no_training()
    assert content(run(config).folder) == before


def test_train_recommend_and_evaluate_by_hand_equal_run(config, tmp_path, monkeypatch):
    execution = run(config)
    write_groups(execution)
    whole = content(execution.folder)
    apart = changed(config, resources=str(tmp_path / "other"))
    arguments = [
        "macr",
        "small-world",
        "MACR_MF",
        "sound",
        "1",
        "--config",
        *(f"{key}={getattr(apart, key)}" for key in ("results", "resources", "device", "max_epochs")),
    ]
    assert main(["evaluate", *arguments]) == 1, "nothing to evaluate yet"
    for stage in ("train", "recommend", "evaluate"):
        assert main([stage, *arguments]) == 0
    assert content(Path(config.results, RUN.folder)) == whole
    cost = read_json(Path(config.results, RUN.folder, "cost.json"))
    assert cost["peak_bytes"] > 1e6 and not Path(config.results, RUN.folder, "spent.json").exists()
    receipt = Path(config.results, RUN.folder, "run.json").read_text()
    monkeypatch.setattr(Execution, "finish", lambda *arguments: pytest.fail("finished again"))
    assert main(["evaluate", *arguments]) == 0, "what is finished is only shown: who trained it, and when, stands"
    assert Path(config.results, RUN.folder, "run.json").read_text() == receipt


def test_two_processes_train_once(config):
    command = [
        sys.executable,
        "-m",
        "reprise",
        "run",
        "macr",
        "small-world",
        "MACR_MF",
        "sound",
        "1",
        "--config",
        *(f"{key}={getattr(config, key)}" for key in ("results", "resources", "device", "max_epochs")),
    ]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = "".join(process.communicate()[1] for process in both)
    assert [process.returncode for process in both] == [0, 0], said
    assert said.count(": training (") == 1 and said.count("found in the store") == 1


@pytest.mark.parametrize("stage", ["run", "evaluate"])
def test_the_entry_is_held_until_the_groups_are_written(config, monkeypatch, stage):
    """Who waits for the entry puts a folder of its own in the place of the one that they are written to."""
    execution, held = run(config), []

    def write(running):
        with locked(running.entry, wait=False) as free:
            held.append(not free)

    monkeypatch.setattr(importlib.import_module(f"reprise.stages.{stage}"), "write_groups", write)
    settings = (f"{key}={getattr(config, key)}" for key in ("results", "resources", "device", "max_epochs"))
    assert main([stage, "macr", "small-world", "MACR_MF", "sound", "1", "--config", *settings]) == 0
    assert held == [True] and execution.folder.exists()


def test_a_failure_is_said_until_it_is_retried(config, monkeypatch):
    paper = load_paper("macr")

    def planned(**values):
        return {one.run: one.reason for one in selection.plan(paper, ["table2"], changed(config, **values))}[RUN]

    def diverge(*arguments, **named):
        raise RepriseError("search, epoch 3", found="loss nan", kind="diverged")

    real = training.train
    monkeypatch.setattr(training, "train", diverge)
    with pytest.raises(RepriseError):
        run(config)
    assert "diverged: search, epoch 3" in planned() and "retry=true" in planned()
    assert planned(retry=True) is None
    assert planned(max_epochs=7) is None, "it failed with other settings"
    monkeypatch.setattr(training, "train", real)
    run(config)
    assert planned() is None and not Path(config.results, RUN.folder, "failure.json").exists()


def test_unprepared_data_is_one_clear_error(config):
    shutil.rmtree(config.results)
    with pytest.raises(RepriseError, match="prepared and checked data"):
        run(config)


def test_runs_travel_in_an_archive(config, tmp_path, no_training):
    before = content(run(config).folder)
    archive, elsewhere = tmp_path / "runs.tar", changed(config, resources=str(tmp_path / "elsewhere"))
    resources = {"here": f"resources={config.resources}", "there": f"resources={elsewhere.resources}"}
    assert main(["export", str(archive), "--config", resources["here"]]) == 0
    assert main(["export", str(archive), "no-such-run", "--config", resources["here"]]) == 1
    for _ in range(2):  # the second time everything is there
        assert main(["import", str(archive), "--config", resources["there"]]) == 0
    no_training()
    assert content(run(elsewhere).folder) == before


def test_a_run_in_training_is_not_taken_from_an_archive(config, tmp_path):
    archive, entry = tmp_path / "runs.tar", run(config).entry
    assert main(["export", str(archive), "--config", f"resources={config.resources}"]) == 0
    store = tmp_path / "elsewhere" / "store"
    with locked(store / entry.name):
        (store / entry.name / "checkpoint").touch()
        assert main(["import", str(archive), "--config", f"resources={tmp_path / 'elsewhere'}"]) == 0
        assert (store / entry.name / "checkpoint").exists() and not entries(store)
    assert main(["import", str(archive), "--config", f"resources={tmp_path / 'elsewhere'}"]) == 0
    assert list(entries(store)) == [entry.name] and not (store / entry.name / "checkpoint").exists()


def test_an_archive_whose_run_is_not_what_it_says_is_refused(config, tmp_path):
    entry = run(config).entry
    with tarfile.open(tmp_path / "forged.tar", "w") as archive:
        archive.add(entry / "run.json", "0123456789abcdef-s1/run.json")
    assert main(["import", str(tmp_path / "forged.tar"), "--config", f"resources={tmp_path / 'elsewhere'}"]) == 1
    assert not entries(tmp_path / "elsewhere" / "store")


def test_prune_deletes_only_what_nothing_refers_to_and_is_not_in_training(config):
    kept, idle = run(config), run(changed(config, max_epochs=10))
    run(config)
    prune = ["prune", "--config", f"results={config.results}", f"resources={config.resources}"]
    assert main(prune) == 0 and idle.entry.exists()
    with locked(idle.entry):
        assert main([*prune, "--yes"]) == 0 and idle.entry.exists()
    assert main([*prune, "--yes", "--keep", f"{config.results}x"]) == 1 and idle.entry.exists(), "a misspelt folder"
    assert main([*prune, "--yes"]) == 0
    assert kept.entry.exists() and not idle.entry.exists()


def test_each_job_leases_a_gpu_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    freed, third = threading.Event(), []

    def take():
        with leased("auto", tmp_path):
            third.append((freed.is_set(), os.environ["CUDA_VISIBLE_DEVICES"]))

    monkeypatch.setattr("reprise.training.devices.POLL", 0.02)
    with leased("auto", tmp_path) as kind:
        assert kind == "cuda" and os.environ["CUDA_VISIBLE_DEVICES"] == "3"
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
        with leased("cuda", tmp_path):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
            waiting = threading.Thread(target=take)
            waiting.start()
            waiting.join(0.2)
            assert waiting.is_alive() and not third
            freed.set()
        waiting.join(5)
    assert third == [(True, "5")]


def test_no_gpu_is_the_cpu_unless_a_gpu_was_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with leased("auto", tmp_path) as kind:
        assert kind == "cpu"
    with pytest.raises(RepriseError, match="device=cuda"), leased("cuda", tmp_path):
        pass


def test_every_stage_has_a_line_of_help():
    for name in STAGES:
        stage = importlib.import_module(f"reprise.stages.{name}")
        assert stage.HELP and stage.__doc__ and callable(stage.main)


def test_plan_counts_what_is_left(config, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(record, "RECORD", tmp_path / "record")  # nothing is known before the first run
    settings = [
        "--config",
        *(f"{key}={getattr(config, key)}" for key in ("results", "resources", "device", "max_epochs")),
        "datasets=small-world",
        "methods=MACR_MF",
        "readings=sound",
        "seeds=2",
    ]
    assert main(["plan", "macr_table2", *settings]) == 0
    assert (
        "2 runs selected, 0 finished, 2 to run" in (said := capsys.readouterr().out)
        and "not measured for 2 runs" in said
    )
    assert "time: not measured for 2 runs on small-world: MACR_MF\n" in said
    assert "space: 0.00 GB (0.00 to fetch, 0.00 of runs; 2 files of unknown size; 2 runs of unknown size)\n" in said
    run(config)
    assert main(["plan", "macr_table2", *settings]) == 0
    assert (
        "2 runs selected, 1 finished, 1 to run" in (said := capsys.readouterr().out)
        and "for 1 runs, from step times seen on" in said
    )
    assert main(["plan", "macr_table9", *settings]) == 1


def test_space_is_what_is_still_to_fetch_and_what_such_a_run_left_in_the_store(config, monkeypatch):
    """Of a source of 3 GB and 1 GB the second file's source is at hand; a known run has 2 GB, of another nothing."""
    source = load_paper("macr").datasets["small-world"].source
    known = {"dataset": "small-world", "method": "MF", "reading": "sound", "only_lists": False, "bytes": 2e9,
             "device": "cpu", "wall_s": 4.0, "steps": 100}
    monkeypatch.setattr(plan, "measured_costs", lambda *settings: pd.DataFrame([known]))
    files = [types.SimpleNamespace(bytes=3e9), types.SimpleNamespace(bytes=None), types.SimpleNamespace(bytes=1e9)]
    monkeypatch.setattr(plan, "load_catalogue", lambda: {source: types.SimpleNamespace(key=source, files=files)})
    runs = [Run("macr", "small-world", "sound", "MF", method, "main", 1) for method in ("MF", "BS_MF")]
    planned = [selection.Planned(one, "", None) for one in runs]

    def space():
        return [line for line in plan.describe(load_paper("macr"), planned, config) if line.startswith("space")]

    assert space() == [
        "space: 6.00 GB (4.00 to fetch, 2.00 of runs; 1 files of unknown size; 1 runs of unknown size)"]
    write_json(Path(config.resources, "raw", source, "source.json"), {})
    assert space() == ["space: 2.00 GB (0.00 to fetch, 2.00 of runs; 1 runs of unknown size)"]


def test_hours_are_step_times_times_steps(config, monkeypatch):
    """Two known runs of 4 and 6 s for 100 and 200 steps: 35 ms a step, 150 steps, 5.25 s."""
    known = {"dataset": "small-world", "method": "MF", "reading": "sound", "only_lists": False, "bytes": 10.0,
             "device": "cpu"}
    costs = pd.DataFrame([{**known, "wall_s": 4.0, "steps": 100}, {**known, "wall_s": 6.0, "steps": 200}])
    paper = load_paper("macr")

    def expected(reading, limit=None, method="MF"):
        one = selection.Planned(Run("macr", "small-world", reading, "MF", method, "main", 1), "", None)
        return plan.expect(paper, one, costs, changed(config, max_epochs=limit))

    assert expected("sound").seconds == pytest.approx(5.25) and not expected("sound").borrowed
    assert expected("printed").seconds == pytest.approx(5.25) and expected("printed").borrowed
    # 60 users x 30 items, 60 interactions in validation; a batch of 256: one search epoch and one refit epoch.
    parts = read_json(Path(config.results, "macr/small-world/data/stats.json"))
    steps = parts["train"] // 256 + 1 + parts["train+valid"] // 256 + 1
    assert steps < 150 and expected("sound", 1).seconds == pytest.approx(0.035 * steps)
    assert expected("sound", method="LightGCN") is None


def test_an_epoch_has_as_many_steps_as_its_trainer_makes_of_the_interactions(config):
    """FM's epoch is 419,909 positives and as many negatives in batches of 1,024: 820 whole ones.
    ExpoMF's is a step, ten of the search and ten of the refit."""
    known = {"reading": "sound", "only_lists": False, "bytes": 10.0, "device": "cpu", "wall_s": 1e6, "steps": 10**6}
    results = changed(config, max_epochs=80)

    def expected(name, dataset, method, counts):
        paper = load_paper(name)
        write_json(Path(config.results, name, dataset, "data/stats.json"), counts)
        costs = pd.DataFrame([{**known, "dataset": dataset, "method": method}])
        run = Run(name, dataset, "sound", paper.methods[method].backbone, method, "main", 1)
        return plan.expect(paper, selection.Planned(run, "", None), costs, results).seconds

    assert expected("decrs", "ml-1m", "FM", {"train": 419_909}) == 80 * 820
    assert expected("macr", "adressa", "ExpoMF", {"train": 5_000, "train+valid": 6_000}) == 2 * 10
    assert expected("dacsr", "beauty", "SASRec", {"train": 153_776}) == 10**6, "its samples are not counted here"


def test_the_receipt_is_json_that_a_person_can_read(config):
    text = (Path(run(config).folder) / "run.json").read_text()
    assert json.loads(text)["spec"]["method"]["fusion"] == "pairwise" and text.count("\n") > 30


def test_hours_of_lists_alone_are_told_apart_from_those_of_a_training(config):
    known = {"dataset": "beauty", "method": "GenRec", "reading": "sound", "bytes": 10.0, "device": "cpu"}
    costs = pd.DataFrame([{**known, "only_lists": False, "wall_s": 36_000.0, "steps": 100_000},
                          {**known, "only_lists": True, "wall_s": 60.0, "steps": 0}])
    paper = load_paper("genrec")

    def expected(variant, rows):
        one = selection.Planned(Run("genrec", "beauty", "sound", "", "GenRec", variant, 1), "", None)
        found = plan.expect(paper, one, rows, config)
        return found and found.seconds

    assert expected("constrained=true", costs) == 60 and expected("main", costs) == pytest.approx(36_000)
    assert expected("constrained=true", costs[:1]) is None and expected("main", costs[1:]) is None
