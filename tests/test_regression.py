"""Regression: a number that moved, a run that is missing and a check of nothing all fail, and say so."""

from __future__ import annotations

import json
from pathlib import Path

import fake_runs
import pandas as pd
import pytest
from reprise.__main__ import main
from reprise.files import write_json
from reprise.papers import load_paper
from reprise.reporting import record
from reprise.reporting.finished import load_results
from reprise.reporting.regression import check, recorded_runs

PAPER = load_paper(fake_runs.PAPER)
RUN = fake_runs.Run("macr", "small-world", "sound", "MF", "MACR_MF", "main", 1)


@pytest.fixture
def config(tmp_path, monkeypatch):
    fake_runs.on_record(monkeypatch, tmp_path)
    config = fake_runs.make(tmp_path, "small-world", methods="MF,MACR_MF")
    record.add_runs("macr", record.recordable(load_results(PAPER, config)))
    return config


def regression(config, *more: str) -> int:
    return main(["regression", "--config", f"results={config.results}", f"resources={config.resources}", *more])


def elsewhere(config, shift: float) -> None:
    """Make every run at hand one of another device, its HR@20 moved by `shift`."""
    for run, stored in load_results(PAPER, config).runs.items():
        fake_runs.write_run(config, run, stored["code"], device="cuda")
        fake_runs.move(config, run, shift)


def test_equal_numbers_hold(config, capsys):
    assert regression(config) == 0
    assert "0 moved" in capsys.readouterr().out
    assert {run.method for run in recorded_runs(PAPER, config)} == {"MF", "MACR_MF"}


def test_a_moved_number_fails_with_the_difference(config, capsys):
    fake_runs.move(config, RUN, 0.0123)
    assert regression(config) == 1
    said = capsys.readouterr()
    (line,) = [line for line in said.out.splitlines() if "MACR_MF" in line]
    assert all(word in line for word in ("small-world", "sound", "HR@20", "0.140000", "0.152300", "+1.23e-02"))
    assert "1 moved" in said.err


def test_less_than_the_tolerance_holds(config):
    fake_runs.move(config, RUN, 5e-7)
    assert regression(config) == 0


def test_a_number_that_became_nan_has_moved(config):
    fake_runs.move(config, RUN, float("nan"))
    assert regression(config) == 1


def test_a_missing_run_fails(config, capsys):
    Path(config.results, RUN.folder, "run.json").unlink()
    assert regression(config) == 1
    assert "no finished run" in capsys.readouterr().out


def test_a_stale_run_is_missing(config, capsys):
    path = Path(config.results, RUN.folder, "run.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"code": "of yesterday"}))
    assert regression(config) == 1
    assert "stale" in capsys.readouterr().out


def test_nothing_to_check_fails(config, tmp_path, monkeypatch, capsys):
    fake_runs.on_record(monkeypatch, tmp_path / "empty")
    assert regression(config) == 1
    assert "nothing was checked" in capsys.readouterr().err


def test_another_device_is_held_to_the_spread_of_the_seeds(config):
    # Seeds are .140, .142, .138: another seed may fall 4.30 * .002 * sqrt(4/3) = .0099 away.
    elsewhere(config, 0.009)
    checked = check(PAPER, config)
    assert set(checked["status"]) == {"same"}
    assert checked[checked["method"] != ""]["why"].str.contains("recorded on cpu x 1, now on cuda x 1").all()
    elsewhere(config, 0.011)
    moved = check(PAPER, config).query("status == 'moved'")
    assert set(moved["metric"]) == {"hr"}


def test_real_data_that_are_not_here_are_skipped_and_said(config, tmp_path, capsys):
    real = fake_runs.make(tmp_path / "elsewhere", methods="MF")
    record.add_runs("macr", record.recordable(load_results(PAPER, real)))
    assert regression(config, "regression_set=real") == 0
    assert "of adressa: data not present" in capsys.readouterr().out
    assert "adressa" not in set(check(PAPER, config)["dataset"]), "the small world alone is the default set"


@pytest.fixture
def real(config, tmp_path):
    """A record of runs on Adressa, whose data lie here as well."""
    elsewhere = fake_runs.make(tmp_path / "elsewhere", methods="MF")
    rows = record.recordable(load_results(PAPER, elsewhere))
    write_json(Path(config.resources, "raw/macr-adressa/source.json"), {"status": "official"})

    def skipped(change, **settings):
        Path(record.RECORD, "macr.runs.csv").unlink()
        record.add_runs("macr", change(rows))
        checked = check(PAPER, config.model_copy(update={"regression_set": "real", **settings}))
        return set(checked[(checked["dataset"] == "adressa") & (checked["status"] == "skipped")]["why"])

    return skipped


def test_other_data_than_were_recorded_are_not_compared(real):
    assert real(lambda rows: rows) == set()
    assert real(lambda rows: rows.assign(data="recovered")) == {"recorded on recovered data, these are official"}


def test_a_run_that_was_cut_short_is_compared_with_such_alone(real):
    def capped(rows):
        of_a_run = rows[rows["metric"] == "hr"].drop_duplicates(["reading", "method", "seed"])
        said = of_a_run.assign(metric="shortcut: max_epochs=80 for 300", k=pd.NA, value=1.0)
        return pd.concat([rows, said], ignore_index=True)

    assert real(capped) == {"recorded with max_epochs=80"}
    assert real(capped, max_epochs=80) == set()


def test_stopwatches_are_not_compared(config):
    path = Path(config.results, RUN.folder, "cost.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"wall_s": 1.0, "peak_bytes": 1}))
    assert regression(config) == 0
    path.write_text(json.dumps(json.loads(path.read_text()) | {"steps": 1}))
    assert regression(config) == 1
