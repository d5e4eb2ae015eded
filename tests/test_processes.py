"""Several processes train what one does, and a job of several ends as one: well, with one error, or from a checkpoint.

Each test of a run starts torchrun, whose processes talk by gloo; ports and meeting places are torchrun's own choice.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import failing_worker
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shared_steps
import torch
from reprise.config import make_config
from reprise.dag import Dag
from reprise.data.prepared import Prepared
from reprise.errors import RepriseError
from reprise.files import read_json, write_json
from reprise.models.generative import nets
from reprise.papers import Run
from reprise.processes import dealt, gathered
from reprise.training import launch
from reprise.training.behind import Behind
from reprise.training.devices import leased, processes_of
from reprise.training.execution import executing
from reprise.training.store import cell_fingerprint
from safetensors.torch import load_file

TESTS = Path(__file__).resolve().parent
RUN = Run("genrec", "small-sequences", "sound", "", "GenRec_tiny", "pretraining=false", 1)
USERS, ITEMS = 40, 30
ROUNDING = 1e-5  # wrong ways to share a step change a loss by more than a hundred times as much
ADAMS = 1e-4  # what becomes of it in a weight whose gradients are as small; wrong ways change one ten times as much


@pytest.fixture(scope="module")
def environment():
    """Of processes that import what these tests do."""
    found = {**os.environ, "PYTHONPATH": f"{TESTS.parent / 'workflow'}:{TESTS}", "OMP_NUM_THREADS": "1"}
    return found | {"CUDA_VISIBLE_DEVICES": ""}


# Steps


@pytest.fixture(scope="module")
def steps(environment, tmp_path_factory):
    """What two processes found, and what one did."""
    path = tmp_path_factory.mktemp("steps") / "found"
    subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
                    str(TESTS / "shared_steps.py"), str(path)], env=environment, check=True, timeout=120)
    both = [torch.load(f"{path}.{number}", weights_only=True) for number in (0, 1)]
    return both, {name: shared_steps.taken(name) for name in shared_steps.CASES}


@pytest.mark.parametrize("case", shared_steps.CASES)
def test_two_processes_take_the_steps_of_one_and_write_the_same_lists(steps, case):
    both, one = steps
    for found in both:
        torch.testing.assert_close(found[case]["losses"], one[case]["losses"], rtol=0, atol=ROUNDING)
        torch.testing.assert_close(found[case]["weights"], one[case]["weights"], rtol=0, atol=ADAMS)
        torch.testing.assert_close(found[case]["scores"], one[case]["scores"], rtol=0, atol=ROUNDING)
        assert torch.equal(found[case]["items"], one[case]["items"])
    assert all(torch.equal(both[0][case][key], both[1][case][key]) for key in both[0][case]), "to the bit"


def test_stopped_in_the_middle_of_an_epoch_they_go_on_to_the_same_bits(steps):
    for found in steps[0]:
        assert all(torch.equal(found["stopped"][key], found["dealt"][key]) for key in found["dealt"])


@pytest.mark.parametrize("wrong", shared_steps.WRONG)
def test_a_wrong_way_to_share_would_be_seen(steps, wrong):
    both, one = steps
    right = one[shared_steps.WRONG[wrong][0]]
    assert (both[0][wrong]["losses"] - right["losses"]).abs().max() > 100 * ROUNDING
    assert (both[0][wrong]["weights"] - right["weights"]).abs().max() > 10 * ADAMS


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_what_is_dealt_comes_together_in_order(monkeypatch, count):
    """Three processes, one after the other."""
    rows, hands = torch.arange(10, 10 + count), []
    for number in range(3):
        monkeypatch.setattr("reprise.processes.place", lambda number=number: (number, 3))
        hands.append(dealt(rows))
    assert {len(hand) for hand in hands} == {-(-count // 3)}
    monkeypatch.setattr("reprise.processes.group.all_gather", lambda parts, mine: [
        part.copy_(hand) for part, hand in zip(parts, hands, strict=True)])
    assert gathered(hands[0], count).tolist() == rows.tolist()


# Runs


def prepare(results):
    rng = np.random.default_rng(3)
    pairs = np.array([(user, item) for user in range(USERS) for item in rng.permutation(ITEMS)[: rng.integers(5, 12)]])
    left = np.flatnonzero(np.diff(pairs[:, 0], append=USERS))  # each user's last row
    train = np.delete(pairs, [*left, *left - 1], 0)
    features = {name: pa.array(rng.permutation(ITEMS) + 1) for name in ("appearance", "shuffled", "train_appearance")}
    folder = Path(results, RUN.paper, RUN.dataset, "data")
    Prepared(USERS, ITEMS, train, pairs[left - 1], pairs[left], "small-world", True, features).save(folder)
    write_json(folder / "check.json", {})


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    prepare(folder / "results")
    return make_config({"results": str(folder / "results"), "resources": str(folder / "resources"), "device": "cpu",
                        "max_epochs": 5})


def run(config, **values):
    """The entry of the run in the store."""
    with executing(RUN, make_config({**config.model_dump(), **values})) as execution:
        execution.all()
    return execution.entry


def test_a_job_fails_as_one_goes_on_as_one_and_is_the_run_of_one_process(
    config, environment, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(launch, "WORKER", "failing_worker")
    for name, value in failing_worker.CALM.items():
        monkeypatch.setitem(nets.BART["tiny"], name, value)
    for name, value in {**environment, "FAILS_ONCE": str(tmp_path / "failed")}.items():
        monkeypatch.setenv(name, value)
    failure, scratch = Path(config.results, RUN.folder, "failure.json"), Path(config.resources, "processes")
    with pytest.raises(RepriseError, match="process 1\n.*MemoryError: out of memory"):
        run(config, processes=2)
    assert capfd.readouterr().err.count("Traceback") == 1, "said by the process that failed first"
    assert read_json(failure)["reason"] == "memory: failed: process 1 (MemoryError: out of memory)"
    assert not any(scratch.iterdir())

    two = run(config, processes=2)
    # In the middle of an epoch of six steps; the last checkpoint may have been cut short.
    assert re.search(f"resumed in search at step ({failing_worker.STEPS}|{failing_worker.STEPS - 1})\n",
                     capfd.readouterr().err)
    assert not failure.exists() and not any(scratch.iterdir()) and not (two / "checkpoint.safetensors").exists()
    told = [read_json(two / file) for file in ("run.json", "cost.json")]
    assert all(one["processes"] == 2 and one["device"].startswith("2 x cpu") for one in told)
    assert "transformers" in told[0]["versions"]

    one = run(config)
    assert one.name != two.name
    pd.testing.assert_frame_equal(*(pd.read_csv(entry / "history.csv") for entry in (one, two)), rtol=0, atol=ROUNDING)
    lists = [pd.read_parquet(entry / "test/topk.parquet") for entry in (one, two)]
    pd.testing.assert_frame_equal(*lists, rtol=0, atol=ROUNDING)
    assert len(lists[0]) > USERS * 10  # what was met is not offered
    # Keys' biases change no attention: their gradients are rounding alone, which AdamW scales up.
    weights = [{name: tensor for name, tensor in load_file(entry / "test/model.safetensors").items()
                if not name.endswith("k_proj.bias")} for entry in (one, two)]
    torch.testing.assert_close(*weights, rtol=0, atol=1e-4)

    monkeypatch.setattr(launch, "launch", None)
    assert run(config, processes=2) == two, "found in the store"


def test_a_process_that_is_killed_is_named_rather_than_those_that_lost_it(config, tmp_path, monkeypatch):
    def killed(execution, folder):
        write_json(folder / launch.FAILURE, {"where": "process 0", "found": "connection closed"})
        return {1: -9, 0: 1}

    monkeypatch.setattr(launch, "_torchrun", killed)
    with pytest.raises(RepriseError, match="process 1 ended by signal 9\n.*last checkpoint"):
        run(config, processes=2, resources=str(tmp_path))


def test_a_process_does_not_outlive_the_one_that_holds_the_entry(environment):
    """Which starts one, hears that it is ready, and is killed."""
    child = ("import time; from reprise.training import launch; launch.end_with_parent(); "
             "print(1, flush=True); time.sleep(30); print(2, flush=True)")
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], env=environment, stdout=subprocess.PIPE) as started:
        assert started.stdout.readline() == b"1\n"
        started.kill()
        started.wait()
        assert started.stdout.read() == b"", "the pipe closes when the child has gone, before it says more"


# Who has several


def test_only_methods_that_write_have_several(tmp_path):
    config = make_config({"processes": "2"})
    assert [processes_of(name, config) for name in ("written_item", "masked_word", "prompted")] == [2, 2, 2]
    assert [processes_of(name, config) for name in ("plain", "next_item", None)] == [1, 1, 1]
    one = cell_fingerprint("code", "content", "cpu", 1)
    assert one == cell_fingerprint("code", "content", "cpu", 1, 1) != cell_fingerprint("code", "content", "cpu", 1, 2)


def test_a_run_starts_from_one_of_as_many_processes(tmp_path):
    config = make_config({"processes": 2, "resources": str(tmp_path)})
    for method, processes in (("written_item", 2), ("next_item", 1)):
        entry = tmp_path / "store" / f"{cell_fingerprint('its code', 'content', 'cpu', 1, processes)}-s1"
        write_json(entry / "run.json", {"selected": {"valid_list": "valid", "list": "test"}})
        spec = {"method": {"name": method}, "starts_from": {"": {"method": "other", "code": "its code"}}}
        origin = Behind(spec, 1, "content", "cpu", config, "a run").origin()
        assert origin["search"][""] == entry / "valid/model.safetensors"


def test_gpus_are_leased_together(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
    with leased("auto", tmp_path):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
        with leased("auto", tmp_path, 2) as kind:
            assert kind == "cuda" and os.environ["CUDA_VISIBLE_DEVICES"] == "5,7"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
    with pytest.raises(RepriseError, match="processes=4\n.*a GPU for each\n.*3\n.*processes=3"):
        with leased("auto", tmp_path, 4):
            pass


def test_snakemake_is_told_what_all_processes_take(monkeypatch):
    from types import SimpleNamespace as Names

    monkeypatch.chdir(TESTS.parent)
    dag = Dag({"processes": 2, "threads": 3}, Names(global_resources={"gpu": 4}))
    for method, processes in (("GenRec", 2), ("P5-S(2-3)", 2), ("SASRec", 1)):
        wildcards = Names(paper="genrec", method=method)
        asked = (dag.processes(wildcards), dag.threads(wildcards), dag.gpus(wildcards), dag.memory(wildcards))
        assert asked == (processes, 3 * processes, processes, 8000 * processes)
    assert "processes=2" in dag.settings(None, 1)
