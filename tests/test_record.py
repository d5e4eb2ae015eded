"""The record: adds runs, replaces none unless forced, and does not mix fingerprints."""

from __future__ import annotations

import dataclasses

import fake_runs
import pandas as pd
import pytest
from reprise.__main__ import main
from reprise.papers import load_paper
from reprise.reporting import record
from reprise.reporting.results import PROVENANCE, load_results, read_tidy
from scipy import stats

PAPER = load_paper(fake_runs.PAPER)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    return fake_runs.on_record(monkeypatch, tmp_path)


def put(config, force: bool = False) -> tuple[int, int]:
    return record.add_runs("macr", record.recordable(load_results(PAPER, config)), force)


def hit_rate(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[
        (frame["method"] == "MACR_MF")
        & (frame["reading"] == "sound")
        & (frame["metric"] == "hr")
        & (frame["k"] == 20)
        & (frame["group"] == "")
    ]


def test_columns_are_those_of_the_contract(tmp_path, folder):
    put(fake_runs.make(tmp_path, methods="MACR_MF"))
    heads = {name: (folder / name).read_text().split("\n", 1)[0] for name in ("macr.runs.csv", "macr.csv")}
    assert heads == {
        "macr.runs.csv": "dataset,reading,backbone,method,variant,seed,metric,k,group,value,"
        "device,threads,data,fingerprint,commit,date",
        "macr.csv": "dataset,reading,backbone,method,variant,metric,k,group,mean,sd,seeds,atol,device,data",
    }


def test_summary_and_its_tolerance(tmp_path, folder):
    put(fake_runs.make(tmp_path, methods="MACR_MF,Popularity"))
    summary = read_tidy(folder / "macr.csv", record.SUMMARY)
    (one,) = hit_rate(summary).to_dict("records")
    assert one["mean"] == pytest.approx(0.140)
    assert one["sd"] == pytest.approx(0.002)
    assert one["atol"] == pytest.approx(stats.t.ppf(0.975, 2) * 0.002 * (1 + 1 / 3) ** 0.5)
    # A deterministic method has no spread; what is left is rounding.
    assert set(summary[(summary["method"] == "Popularity") & (summary["metric"] == "hr")]["atol"]) == {1e-6}


def test_runs_of_several_days_add_up(tmp_path, folder):
    assert put(fake_runs.make(tmp_path, methods="MACR_MF", readings="sound", seeds=2)) == (
        3,
        0,
    )  # two runs and the data set
    later = fake_runs.make(tmp_path, methods="MACR_MF", readings="sound", seeds=5)
    assert put(later) == (3, 3)
    assert list(hit_rate(record.read_runs("macr"))["seed"]) == [1, 2, 3, 4, 5]
    assert hit_rate(record.summary(record.read_runs("macr")))["seeds"].item() == 5


def test_what_is_on_record_stays_unless_forced(tmp_path, folder):
    config = fake_runs.make(tmp_path, methods="MACR_MF", readings="sound")
    put(config)
    before = (folder / "macr.runs.csv").read_bytes()
    fake_runs.move(config, fake_runs.RUN, 0.01)
    put(config)
    assert (folder / "macr.runs.csv").read_bytes() == before
    put(config, force=True)
    assert sorted(hit_rate(record.read_runs("macr"))["value"]) == pytest.approx([0.138, 0.142, 0.150])


def test_another_fingerprint_does_not_add_up(tmp_path, folder):
    config = fake_runs.make(tmp_path, methods="MACR_MF", readings="sound")
    put(config)
    code = load_results(PAPER, config).runs[fake_runs.RUN]["code"]
    fake_runs.write_run(config, fake_runs.RUN, code, cell="cell-2", date="2026-12-01T00:00:00+00:00")
    fake_runs.move(config, fake_runs.RUN, 0.01)
    put(config)
    runs = record.read_runs("macr")
    assert len(hit_rate(runs)) == 4
    (one,) = hit_rate(record.summary(runs)).to_dict("records")
    assert (one["seeds"], one["mean"]) == (1, pytest.approx(0.150))


def test_only_the_selecting_metric_of_a_sweep_is_kept(tmp_path, folder):
    results = load_results(PAPER, fake_runs.make(tmp_path, methods="MACR_MF"))
    other = results.frame.assign(
        metric=results.frame["metric"].where(~results.frame["group"].str.contains(";"), "ndcg")
    )
    assert record.recordable(results)["group"].str.contains(";").any()
    assert not record.recordable(dataclasses.replace(results, frame=other))["group"].str.contains(";").any()


def test_the_record_fills_only_what_has_no_run(tmp_path, folder):
    put(fake_runs.make(tmp_path / "theirs", methods="MF,MACR_MF"))
    results = load_results(PAPER, fake_runs.make(tmp_path / "ours", methods="MF"))
    both = record.with_record(dataclasses.replace(results, config=results.config.model_copy(update={"methods": None})))
    origin = both.groupby("method")["origin"].agg(set).to_dict()
    assert origin == {"": {""}, "MF": {""}, "MACR_MF": {"of record, cpu, 2026-11-21"}}
    assert set(record.with_record(results)["method"]) == {"", "MF"}, "a method that was left out is not shown"


def test_record_stage_copies_pages_and_refuses_nothing(tmp_path, folder):
    config = fake_runs.make(tmp_path, methods="MF")
    arguments = [
        "--config",
        f"results={config.results}",
        f"resources={config.resources}",
        "datasets=adressa",
        "methods=MF",
        "seeds=3",
    ]
    for stage in (["tabulate", "macr", "table1"], ["compare", "macr"], ["report"], ["record", "macr"]):
        assert main([*stage, *arguments]) == 0
    names = {str(path.relative_to(folder)) for path in folder.rglob("*.*")}
    assert {"macr.runs.csv", "macr.csv", "scorecard.html", "tables/macr_table1.md", "tables/macr_claims.csv"} <= names
    assert main(["record", "macr", "--config", f"results={tmp_path / 'nowhere'}", "datasets=adressa"]) == 1
    assert set(PROVENANCE) <= set(record.read_runs("macr").columns)
