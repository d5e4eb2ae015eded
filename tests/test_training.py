"""A run killed anywhere goes on to the same bits, and what goes wrong says so."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reprise.data.prepared import Prepared
from reprise.errors import RepriseError
from reprise.evaluation.ranking import Ranking
from reprise.training import run
from reprise.training.loop import Loop
from reprise.training.options import Training
from reprise.training.run import Job, train
from reprise.training.search import Best

TRAINING = {
    "batch": 64,
    "learning_rate": 0.01,
    "l2": 1e-5,
    "max_epochs": 60,
    "eval_every": 2,
    "patience": 30,
    "metric": "hr",
    "k": 5,
    "ks": [1, 5],
    "fit_on": "train",
    "select_on": "valid",
    "refit": True,
    "empty_users": "skip",
}
MACR = {"name": "macr", "alpha": 0.01, "beta": 0.001, "fusion": "pairwise", "c": "all", "sweep": [0, 4]}
DICE = {
    "name": "dice", "loss": "bpr", "causes": 0.1, "discrepancy": 0.01, "decay": 0.9, "negatives": 2, "margin": 2,
    "pool": 3, "betas": [0.5, 0.99], "weight_decay": 1e-6, "plateau": 0, "floor": 1e-3, "floor_patience": 9,
}  # fmt: skip
EXPOMF = {
    "name": "expomf", "norm": "official", "mu": 0.1, "a": 1, "b": 1, "deviation": 0.1, "precisions": [0.1, 0.1, 1],
}  # fmt: skip
CAUSE = {"name": "cause", "penalty": "bce_mse", "weight": 0.01, "share": 0.1, "shared_users": True}
SCRIPT = """
import json, sys
from pathlib import Path
import torch
from reprise.data.prepared import Prepared
from reprise.training.run import train
torch.set_num_threads(1)
folder, data, spec = Path(sys.argv[1]), Prepared.load(Path(sys.argv[2])), json.loads(sys.argv[3])
train(folder, data, spec, 1, "cpu", "test", checkpoint_every=0.02)
"""


def spec_of(model, method=None, **training):
    settings = {"mf": {"dim": 8}, "lightgcn": {"dim": 8, "layers": 2}, "random": {}, "popularity": {}}
    settings["lightgcn_loops"] = {"dim": 8, "layers": 2, "dropout": 0.2}
    return {
        "model": {"name": model, **settings[model]},
        "method": method or {"name": "plain"},
        "training": {**TRAINING, **training},
    }


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    cells = rng.permutation(np.argwhere(rng.random((90, 40)) < 0.25))
    return Prepared(90, 40, cells[200:], cells[100:200], cells[:100], "small-world")


def without_times(folder):
    """Every file of a finished training, its bytes, and what it selected less the seconds.

    A kill in the middle of a write leaves a `.part`, which the store sweeps away when the run is finished.
    """
    selected = json.loads((folder / "selected.json").read_text())
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.stem not in ("selected", "checkpoint") and path.suffix != ".part"
    }
    return files, {key: value for key, value in selected.items() if key not in ("train_s", "rank_s")}


@pytest.mark.parametrize(
    "spec",
    [spec_of("mf", max_epochs=300, patience=300), spec_of("lightgcn", MACR, max_epochs=150, patience=150)],
    ids=["mf", "macr-lightgcn"],
)
def test_killed_at_three_random_points_it_ends_with_the_same_bits(spec, data, tmp_path):
    data.save(tmp_path / "data")
    command = [sys.executable, "-c", SCRIPT, "", str(tmp_path / "data"), json.dumps(spec)]

    def start(name):
        command[3] = str(tmp_path / name)
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    assert start("whole").wait() == 0
    kills, when = 0, random.Random(11)
    while kills < 3:  # each after a checkpoint of its own
        process = start("killed")
        checkpoint = tmp_path / "killed" / "checkpoint.safetensors"
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while process.poll() is None and not (checkpoint.exists() and checkpoint.stat().st_mtime_ns > before):
            time.sleep(0.005)
        time.sleep(when.uniform(0, 0.3))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills == 3, "the run ended before it could be killed three times"
    assert start("killed").wait() == 0
    assert without_times(tmp_path / "killed") == without_times(tmp_path / "whole")


class Killed(Exception):
    pass


@pytest.mark.parametrize("method", [DICE, EXPOMF, CAUSE], ids=["dice", "expomf", "cause"])
@pytest.mark.parametrize("phase", ["search", "refit"])
def test_a_trainer_of_its_own_goes_on_to_the_same_bits(method, phase, data, tmp_path, monkeypatch):
    model = "lightgcn_loops" if method is DICE else "mf"
    spec = spec_of(model, method, max_epochs=9, eval_every=1, patience=9)
    train(tmp_path / "whole", data, spec, 1, "cpu", "whole")
    save, saved = Job._checkpoint, []

    def save_and_die(job, trainer):
        save(job, trainer)
        saved.append(trainer.phase)
        if saved.count(phase) == 2:
            raise Killed

    monkeypatch.setattr(Job, "_checkpoint", save_and_die)
    with pytest.raises(Killed):
        train(tmp_path / "killed", data, spec, 1, "cpu", "killed", checkpoint_every=0)
    monkeypatch.setattr(Job, "_checkpoint", save)
    train(tmp_path / "killed", data, spec, 1, "cpu", "killed")
    assert without_times(tmp_path / "killed") == without_times(tmp_path / "whole")


def test_the_same_seed_twice_gives_the_same_bits(data, tmp_path):
    for name in ("one", "two"):
        train(tmp_path / name, data, spec_of("mf", MACR, max_epochs=4), 1, "cpu", name)
    train(tmp_path / "other", data, spec_of("mf", MACR, max_epochs=4), 2, "cpu", "other")
    assert without_times(tmp_path / "one") == without_times(tmp_path / "two")
    assert without_times(tmp_path / "one") != without_times(tmp_path / "other")


def test_the_refit_takes_exactly_the_steps_that_the_search_chose(data, tmp_path):
    selected = train(tmp_path, data, spec_of("mf", max_epochs=12), 1, "cpu", "run")
    history = pd.read_csv(tmp_path / "history.csv")
    per_epoch = len(data.train) // TRAINING["batch"] + 1
    search, refit = history[history.phase == "search"], history[history.phase == "refit"]
    assert selected["steps"] == selected["epoch"] * per_epoch == refit.steps.iloc[-1]
    assert selected["trained_steps"] == search.steps.iloc[-1] + selected["steps"]
    assert selected["score"] == search.hr.max()
    assert set(search.split) == {"valid"}, "the test set is not looked at before the end"


def test_with_no_epochs_the_weights_are_those_that_it_starts_from(data, tmp_path):
    first = train(tmp_path / "first", data, spec_of("mf", max_epochs=4, refit=False), 1, "cpu", "first")
    left = tmp_path / "first" / first["list"] / "model.safetensors"
    origin = {phase: {"": left} for phase in ("search", "refit")}
    again = train(tmp_path / "again", data, spec_of("mf", max_epochs=0, refit=False), 1, "cpu", "again", origin=origin)
    assert (again["epoch"], again["steps"], again["trained_steps"]) == (0, 0, 0)
    assert again["score"] == first["score"]
    kept = tmp_path / "again" / again["list"] / "model.safetensors"
    assert kept.read_bytes() == left.read_bytes()


def test_selecting_on_test_ranks_no_validation(data, tmp_path, monkeypatch):
    real = run.ranking_of

    def only_test(data, split, *others):
        assert split == "test"
        return real(data, split, *others)

    monkeypatch.setattr(run, "ranking_of", only_test)
    selected = train(
        tmp_path,
        data,
        spec_of("mf", max_epochs=4, fit_on="train+valid", select_on="test", refit=False),
        1,
        "cpu",
        "run",
    )
    assert selected["list"] == "test" and selected["valid_list"] is None
    assert set(pd.read_csv(tmp_path / "history.csv").split) == {"test"}


@pytest.mark.parametrize(("ties", "chosen", "last"), [("earlier", 4, 8), ("later", 6, 10)])
def test_a_search_ends_after_as_many_evaluations_without_a_better_one_as_patience_has(
    data, tmp_path, monkeypatch, ties, chosen, last
):
    """Scores .2 .3 .3 .1 .1 after epochs 2, 4, 6, 8, 10: of two equal ones the later counts as better, or does not."""
    scores = iter([0.2, 0.3, 0.3, 0.1, 0.1])
    measure = Ranking.measure

    def told(self, *arguments, **named):
        found = measure(self, *arguments, **named)
        score = next(scores, 0.1)
        return [{name: score for name in one} for one in found]

    monkeypatch.setattr(Ranking, "measure", told)
    selected = train(tmp_path, data, spec_of("mf", patience=2, ties=ties, refit=False), 1, "cpu", "run")
    assert pd.read_csv(tmp_path / "history.csv").epoch.tolist() == list(range(2, last + 1, 2))
    assert (selected["epoch"], selected["score"]) == (chosen, 0.3)


def test_a_search_ends_when_its_trainer_says_so(data, tmp_path, monkeypatch):
    told = iter([True, False])
    monkeypatch.setattr(Loop, "observe", lambda self, score: next(told))
    train(tmp_path, data, spec_of("mf", refit=False), 1, "cpu", "run")
    assert pd.read_csv(tmp_path / "history.csv").epoch.tolist() == [2, 4]


@pytest.mark.parametrize(("ties", "found"), [("later", (3, 30, 0.3, 2)), ("earlier", (2, 20, 0.3, 3))])
def test_of_equal_epochs_the_named_one_wins_and_what_is_no_better_is_counted(ties, found):
    best = Best("hr", ties)
    for epoch, score in ((1, 0.2), (2, 0.3), (3, 0.3), (4, 0.1), (5, 0.2)):
        best.see(epoch, epoch * 10, [({}, {"hr": score})], [{}], {})
    assert (best.epoch, best.steps, best.score, best.stale) == found


def test_each_setting_keeps_its_own_best_epoch_but_only_choices_are_chosen():
    best = Best("hr")
    settings = [{"c": 0}, {"c": 1}]
    best.see(10, 1, [(settings[0], {"hr": 0.1}), (settings[1], {"hr": 0.9})], [settings[0]], {})
    best.see(20, 2, [(settings[0], {"hr": 0.2}), (settings[1], {"hr": 0.5})], [settings[0]], {})
    assert best.setting == {"c": 0} and best.epoch == 20 and best.score == 0.2
    assert best.own == {"c0": {"epoch": 20, "hr": 0.2}, "c1": {"epoch": 10, "hr": 0.9}}


def test_the_sweep_has_both_curves_and_the_fixed_one_agrees_with_the_list(data, tmp_path):
    train(tmp_path, data, spec_of("mf", MACR, max_epochs=8), 1, "cpu", "run")
    sweep = pd.read_csv(tmp_path / "sweep.csv")
    assert set(zip(sweep.curve, sweep.split, strict=True)) == {
        ("own_epoch", "valid"),
        ("fixed_epoch", "valid"),
        ("fixed_epoch", "test"),
    }
    assert sorted(sweep.c.unique()) == [0, 1, 2, 3, 4]
    hr = sweep[sweep.metric == "hr"].set_index(["curve", "split", "c"]).value
    assert (hr["own_epoch", "valid"] >= hr["fixed_epoch", "valid"]).all()
    selected = json.loads((tmp_path / "selected.json").read_text())
    assert hr["fixed_epoch", "valid", selected["setting"]["c"]] == pytest.approx(selected["score"], abs=1e-12)


def test_divergence_stops_with_a_message(data, tmp_path):
    with pytest.raises(RepriseError, match="finite loss") as caught:
        train(tmp_path, data, spec_of("mf", learning_rate=1e6), 1, "cpu", "run")
    assert caught.value.kind == "diverged"
    assert not (tmp_path / "selected.json").exists()


def test_a_broken_checkpoint_is_named(data, tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"nonsense")
    with pytest.raises(RepriseError, match="checkpoint"):
        train(tmp_path, data, spec_of("mf"), 1, "cpu", "run")


def test_every_training_option_is_read():
    package = Path(sys.modules["reprise"].__file__).parent
    text = "".join(path.read_text() for path in package.rglob("*.py") if path.name != "options.py")
    unread = [name for name in Training.model_fields if f"options.{name}" not in text and f'["{name}"]' not in text]
    assert not unread
