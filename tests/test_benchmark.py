"""What a run costs is measured without leaving anything behind."""

import json

import numpy as np
import pytest
from reprise.__main__ import main
from reprise.data.prepared import Prepared
from reprise.files import write_json
from reprise.stages.benchmark import median_seconds

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
    for name in ("epoch_s", "ranking_s", "evaluation_s"):
        assert 0 < found[name] < 60, name
    assert found["peak_bytes"] > 1e7, "PyTorch alone takes more"
    assert found["steps_per_epoch"] == len(data.parts("train+valid")) // BATCH + 1
    assert found["settings"] == 61 and found["threads"] == 1 and found["device"] == "cpu"


def test_a_method_without_training_has_no_epoch(benchmark):
    status, out, added, _ = benchmark("Popularity", "sound")
    found = json.loads(out)
    assert status == 0 and not added and found["epoch_s"] is None and found["ranking_s"] > 0


@pytest.mark.parametrize("wrong", [["MF", "hopeful"], ["NoSuch", "sound"], ["MF", "sound", "--repeats", "0"]])
def test_what_cannot_be_measured_is_refused(benchmark, wrong):
    status, out, added, _ = benchmark(*wrong)
    assert status == 1 and not out and not added


def test_the_median_is_that_of_the_repeats(monkeypatch):
    ticks = iter([0, 5, 10, 11, 20, 23])  # 5, 1 and 3 seconds
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    assert median_seconds(lambda: None, 3) == 3
