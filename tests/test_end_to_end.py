"""The whole workflow on the small world: built once, then called again, edited, killed and broken in copies of it."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import psutil
import pytest
from reprise.files import read_json
from reprise.papers import load_paper
from workflow_copy import ROOT, Copy, copy_workflow, until

PAPER = load_paper("macr")
COLUMNS = {
    "metrics": "dataset,reading,backbone,method,variant,seed,metric,k,group,value",
    "verdict": "table,reading,dataset,backbone,method,metric,k,group,printed,mean,sd,seeds,deviation,verdict,reason,"
    "command",
    "claims": "id,reading,kind,verdict,effect,low,high,p,p_adjusted,effect_ratio,reason",
    "significance": "exhibit,dataset,reading,metric,k,lhs,rhs,diff,low,high,p,p_adjusted,g,seeds_lhs,seeds_rhs,"
    "paired_seed,paired_diff,paired_t_p,paired_wilcoxon_p,note",
    "order": "table,dataset,reading,metric,k,group,tau_b,n,low,high",
}
RUNS = "out/macr/small-world/runs"
NOTHING = "Nothing to be done"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The finished small world; not to be written to."""
    built = Copy(copy_workflow(tmp_path_factory.mktemp("built")))
    done = built.snakemake("all")
    assert done.returncode == 0, done.stdout
    return built


@pytest.fixture
def world(built, tmp_path):
    """A copy of the finished small world, for one test to spoil."""
    return _again(built, tmp_path / "world")


def _again(copy: Copy, folder: Path) -> Copy:
    shutil.copytree(copy.folder, folder)
    return Copy(folder)


# What a rerun leaves


def test_every_table_and_figure_is_there_in_every_format(built):
    folder = built.folder / "out/macr"
    expected = {f"tables/{name}.{suffix}" for name in PAPER.tables for suffix in ("csv", "md", "html", "tex")}
    expected |= {f"figures/{name}.{suffix}" for name in PAPER.figures for suffix in ("pdf", "svg", "png", "csv")}
    found = {str(path.relative_to(folder)) for kind in ("tables", "figures") for path in (folder / kind).iterdir()}
    assert found == expected
    assert all((folder / name).stat().st_size for name in expected)


@pytest.mark.parametrize("name", COLUMNS)
def test_the_tidy_files_have_the_columns_that_others_rely_on(built, name):
    header = (built.folder / f"out/macr/{name}.csv").read_text().partition("\n")[0]
    assert header == COLUMNS[name]


def test_every_run_is_measured_once(built):
    metrics = pd.read_csv(built.folder / "out/macr/metrics.csv")
    shown = metrics[(metrics["metric"] == "hr") & (metrics["k"] == 20) & metrics["group"].isna()]
    # MF, LightGCN, MACR_MF with its four ablations, MACR_LightGCN, Random, Popularity in two readings with two seeds
    assert len(shown) == len(shown.drop_duplicates(["method", "variant", "reading", "seed"])) == 10 * 2 * 2
    assert len(built.trained()) == 10 * 2 * 2


def test_every_printed_number_and_every_claim_is_judged_in_every_reading(built):
    reported, claims = (pd.read_csv(ROOT / "workflow/papers/macr" / name) for name in ("reported.csv", "claims.csv"))
    verdicts, answers = (pd.read_csv(built.folder / "out/macr" / name) for name in ("verdict.csv", "claims.csv"))
    cells = ["table", "dataset", "method", "metric", "k"]
    assert len(verdicts) == 2 * len(reported) == len(verdicts.drop_duplicates([*cells, "group", "reading"]))
    assert sorted(verdicts["printed"]) == sorted([*reported["printed"], *reported["printed"]])
    assert set(zip(answers["id"], answers["reading"], strict=True)) == {
        (claim, reading) for claim in claims["id"] for reading in ("printed", "sound")
    }
    assert len(answers) == 2 * len(claims)
    # Generated data never stand beside printed values.
    assert set(verdicts["verdict"]) == set(answers["verdict"]) == {"not run"}


def test_the_scorecard_is_one_file_that_fetches_nothing(built):
    page = (built.folder / "out/scorecard.html").read_text()
    assert len(page) > 10_000 and "<script" not in page and "<link" not in page and "@import" not in page
    assert all(source.startswith("data:") for source in re.findall(r'\ssrc="([^"]*)"', page))
    assert not re.findall(r"url\((?!['\"]?(?:data:|#))", page)
    outward = re.findall(r'<(\w+)[^>]*\shref="https?:', page)
    assert set(outward) <= {"a"}


# Called again


def test_a_second_call_has_nothing_to_do_even_without_snakemakes_memory(world):
    assert NOTHING in world.snakemake("all").stdout
    shutil.rmtree(world.folder / ".snakemake")
    assert NOTHING in world.snakemake("all").stdout


@pytest.mark.parametrize("words", [[], ["--forcerun", "prepare"]], ids=["results lost", "prepared anew"])
def test_what_is_in_the_store_is_not_trained_again(world, words):
    if not words:
        shutil.rmtree(world.folder / "out")
    before = world.trained()
    done = world.snakemake("out/macr/metrics.csv", *words, methods="MF,MACR_MF", readings="sound", seeds=1)
    assert done.returncode == 0, done.stdout
    # MF, and MACR_MF with its four ablations
    assert done.stdout.count("found in the store") == 6 and ": training (" not in done.stdout
    assert world.trained() == before
    assert all((world.folder / RUNS / method / "sound/seed1/run.json").exists() for method in ("MF", "MACR_MF"))


def test_an_edit_of_a_model_plans_its_runs_and_what_shows_them(world):
    world.edit("reprise/models/lightgcn.py", '"""\n', '"""\n# a remark\n')
    assert NOTHING in world.dry("all")
    world.edit("reprise/models/lightgcn.py", "# a remark\n", "CHANGED = True\n")
    said = world.dry("all")
    runs = re.findall(r"Run (\w+) on small-world \(macr, (\w+), seed (\d)\)", said)
    methods, readings, seeds = ("LightGCN", "MACR_LightGCN"), ("printed", "sound"), ("1", "2")
    assert sorted(runs) == sorted((m, r, s) for m in methods for r in readings for s in seeds)


def test_killing_snakemake_trains_nothing_twice(world):
    """The orphan is held still until the second Snakemake's job waits for it, so that they surely meet."""
    receipt, seed = f"{RUNS}/LightGCN/printed/seed9/run.json", {"seeds": "[9]"}
    log = world.folder / "out/logs/run/macr/small-world/LightGCN/printed/seed9.log"
    said = world.folder / "said.txt"
    command = world.command("snakemake", "--cores", "2", receipt, **seed)
    with open(said, "a") as stream:
        first = subprocess.Popen(command, **world.place(), stdout=stream)
        until(lambda: log.exists() and ": training (" in log.read_text())
        orphan = next(one for one in psutil.Process(first.pid).children(recursive=True) if "run" in one.cmdline())
        orphan.suspend()
        first.kill()
        first.wait()
        unlock = world.command("snakemake", "--unlock", "--cores", "2", **seed)
        subprocess.run(unlock, **world.place(), stdout=stream, check=True)
        second = subprocess.Popen(command, **world.place(), stdout=stream)
        until(lambda: "another process is training it" in said.read_text())
        orphan.resume()
        assert second.wait(300) == 0, said.read_text()
    heard = said.read_text()
    fingerprint = read_json(world.folder / receipt)["fingerprint"]
    assert heard.count(f": training ({fingerprint})") == 1 and heard.count(": found in the store") == 1
    folder = (world.folder / receipt).parent
    assert {"run.json", "history.csv", "cost.json", "test"} <= {path.name for path in folder.iterdir()}
    assert NOTHING in world.snakemake(receipt, **seed).stdout


def test_snakemake_killed_at_three_random_points_trains_once(world):
    receipt, seed = f"{RUNS}/LightGCN/sound/seed9/run.json", {"seeds": "[9]"}
    log = world.folder / "out/logs/run/macr/small-world/LightGCN/sound/seed9.log"
    said, when = world.folder / "said.txt", random.Random(3)
    for kill in range(3):
        with open(said, "a") as stream:
            killed = subprocess.Popen(world.command("snakemake", "--cores", "2", receipt, **seed), **world.place(),
                                      stdout=stream)
            if kill == 0:
                until(lambda: log.exists() and ": training (" in log.read_text())
            with contextlib.suppress(subprocess.TimeoutExpired):
                killed.wait(when.uniform(0.5, 4))
            killed.kill()
            killed.wait()
            unlock = world.command("snakemake", "--unlock", "--cores", "2", **seed)
            subprocess.run(unlock, **world.place(), stdout=stream, check=True)
    done = world.snakemake(receipt, **seed)
    assert done.returncode == 0, done.stdout
    assert (said.read_text() + done.stdout).count(": training (") == 1
    assert read_json(world.folder / receipt)["seed"] == 9
    assert NOTHING in world.snakemake(receipt, **seed).stdout


# What cannot be run


def test_what_fails_or_waits_for_a_person_says_so_and_the_rest_is_shown(world):
    world.edit("sources.yaml", "agree: null", "agree: adressa")  # the first source is Adressa's
    world.edit("papers/macr/paper.yaml", "printed: {training: {empty_users: item0}}",
               "printed: {training: {empty_users: item0}}\n      sound: {training: {learning_rate: 1.0e+38}}")
    some = {"datasets": "small-world,adressa", "methods": "MF,Random", "seeds": 1}
    before = world.trained()

    failing = world.snakemake("macr_table2", **some)
    assert failing.returncode == 1 and "run macr small-world MF sound 1: search, epoch 1" in failing.stdout
    assert "the same command again" in failing.stdout and "Traceback" not in failing.stdout
    assert world.trained() == before and "Fetch macr-adressa" not in failing.stdout

    rest = world.snakemake("macr_table2", **some)
    assert rest.returncode == 0, rest.stdout
    table = (world.folder / "out/macr/tables/table2.md").read_text()
    page = (world.folder / "out/scorecard.html").read_text()
    for shown in (table, page):
        assert "not run: diverged: search, epoch 1" in shown and "set retry=true" in shown
        assert "licence: CC BY-NC-SA 4.0" in shown and "licences=adressa" in shown
    assert world.trained() == before
    assert world.planned("macr_table2", **some)["run"] == 0
    assert world.planned("macr_table2", **some, retry="true")["run"] == 1


def test_other_counts_than_the_papers_stop_before_any_training(world):
    world.edit("papers/macr/paper.yaml", "expect: {users: 700", "expect: {users: 701")
    shutil.rmtree(world.folder / RUNS)
    before = world.trained()
    done = world.snakemake("all")
    assert done.returncode == 1 and "users: expected 701, found 700" in done.stdout
    assert world.trained() == before and not (world.folder / RUNS).exists()
    jobs = world.planned("all")
    assert jobs["prepare"] == jobs["run"] == 0 < jobs["report"], "the rest is shown"
    world.edit("papers/macr/paper.yaml", "expect: {users: 701", "expect: {users: 700")
    assert world.planned("all")["prepare"] == 1, "it failed with other counts"


# The numbers of record


@pytest.fixture(scope="module")
def recorded(built, tmp_path_factory):
    """The finished small world, put on record."""
    recorded = _again(built, tmp_path_factory.mktemp("recorded") / "world")
    done = recorded.reprise("record", "macr")
    assert done.returncode == 0, done.stdout
    return recorded


def test_regression_holds_moves_or_has_nothing_to_check(recorded, tmp_path):
    world = _again(recorded, tmp_path / "world")
    holds = world.snakemake("regression")
    assert holds.returncode == 0, holds.stdout
    rows = int(re.search(r"checked (\d+) \(\1 hold, 0 moved\), missing 0", holds.stdout)[1])
    assert rows > 500

    path = world.folder / "results/record/macr.runs.csv"
    record = pd.read_csv(path, dtype=str, keep_default_na=False)
    cell = (record["method"] == "MACR_MF") & (record["reading"] == "sound") & (record["metric"] == "ndcg")
    cell &= (record["k"] == "20") & (record["group"] == "") & (record["seed"] == "2")
    cell &= record["variant"] == "main"
    assert cell.sum() == 1
    record.loc[cell, "value"] = (record.loc[cell, "value"].astype(float) + 0.01).astype(str)
    record.to_csv(path, index=False)
    assert world.planned("regression")["regression"] == 1, "a check is made at every call"
    moved = world.snakemake("regression")
    assert moved.returncode == 1 and f"checked {rows} ({rows - 1} hold, 1 moved)" in moved.stdout
    assert re.search(r"small-world +sound +MACR_MF +2 +NDCG@20 .* -1.00e-02", moved.stdout)

    record.head(0).to_csv(path, index=False)
    nothing = world.snakemake("regression")
    assert nothing.returncode == 1 and "nothing was checked" in nothing.stdout


def test_a_clone_that_holds_only_the_record_shows_it(recorded, tmp_path):
    clone = Copy(copy_workflow(tmp_path / "clone"))
    shutil.copytree(recorded.folder / "results/record", clone.folder / "results/record")
    done = clone.reprise("report")
    assert done.returncode == 0, done.stdout
    ours, there = ((copy.folder / "out/scorecard.md").read_text() for copy in (clone, recorded))
    for name in PAPER.tables.values():
        assert name.title in ours
    # Every number of the runs at hand is in the clone's page, and said to be of record.
    assert "of record" in ours and "of record" not in there
    measured = re.findall(r"\d\.\d+ ± \d\.\d+", there)
    assert len(measured) > 30 and measured == re.findall(r"\d\.\d+ ± \d\.\d+", ours)


def test_the_record_is_an_input_of_the_scorecard_alone(recorded):
    assert set(recorded.planned("all")) == {"report", "all", "total"}
