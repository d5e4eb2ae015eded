"""Searched settings: what is tried, what is chosen, that the test part has no say, and where a tuned run is shown."""

from __future__ import annotations

import csv
import math
import random
import shutil
from pathlib import Path

import fake_runs
import numpy as np
import pandas as pd
import pytest
from reprise import selection
from reprise.__main__ import main
from reprise.config import make_config
from reprise.data.prepared import Prepared
from reprise.errors import RepriseError
from reprise.files import read_json, write_json
from reprise.papers import MAIN, TUNED, Run, grid_of, load_paper, resolve
from reprise.reporting import record
from reprise.reporting.claim_rows import judged_claims
from reprise.reporting.finished import load_results
from reprise.reporting.pairs import compare_pairs
from reprise.reporting.regression import recorded_runs
from reprise.reporting.tables import lay_out, table_frame
from reprise.reporting.verdict_rows import judged
from reprise.stages.tune import choose
from reprise.training import run as training
from reprise.training.execution import executing
from reprise.training.run import Job
from reprise.training.trial import run_trial
from reprise.tuning import draw, is_searched, row_of, search_of, shown_under, spec_of
from workflow_copy import Copy, copy_workflow

PAPER = load_paper("macr")
PLACE = ("macr", "small-world", "MF", "sound")
TUNED_MF = Run("macr", "small-world", "sound", "MF", "MF", TUNED, 1)


def prepare(results):
    """Noise, but of more items than a list holds, so that settings differ in their score."""
    cells = np.random.default_rng(0).permutation(np.argwhere(np.random.default_rng(1).random((60, 150)) < 0.1))
    data = Prepared(60, 150, cells[300:], cells[150:300], cells[:150], "small-world")
    data.save(Path(results, "macr/small-world/data"))
    write_json(Path(results, "macr/small-world/data/check.json"), {})


@pytest.fixture
def config(tmp_path):
    prepare(tmp_path / "results")
    return make_config(
        {
            "results": str(tmp_path / "results"),
            "resources": str(tmp_path / "resources"),
            "device": "cpu",
            "max_epochs": 10,
            "datasets": "small-world",
            "tuning": "search",
            "trials": 3,
        }
    )


def words(config):
    keys = ("results", "resources", "device", "max_epochs", "datasets", "tuning", "trials", "retry")
    values = {key: getattr(config, key) for key in keys} | {"datasets": ",".join(config.datasets)}
    return ["--config", *(f"{key}={value}" for key, value in values.items())]


def tune(config, *place):
    return main(["tune", *(place or PLACE), *words(config)])


def rows(config):
    with open(Path(config.results, search_of(*PLACE, config).folder, "trials.csv"), newline="") as file:
        return list(csv.DictReader(file))


def choice(config):
    return read_json(Path(config.results, search_of(*PLACE, config).folder, "choice.json"))


# What is tried


def test_a_draw_is_the_whole_product_each_point_once_and_seeded():
    grid = {"a": [1, 2, 3], "b": ["x", "y"]}
    brute = [{"a": a, "b": b} for a in (1, 2, 3) for b in ("x", "y")]
    drawn = list(draw(grid, random.Random("one")))
    assert sorted(map(str, drawn)) == sorted(map(str, brute)) and drawn != brute
    assert drawn == list(draw(grid, random.Random("one"))) != list(draw(grid, random.Random("two")))


@pytest.mark.parametrize("dataset", ["adressa", "yelp2018"])
def test_the_published_setting_comes_first_and_is_drawn_no_second_time(dataset):
    points = search_of("macr", dataset, "MACR_MF", "sound", make_config({"trials": 192})).points
    published = resolve(PAPER, dataset, "sound", "MACR_MF")
    assert points[0] == {"method.alpha": published["method"]["alpha"], "method.beta": 1e-3,
                         "training.l2": 1e-5, "training.learning_rate": 1e-3}
    # 4 x 4 x 4 x 3, and the published setting is one of them
    assert len(points) == 192 == len({tuple(point.items()) for point in points})


def test_a_smaller_budget_tries_the_first_of_a_larger_one():
    few, many = (search_of("macr", "adressa", "MF", "sound", make_config({"trials": n})).points for n in (3, 8))
    assert len(few) == 3 and len(many) == 8 and many[:3] == few


@pytest.mark.parametrize(("paper", "dataset", "count"), [("macr", "adressa", 15), ("decrs", "ml-1m", 9)])
def test_every_trained_row_gets_the_same_number_of_trials(paper, dataset, count):
    rows = [name for name, row in load_paper(paper).methods.items()
            if not row.rerank and row.model not in ("random", "popularity")]
    assert len(rows) == count
    for name in rows:
        assert math.prod(map(len, grid_of(load_paper(paper), name).values())) >= 8, name
        assert len(search_of(paper, dataset, name, "sound", make_config({})).specs) == 8, name


def test_a_trial_is_a_run_without_refit_and_with_its_settings_checked():
    search = search_of("macr", "adressa", "ExpoMF", "sound", make_config({"max_epochs": 4}))
    assert {len(spec["method"]["precisions"]) for spec in search.specs} == {3}
    assert all(not spec["training"]["refit"] and spec["training"]["max_epochs"] == 4 for spec in search.specs)
    assert "training.learning_rate" not in search.points[0], "ExpoMF takes it out of the paper's grid"


def test_only_own_rows_are_searched_and_only_where_validation_selects():
    config = make_config({"tuning": "search"})
    assert is_searched(PAPER, "adressa", "MACR_MF", "sound")
    assert not is_searched(PAPER, "adressa", "MACR_MF", "printed"), "the test set selects"
    assert not is_searched(PAPER, "adressa", "Random", "sound"), "it learns nothing"
    assert row_of(PAPER, "MACR_MF", "adressa", "sound", config) == ("MACR_MF", TUNED)
    assert row_of(PAPER, "MACR_MF", "adressa", "sound", make_config({})) == ("MACR_MF", MAIN)
    assert row_of(PAPER, "MACR_MF w/o L_I", "adressa", "sound", config) == ("MACR_MF", "alpha=0")
    published = [name for name, one in PAPER.exhibits.items() if shown_under(PAPER, one, config).tuning == "published"]
    assert published == ["table3", "table4", "table5", "extra"]


# What is chosen


def test_the_choice_is_the_best_on_validation_and_every_trial_is_kept(config):
    config = config.model_copy(update={"max_epochs": 100})  # of one step each: fewer leave every ranking as it began
    assert tune(config) == 0
    found, chosen = rows(config), choice(config)
    scores = [float(row["score"]) for row in found]
    assert len(found) == 3 == chosen["trials"] and len(set(scores)) > 1
    best = scores.index(max(scores))
    assert chosen["trial"] == best + 1 and chosen["score"] == scores[best]
    assert chosen["settings"] == search_of(*PLACE, config).points[best]
    store = Path(config.resources, "store")
    for row in found:
        held = {path.name for path in (store / row["fingerprint"]).iterdir()}
        assert held == {"trial.json", "lock"}, "a trial leaves no weights"
        assert row["fingerprint"].endswith("-s0")


def test_equal_scores_go_to_the_earlier_trial_and_a_diverged_one_has_none():
    assert choose([{"score": 0.1}, {"score": 0.3}, {"score": 0.3}, {"score": None}], "") == 1
    assert choose([{"score": None}, {"score": 0.0}], "") == 1


def diverging(monkeypatch, which):
    """Make the trials for whose training settings `which` says so diverge."""
    search = Job.search

    def searched(job, saved):
        if which(job.spec["training"]):
            raise RepriseError("search, epoch 3", found="loss nan", kind="diverged")
        return search(job, saved)

    monkeypatch.setattr(Job, "search", searched)


def test_a_trial_that_diverges_is_spent_and_says_so(config, monkeypatch):
    first = search_of(*PLACE, config).specs[0]["training"]
    diverging(monkeypatch, lambda training: training["learning_rate"] == first["learning_rate"])
    assert tune(config) == 0
    found = rows(config)
    assert len(found) == 3 and found[0]["score"] == "" and "diverged: search, epoch 3" in found[0]["reason"]
    assert choice(config)["trial"] > 1


def test_a_search_of_which_every_trial_diverges_fails_until_it_is_retried(config, monkeypatch):
    def reason(**values):
        some = make_config({**config.model_dump(), **values})
        return {one.run: one.reason for one in selection.plan(PAPER, ["table2"], some)}[TUNED_MF]

    assert reason() is None
    diverging(monkeypatch, lambda _: True)
    assert tune(config) == 1 and "all 3 diverged" in reason() and "retry=true" in reason()
    assert reason(retry=True) is None and reason(trials=4) is None, "it failed with another budget"


def test_what_cannot_be_searched_is_one_clear_error(config, capsys):
    assert tune(config, "macr", "small-world", "MF", "printed") == 1
    assert tune(config, "macr", "small-world", "Random", "sound") == 1
    assert tune(config, "macr", "small-world", "MACR_MF w/o L_I", "sound") == 1
    assert tune(config, "macr", "small-world", "Nobody", "sound") == 1
    assert not list(Path(config.results).rglob("tuning"))


# What a trial reads, and what is left of it when it is killed


def spec_and_data(config, method="MACR_MF"):
    spec = search_of("macr", "small-world", method, "sound", config).specs[1]
    return spec, Prepared.load(Path(config.results, "macr/small-world/data"))


def trial(folder, data, spec, **options):
    found = run_trial(folder, data, spec, "cpu", "trial", **options)
    return {name: value for name, value in found.items() if name != "seconds"}


def test_the_test_part_is_never_read(config, tmp_path, monkeypatch):
    spec, data = spec_and_data(config)
    plain = trial(tmp_path / "plain", data, spec)
    other = Prepared(data.n_users, data.n_items, data.train, data.valid, data.test[::2], data.status)
    assert trial(tmp_path / "other", other, spec) == plain
    read = Prepared.parts

    def parts(self, name):
        assert "test" not in name.split("+") and len(self.test) == 0
        return read(self, name)

    monkeypatch.setattr(Prepared, "parts", parts)
    assert trial(tmp_path / "guarded", data, spec) == plain
    assert np.array_equal(data.test, other.test) is False and plain["score"] > 0


def test_a_killed_trial_goes_on_to_the_same_bits(config, tmp_path, monkeypatch):
    spec, data = spec_and_data(config)
    whole = trial(tmp_path / "whole", data, spec)
    seen, evaluate = [], Job._evaluate

    def killed(job, *arguments):
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return evaluate(job, *arguments)

    monkeypatch.setattr(Job, "_evaluate", killed)
    with pytest.raises(KeyboardInterrupt):
        trial(tmp_path / "killed", data, spec, checkpoint_every=0.0)
    assert {path.name for path in (tmp_path / "killed").iterdir()} == {"checkpoint.safetensors"}
    assert trial(tmp_path / "killed", data, spec) == whole and len(seen) == 3, "one evaluation was not made again"
    assert {path.name for path in (tmp_path / "killed").iterdir()} == {"trial.json"}


def test_a_killed_search_keeps_its_trials_and_prune_lets_them_be(config, monkeypatch):
    made, search = [], Job.search

    def killed(job, saved):
        made.append(job)
        if len(made) == 3:
            raise KeyboardInterrupt
        return search(job, saved)

    monkeypatch.setattr(Job, "search", killed)
    with pytest.raises(KeyboardInterrupt):
        tune(config)
    assert len(rows(config)) == 2 and search_of(*PLACE, config).chosen(config) is None
    (half,) = set(Path(config.resources, "store").iterdir()) - {
        Path(config.resources, "store", row["fingerprint"]) for row in rows(config)
    }
    assert main(["prune", "--yes", *words(config)]) == 0
    assert not half.exists() and tune(config) == 0 and len(made) == 4, "two trials were found, the third made again"
    before = choice(config)
    assert main(["prune", "--yes", *words(config)]) == 0 and tune(config) == 0
    assert choice(config) == before and len(made) == 4


# The tuned run


def test_a_tuned_run_needs_its_choice_and_goes_stale_with_it(config):
    with pytest.raises(RepriseError, match="python -m reprise tune macr small-world MF sound"):
        spec_of(TUNED_MF, config)
    assert tune(config) == 0
    settings = choice(config)["settings"]
    spec = spec_of(TUNED_MF, config)
    assert spec["training"]["learning_rate"] == settings["training.learning_rate"]
    assert spec["training"]["refit"], "the reading's own switches stand"
    with executing(TUNED_MF, config) as execution:
        execution.all()
    folder = Path(config.results, "macr/small-world/runs/MF/sound-tuned/seed1")
    assert execution.folder == folder and read_json(folder / "run.json")["variant"] == TUNED

    def reason(**values):
        some = {**config.model_dump(), "methods": "MF", "seeds": 1, **values}
        return load_results(PAPER, make_config(some)).absent.get(TUNED_MF)

    assert reason() is None
    assert "stale" in reason(trials=2), "chosen with another budget"
    path = Path(config.results, search_of(*PLACE, config).folder, "choice.json")
    path.write_text(path.read_text().replace(f'"training.l2": {settings["training.l2"]}', '"training.l2": 0.5'))
    assert "stale" in reason(), "chosen otherwise since"


def test_a_choice_of_the_published_setting_trains_nothing_again(config, monkeypatch):
    diverging(monkeypatch, lambda training: training["learning_rate"] != 0.003)  # all but the published one
    assert tune(config) == 0 and choice(config)["trial"] == 1
    monkeypatch.undo()
    with executing(Run(*[*vars(TUNED_MF).values()][:-2], MAIN, 1), config) as execution:
        execution.all()
    monkeypatch.setattr(training, "train", None)
    with executing(TUNED_MF, config) as tuned:
        tuned.all()
    assert tuned.fingerprint == execution.fingerprint


def test_plan_counts_the_searches_that_are_left(config, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(record, "RECORD", tmp_path / "record")
    command = ["plan", "macr_table2", *words(config), "methods=MF", "seeds=2"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "searches: 1 to make, 3 trials" in said and "not measured for 3 trials of MF on small-world, sound" in said
    assert tune(config) == 0 and main(command) == 0
    assert "searches" not in capsys.readouterr().out


# Where it is shown


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Runs of MF and MACR_MF with published settings and with searched ones, MACR_MF's ten hits better."""
    folder = tmp_path_factory.mktemp("tree")
    return load_results(PAPER, fake_runs.make(folder, variants=True, methods="MF,MACR_MF", tuning="search"))


def test_tables_show_tuned_rows_but_where_rows_are_relative_to_published_ones(results):
    pairs = compare_pairs(results)
    frames = {name: table_frame(name, results, pairs) for name in ("table2", "table3", "table4")}

    def value(name, method, reading):
        frame = frames[name]
        cell = (frame["method"] == method) & (frame["reading"] == reading) & (frame["metric"] == "hr")
        return frame[cell & (frame["dataset"] == "adressa")]["mean"].item()

    assert value("table2", "MACR_MF", "sound") == pytest.approx(0.150)
    assert value("table2", "MACR_MF", "printed") == pytest.approx(0.140), "the test set selects there"
    assert value("table3", "MACR_MF", "sound") == pytest.approx(0.140)
    assert value("table4", "MACR_MF[alpha=1e-3;beta=1e-3]", "sound") == pytest.approx(0.140)
    said = {name: [line for line in lay_out(name, PAPER, frame).remarks if "searched" in line]
            for name, frame in frames.items()}
    assert said["table2"] == ["Settings under sound were searched: at most 8 trials for each method, the published "
                              "setting among them, chosen on validation."]
    assert said["table3"] == said["table4"] == []


def test_comparisons_verdicts_and_claims_are_of_the_runs_that_are_shown(results):
    pairs = compare_pairs(results).query("reading == 'sound' and metric == 'hr' and k == 20")
    diff = pairs.set_index(["exhibit", "lhs", "rhs"])["diff"]
    # Of a thousand users MACR_MF hits 150 tuned and 140 as published, MF 111 either way, without L_I 124.
    assert diff["table2", "MACR_MF", "MF"] == pytest.approx(0.039)
    assert diff["table3", "MACR_MF", "MACR_MF w/o L_I"] == pytest.approx(0.016)
    verdicts = judged(results).query("reading == 'sound' and metric == 'hr' and method == 'MACR_MF'")
    cell = verdicts[verdicts["dataset"] == "adressa"].set_index("table")
    assert cell.loc["2", "mean"] == pytest.approx(0.150) and cell.loc["3", "mean"] == pytest.approx(0.140)
    assert "tuning=search trials=8" in cell.loc["2", "command"] and "tuning" not in cell.loc["3", "command"]
    effect = judged_claims(results).query("reading == 'sound'").set_index("id")["effect"]
    assert effect["C323"] == pytest.approx(0.003), "Table 3, HR@20: MACR_MF over w/o user branch, 140 and 137"
    assert effect["C384"] == pytest.approx(0.039), "Figure 12, HR@20: MACR_MF over MF"


def test_tuned_runs_go_on_record_as_such_and_are_no_part_of_the_regression(results, monkeypatch, tmp_path):
    monkeypatch.setattr(record, "RECORD", tmp_path / "record")
    record.add_runs("macr", record.recordable(results))
    kept = record.read_runs("macr")
    assert {MAIN, TUNED} <= set(kept["variant"]) and set(kept[kept["variant"] == TUNED]["reading"]) == {"sound"}
    config = make_config({"regression_set": "real", "results": results.config.results})
    assert {run.variant for run in recorded_runs(PAPER, config)} >= {MAIN}
    assert TUNED not in {run.variant for run in recorded_runs(PAPER, config)}
    clone = record.with_record(load_results(PAPER, config.model_copy(update={"results": str(tmp_path)})))
    frame = table_frame("table2", clone, compare_pairs(clone))
    row = frame.query("dataset == 'adressa' and method == 'MACR_MF' and reading == 'sound' and metric == 'hr'")
    assert row["mean"].item() == pytest.approx(0.140), "searched numbers stand in no published table"


# The workflow


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return Copy(copy_workflow(tmp_path_factory.mktemp("copy")))


def test_searches_are_planned_for_readings_that_select_on_validation(copy):
    some = {"datasets": "adressa", "methods": "MF,MACR_MF,Random", "tuning": "search", "seeds": 2}
    said = copy.dry("macr", **some)
    assert said.count("Search settings of") == 2 and "MF on adressa (macr, printed)" not in said
    assert said.count("adressa (macr, sound-tuned, seed") == 2 * 2, "MF and MACR_MF, two seeds"
    assert "Run MACR_MF on adressa (macr, sound, seed 1)" in said, "Table 3 keeps published settings"
    assert copy.planned("macr", **(some | {"tuning": "published"}))["tune"] == 0


def test_the_workflow_searches_once_and_shows_what_it_chose(copy):
    table = "out/macr/tables/table2.md"
    some = {"methods": "MACR_MF", "readings": "sound", "seeds": 1, "tuning": "search", "trials": 2}
    done = copy.snakemake(table, **some)
    assert done.returncode == 0, done.stdout
    metrics = pd.read_csv(copy.folder / "out/macr/metrics.csv")
    assert set(metrics["variant"].dropna()) == {TUNED}
    assert "Settings under sound were searched: at most 2 trials" in (copy.folder / table).read_text()
    assert not copy.planned(table, **some)
    chosen = copy.folder / "out/macr/small-world/tuning/MACR_MF/sound/choice.json"
    before, trained = chosen.read_bytes(), copy.trained()
    for lost in ("small-world/tuning", "small-world/runs", "tables"):
        shutil.rmtree(copy.folder / "out/macr" / lost)
    (copy.folder / "out/macr/metrics.csv").unlink()
    again = copy.snakemake(table, **some)
    assert again.returncode == 0, again.stdout
    assert chosen.read_bytes() == before and copy.trained() == trained, "the store holds the trials and the run"
    copy.edit("papers/macr/paper.yaml", "l2: [1.0e-6, 1.0e-5", "l2: [2.0e-6, 1.0e-5")
    jobs = copy.planned(table, **some)
    assert jobs["tune"] == 1 == jobs["run"], "another grid is another search"
