"""The DAG: what a command line plans, what it leaves out, what re-runs. Dry runs happen in a copy of the repository."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from reprise import selection
from reprise.config import load_config
from reprise.dag import Dag
from reprise.data.catalogue import load_catalogue
from reprise.errors import RepriseError
from reprise.files import read_yaml
from reprise.papers import load_paper
from reprise.reporting import record
from reprise.training import devices
from snakemake.cli import get_argument_parser
from workflow_copy import ROOT, copy_workflow, planned_jobs

NO_TORCH = "raise ImportError('PyTorch must not be imported while the DAG is built')\n"
NO_NETWORK = """
import socket

def refuse(*_):
    raise OSError("no network while the DAG is built")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the workflow, and beside it modules that break whoever imports PyTorch or opens a connection."""
    folder = copy_workflow(tmp_path_factory.mktemp("copy"))
    (folder / "broken").mkdir()
    (folder / "broken/torch.py").write_text(NO_TORCH)
    (folder / "broken/sitecustomize.py").write_text(NO_NETWORK)
    return folder


def snakemake(copy: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(copy / "broken"), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *words],
        cwd=copy,
        env=environment,
        text=True,
        timeout=120,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


def planned(copy: Path, *words: str) -> Counter[str]:
    """The number of jobs of each rule that a dry run plans."""
    done = snakemake(copy, "-n", *words)
    assert done.returncode == 0, done.stdout
    return planned_jobs(done.stdout)


def make_dag(
    asked: list[str] | None = None, gpus: dict[str, int] | None = None, jobs: list[str] | None = None, **values
) -> Dag:
    """A `Dag` as Snakemake would hold it, without Snakemake."""
    workflow = SimpleNamespace(
        global_resources=dict(gpus or {}),
        deployment_settings=SimpleNamespace(deployment_method=set()),
        dag_settings=SimpleNamespace(targets=asked or [], target_jobs=jobs or []),
    )
    return Dag(values, workflow)


def runs(dag: Dag) -> set[str]:
    """The cells (`method/reading`) whose runs are collected for MACR."""
    files = dag.collected(SimpleNamespace(paper="macr"))
    return {"/".join(Path(file).parts[-4:-2]) for file in files if file.endswith("run.json")}


def test_everything_is_planned_offline_and_without_pytorch(copy):
    jobs = planned(copy, "all", "--config", "seeds=1,2")
    # every method, MACR_MF's 4 ablations and 3 more values each of alpha and beta, IPW's 2 other weightings on both
    # backbones and DICE's other pool, on Adressa
    macr = len(load_paper("macr").methods) * 5 + 4 + 3 + 3 + 2 * 2 + 1
    # every method that writes nothing on three data sets and on Yelp with the history on offer, SR-GNN alone there; on
    # three, from random weights, nine rows that write and the pretraining of three numberings; NextId under the
    # other two numberings. Released weights are not at hand.
    rows = load_paper("genrec").methods.values()
    genrec = sum(row.model not in ("genrec", "p5") for row in rows) * 4 - 3 + (9 + 3) * 3 + 2 * 3
    # the rows of `extra` on Beauty, whose source GenRec has too, and the five other runs that some of them start from
    extra = load_paper("dacsr").tables["extra"]
    dacsr = len((*extra.methods, *extra.floor)) + 5
    # the rows of Table 3 on Amazon-Book, and the second models of the fused controls
    table3 = load_paper("decrs").tables["table3"]
    decrs = len({*table3.methods, *table3.floor}) + 2
    assert jobs["run"] == (macr + genrec + dacsr + decrs) * 2 * 2  # 2 readings, 2 seeds
    assert jobs["fetch"] == jobs["canonicalise"] == 5 + 3 + 1
    assert jobs["prepare"] == jobs["check"] == 5 + 4 + 1 + 1
    exhibits = jobs["tabulate"], jobs["plot"], jobs["collect"], jobs["compare"], jobs["report"]
    assert exhibits == (6 + 9 + 7 + 5 + 4, 7 + 3 + 3, 5, 5, 1)


def test_a_demo_runs_the_small_world_through_every_rule(copy):
    jobs = planned(copy, "all", "--configfile", "config/demo.yaml")
    rules = set(
        re.findall(r"^rule (\w+):", "".join(file.read_text() for file in (copy / "workflow/rules").glob("*.smk")), re.M)
    )
    assert set(jobs) - {"all", "total"} == rules - {"regression", "tune", "clock"}


@pytest.mark.parametrize(("limit", "device"), [([], "cpu"), (["--resources", "gpu=1"], "cuda")])
def test_snakemake_itself_hands_runs_the_device_there_is(copy, limit, device):
    """No GPU is visible here; a limit that is given stands for a cluster's."""
    said = snakemake(copy, "-n", "macr_figure7", *limit, "--config", "seeds=[7]").stdout
    assert said.count(f"--config device={device} --log") == 4, "MACR_MF and MACR_LightGCN in two readings"


def test_a_cluster_starts_without_a_total_of_cores(copy):
    """As with profiles/slurm, whose plugin would want a cluster: here `sh` is one, and runs what is submitted."""
    words = ("--executor", "cluster-generic", "--cluster-generic-submit-cmd", "sh", "--jobs", "1")
    made = "shared/raw/small-world-macr/source.json"
    done = snakemake(copy, *words, made, "--config", "datasets=small-world", "resources=shared")
    assert done.returncode == 0, done.stdout
    assert (copy / made).exists()


@pytest.mark.parametrize("name", ["default", "slurm", "kubernetes"])
def test_a_profile_says_what_snakemake_knows(name):
    """A misspelt key or rule is passed over, or stops whoever has the cluster."""
    profile = read_yaml(ROOT / "profiles" / name / "config.yaml")
    known = {word.lstrip("-") for action in get_argument_parser()._actions for word in action.option_strings}
    of_plugins = {"kubernetes-namespace", "kubernetes-persistent-volumes"}
    assert set(profile) - of_plugins <= known
    text = "".join(file.read_text() for file in (ROOT / "workflow/rules").glob("*.smk"))
    rules = set(re.findall(r"^rule (\w+):", text, re.M))
    assert set(profile.get("set-resources", ())) <= rules
    if name != "default":
        assert any(one.startswith("gpu=") for one in profile["resources"])


def test_one_figure_plans_its_own_runs_and_still_ends_with_the_scorecard(copy):
    jobs = planned(copy, "macr_figure7", "--config", "seeds=[7]")
    assert jobs["run"] == 2 * 2  # MACR_MF and MACR_LightGCN in two readings
    assert (jobs["plot"], jobs["tabulate"], jobs["compare"], jobs["report"]) == (1, 0, 1, 1)


def test_a_wrong_configuration_is_one_message(copy):
    done = snakemake(copy, "-n", "all", "--config", "seedz=3")
    assert done.returncode == 1
    assert "unknown key 'seedz'" in done.stdout
    assert "Traceback" not in done.stdout and ".py" not in done.stdout


def test_snakemake_lint_is_clean(copy):
    done = snakemake(copy, "--lint")
    assert done.returncode == 0, done.stdout
    assert "Lints for" not in done.stdout


def test_every_rule_says_what_it_needs():
    for file in (ROOT / "workflow/rules").glob("*.smk"):
        for rule in re.split(r"^rule ", file.read_text(), flags=re.M)[1:]:
            missing = [
                word
                for word in ("log", "benchmark", "threads", "resources", "message", "conda")
                if f"\n    {word}:" not in rule
                and not (word == "benchmark" and rule.startswith("regression:"))  # its file would stop the next check
            ]
            assert not missing, f"{file.name}, {rule.split(':')[0]}: {missing}"


def test_the_front_door_fits_a_screen():
    assert len((ROOT / "Snakefile").read_text().splitlines()) <= 60


EXHIBITS = {"extra"} | {f"table{n}" for n in (1, 2, 3, 4, 5)} | {f"figure{n}" for n in (1, 7, 8, 9, 10, 11, 12)}
# names that only other papers' exhibits have
OTHERS = {"table6", "figure3", "figure4", "figure5", "ids", "lists", "random", "tiny", "families"}


@pytest.mark.parametrize(
    ("asked", "behind"),
    [
        ([], EXHIBITS | OTHERS),
        (["macr"], EXHIBITS),
        (["macr_table2"], {"table2"}),
        (["macr_table1", "macr_figure7"], {"table1", "figure7"}),
        (["out/macr/tables/table2.md"], {"table2"}),
        (["./out/macr/figures/figure7.svg"], {"figure7"}),
        (["out/macr/verdict.csv"], EXHIBITS),
        (["out/scorecard.html"], EXHIBITS | OTHERS),
        (["regression"], set()),
    ],
)
def test_targets_and_files_stand_for_their_exhibits(asked, behind):
    assert {name for _, name in make_dag(asked, results="out").requested} == behind


def test_a_target_makes_its_exhibit_the_verdicts_and_the_scorecard():
    targets = make_dag(results="out").targets
    assert set(targets.files(targets.exhibits["macr_table2"])) == {
        "out/macr/tables/table2.csv",
        "out/macr/tables/table2.md",
        "out/macr/tables/table2.html",
        "out/macr/tables/table2.tex",
        "out/macr/metrics.csv",
        "out/macr/significance.csv",
        "out/macr/verdict.csv",
        "out/macr/claims.csv",
        "out/macr/order.csv",
        "out/scorecard.html",
        "out/scorecard.md",
    }


def test_a_selection_leaves_the_rest_out():
    assert runs(make_dag(["macr_table2"], methods="MF,MACR_MF", readings="sound", seeds=1)) == {
        "MF/sound",
        "MACR_MF/sound",
    }


def test_a_job_of_its_own_process_takes_what_exists(tmp_path):
    folder = tmp_path / "macr/adressa/runs/MF/sound/seed1"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    assert runs(make_dag(jobs=["collect:paper=macr"], results=str(tmp_path), seeds=2)) == {"MF/sound"}


def test_a_data_set_that_waits_for_a_licence_is_not_planned(monkeypatch):
    catalogue = load_catalogue()
    entry = catalogue["macr-adressa"]
    catalogue = {
        **catalogue,
        "macr-adressa": entry.model_copy(update={"licence": entry.licence.model_copy(update={"agree": "terms"})}),
    }
    monkeypatch.setattr(selection, "load_catalogue", lambda: catalogue)
    everything = SimpleNamespace(paper="macr")
    assert make_dag(datasets="adressa").collected(everything) == []
    assert "results/macr/adressa/data/stats.json" in make_dag(licences="terms").collected(everything)


def test_regression_asks_for_the_runs_of_record(monkeypatch, tmp_path):
    keys = "dataset,reading,backbone,method,variant,seed"
    header = f"{keys},metric,k,group,value,device,threads,data,fingerprint,commit,date\n"
    row = "{0},sound,MF,{1},main,{2},hr,20,,0.1,cpu,1,{3},f,c,2026-01-01\n"
    rows = [
        ("small-world", "MF", 1, "small-world"),
        ("small-world", "Gone", 1, "small-world"),
        ("adressa", "MF", 2, "official"),
        ("gone", "MF", 3, "official"),
    ]
    (tmp_path / "macr.runs.csv").write_text(header + "".join(row.format(*values) for values in rows))
    monkeypatch.setattr(record, "RECORD", tmp_path)
    small = "{}/macr/small-world/runs/MF/sound/seed1/run.json"
    real = "{}/macr/adressa/runs/MF/sound/seed2/run.json"
    here = {"resources": str(tmp_path / "resources"), "results": str(tmp_path / "results")}
    assert make_dag(**here).of_record(None) == [small.format(here["results"])]
    assert make_dag(**here, regression_set="real").of_record(None) == [small.format(here["results"])]
    (tmp_path / "resources/raw/macr-adressa").mkdir(parents=True)
    asked = make_dag(**here, regression_set="real").of_record(None)
    assert set(asked) == {small.format(here["results"]), real.format(here["results"])}


def test_nothing_of_record_is_no_error_of_the_dag(monkeypatch, tmp_path):
    monkeypatch.setattr(record, "RECORD", tmp_path)
    assert make_dag().of_record(None) == []


@pytest.mark.parametrize(
    ("device", "visible", "limit", "expected"),
    [
        ("auto", "", {}, "cpu"),
        ("auto", "0,1", {}, "cuda"),
        ("cpu", "0,1", {}, "cpu"),
        ("cuda", "", {}, "cuda"),
        ("auto", "", {"gpu": 8}, "cuda"),  # a cluster's head node
    ],
)
def test_a_run_asks_for_a_gpu_where_there_is_one(monkeypatch, device, visible, limit, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    dag = make_dag(gpus=limit, device=device)
    assert dag.device == expected
    assert dag._workflow.global_resources == {"gpu": limit.get("gpu", len(devices.visible_gpus()))}


def test_a_mirror_that_is_none_is_named_before_anything_runs(tmp_path):
    with pytest.raises(RepriseError, match="config mirror"):
        make_dag(mirror=str(tmp_path))
    assert make_dag(mirror="https://somewhere.example/mirror").config.mirror  # who can tell without a network


def test_the_command_line_of_a_job_gives_the_same_configuration(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    mirror = tmp_path / "a folder"
    mirror.mkdir()
    (mirror / "MANIFEST.csv").touch()
    dag = make_dag(datasets="adressa", seeds="[4]", mirror=str(mirror), max_epochs=1e2, licences="movielens")
    words = dag.settings(None, 1)
    assert "'seeds=[4]'" in words and f"'mirror={mirror}'" in words and "results=" not in words
    assert load_config([], shlex.split(words)[1:]) == dag.config


def test_editing_a_model_changes_the_code_of_its_runs_only(copy):
    before = _codes(copy)
    model = copy / "workflow/reprise/models/lightgcn.py"
    text = model.read_text()
    model.write_text(f"# a remark\n{text}")
    remarked = _codes(copy)
    model.write_text(f"{text}\nCHANGED = True\n")
    after = _codes(copy)
    model.write_text(text)
    assert remarked == before
    rows = load_paper("macr").methods  # DICE's graph is another one, made of the same product
    assert {method for method in before if before[method] != after[method]} == {
        name for name in before if rows[name].backbone == "LightGCN"
    }


def _codes(copy: Path) -> dict[str, str]:
    script = """
import json
from reprise.papers import load_paper, resolve, spec_code
paper = load_paper("macr")
built = list(paper.methods)
print(json.dumps({name: spec_code(resolve(paper, "adressa", "sound", name)) for name in built}))
"""
    environment = {**os.environ, "PYTHONPATH": str(copy / "workflow")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)
