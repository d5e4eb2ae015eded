"""What a run costs is measured without leaving anything behind."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from reprise.__main__ import main
from reprise.data.generated import RANKED, generated
from reprise.data.prepared import Prepared
from reprise.errors import RepriseError
from reprise.files import write_json
from reprise.losses import softmax_over_items
from reprise.stages import benchmark as stage
from reprise.stages.benchmark import median_seconds, operations_of

BATCH = 256  # of the small world, as paper.yaml sets it


@pytest.fixture
def benchmark(tmp_path, capsys):
    """Run the stage on tiny data; returns its status, what it printed, and the files that it added."""
    cells = np.random.default_rng(0).permutation(np.argwhere(np.random.default_rng(0).random((60, 30)) < 0.3))
    data = Prepared(60, 30, cells[120:], cells[60:120], cells[:60], "small-world")
    folder = tmp_path / "results/macr/small-world/data"
    data.save(folder)
    write_json(folder / "check.json", {})

    def run(*arguments):
        before = set(tmp_path.rglob("*"))
        settings = [f"{key}={tmp_path / key}" for key in ("results", "resources")] + ["device=cpu", "threads=1"]
        status = main(["benchmark", "macr", "small-world", *arguments, "--config", *settings])
        return status, capsys.readouterr().out, set(tmp_path.rglob("*")) - before, data

    return run


def test_it_prints_what_it_measured_and_writes_no_file(benchmark):
    status, out, added, data = benchmark("MACR_MF", "printed", "--epochs", "2", "--repeats", "2")
    assert status == 0 and not added
    found = json.loads(out)
    assert out.count("\n") == 1
    steps = len(data.parts("train+valid")) // BATCH + 1
    assert (found["steps_per_epoch"], found["steps"], found["repeats"]) == (steps, 2 * steps, 2)
    assert found["ranked_users"] == len(np.unique(data.test[:, 0])) and found["peak_bytes"] > 0 < found["floor_s"]
    assert found["settings"] == 61 and found["threads"] == 1 and found["device"] == "cpu"


def test_what_it_prints_follows_from_its_clock(benchmark, monkeypatch):
    """A clock of which a training of one epoch takes 6 s, a ranking 2 s and one with every setting 122 s."""
    started = []

    def told(work, repeats):
        started.append(repeats)
        work()
        return (6.0, 2.0, 122.0, 0.1)[min(len(started), 4) - 1]  # the last: of probes for the floor

    monkeypatch.setattr(stage, "median_seconds", told)
    _, out, _, data = benchmark("MACR_MF", "printed", "--epochs", "1", "--repeats", "3", "--batch", "10")
    found, steps = json.loads(out), len(data.parts("train+valid")) // 10 + 1
    assert started[:3] == [3, 3, 3] and found["settings"] == 61
    assert (found["epoch_s"], found["ranking_s"], found["evaluation_s"]) == (pytest.approx(6), 2, 122)
    assert found["step_s"] == pytest.approx(6 / steps) and found["samples_per_s"] == pytest.approx(10 / 6 * steps)
    assert found["users_per_s"] == pytest.approx(len(np.unique(data.test[:, 0])) / 2)


def test_another_batch_makes_other_steps(benchmark):
    status, out, _, data = benchmark("MF", "printed", "--epochs", "1", "--repeats", "1", "--batch", "10")
    assert status == 0 and json.loads(out)["steps_per_epoch"] == len(data.parts("train+valid")) // 10 + 1


def test_a_method_without_training_has_no_epoch(benchmark):
    status, out, added, _ = benchmark("Popularity", "sound")
    found = json.loads(out)
    assert status == 0 and not added and found["epoch_s"] is None and found["ranking_s"] > 0


def test_it_measures_on_generated_data_where_there_are_none(tmp_path, capsys):
    settings = [f"{key}={tmp_path / key}" for key in ("results", "resources")] + ["device=cpu", "threads=1"]
    words = ["benchmark", "dacsr", "small-tastes", "SASRec_D64", "sound", "--steps", "2", "--repeats", "1"]
    assert main([*words, "--config", *settings]) == 1, "no data were prepared"
    capsys.readouterr()
    assert main([*words, "--generated", "--config", *settings]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["generated"] and found["steps"] == 2 and found["ranked_users"] == RANKED
    assert found["samples_per_s"] == pytest.approx(256 / found["step_s"])
    assert found["epoch_s"] == pytest.approx(found["step_s"] * found["steps_per_epoch"])
    assert not list(tmp_path.rglob("*.*"))


def test_generated_data_have_the_counts_that_are_expected():
    counts = {"users": 3000, "items": 500, "interactions": [20_000, 24_000], "providers": 40, "lengths": {3: 4}}
    data = generated(counts)
    assert (data.n_users, data.n_items, data.ordered) == (3000, 500, True)
    assert len(data.train) == pytest.approx(24_000, rel=0.05) and len(data.test) == len(data.valid) == RANKED
    assert len(np.unique(data.train[:, 0])) == 3000 and len(np.unique(data.train[:, 1])) == 500
    assert np.array_equal(np.unique(data.features["provider"]), np.arange(40)) and "attributes" not in data.features
    providers = data.interactions("train").features["provider"]
    assert providers.size == 40 and len(providers.single()) == 500
    fewer = generated({**counts, "train": 15_000})
    assert len(fewer.train) == pytest.approx(15_000, rel=0.05)
    assert data.content == generated(counts).content != generated(counts, seed=1).content


@pytest.mark.parametrize(("counts", "said"), [({"users": 3, "items": 4}, "interactions"),
                                              ({"users": 3, "items": 4, "interactions": 2}, "an interaction a user")])
def test_counts_that_make_no_data_are_named(counts, said):
    with pytest.raises(RepriseError, match=said):
        generated(counts)


@pytest.mark.parametrize("wrong", [["MF", "hopeful"], ["NoSuch", "sound"], ["MF", "sound", "--repeats", "0"],
                                   ["MF", "sound", "--steps", "0"], ["MF", "sound", "--batch", "0"]])
def test_what_cannot_be_measured_is_refused(benchmark, wrong):
    status, out, added, _ = benchmark(*wrong)
    assert status == 1 and not out and not added


def test_the_median_is_that_of_the_repeats(monkeypatch):
    ticks = iter([0, 5, 10, 11, 20, 23])  # 5, 1 and 3 seconds
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    assert median_seconds(lambda: None, 3) == 3


def test_all_are_those_that_score_and_one_that_fails_stops_none(monkeypatch, capsys, caplog):
    words, asked = ["benchmark", "genrec", "beauty", "all", "sound"], []

    def measured(command, **options):
        asked.append(command[command.index("beauty") + 1])
        return SimpleNamespace(returncode=int(asked[-1] == "HGN"))

    monkeypatch.setattr(subprocess, "run", measured)
    monkeypatch.setattr(sys, "argv", ["reprise", *words])
    assert main(words) == 1
    assert {"SASRec", "HGN", "S3-Rec", "BERT4Rec"} < set(asked) and asked[-1] != "HGN"
    assert not any(name.startswith(("GenRec", "P5")) for name in asked)
    assert "not HGN" in caplog.text + capsys.readouterr().err


def test_the_floor_counts_every_matrix_product():
    """A loss over all items is three products, 2 T N D operations each; attention two, and five on its way back."""
    states, table = torch.rand(30, 8, requires_grad=True), torch.rand(50, 8, requires_grad=True)
    targets = torch.arange(30)
    assert operations_of(lambda: softmax_over_items(states, table, targets).backward()) == 3 * 2 * 30 * 50 * 8

    def attend():
        rows = torch.rand(2, 3, 7, 8, requires_grad=True)  # 2 windows, 3 heads, 7 items, 8 numbers
        torch.nn.functional.scaled_dot_product_attention(rows, rows, rows, is_causal=True).sum().backward()

    assert operations_of(attend) == 7 * 2 * (2 * 3 * 7 * 7 * 8)
