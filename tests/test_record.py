"""The record: adds runs, replaces none unless forced, and does not mix fingerprints."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import fake_runs
import numpy as np
import pandas as pd
import pytest
from reprise.__main__ import main
from reprise.config import make_config
from reprise.evaluation.significance import SEEDS_ALONE, SKETCH
from reprise.papers import load_paper
from reprise.reporting import record, record_pages
from reprise.reporting.claim_rows import judged_claims
from reprise.reporting.finished import load_results
from reprise.reporting.pairs import compare_pairs
from reprise.reporting.tidy import PROVENANCE, read_tidy
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


def test_a_mean_over_seeds_names_every_device_and_counts_a_seed_once(tmp_path, folder):
    config = fake_runs.make(tmp_path, methods="MACR_MF", readings="sound")

    def keep():
        put(config)
        found = load_results(PAPER, config).runs[fake_runs.RUN]
        record.add_spreads("macr", record.spreads_of(PAPER, Path(config.results), fake_runs.RUN, found))
        return found["code"]

    fake_runs.write_run(config, fake_runs.RUN, keep(), device="cpu AVX2", date="2026-12-01T00:00:00+00:00")
    fake_runs.move(config, fake_runs.RUN, 0.009)
    keep()
    (one,) = hit_rate(record.summary(record.read_runs("macr"))).to_dict("records")
    assert len(hit_rate(record.read_runs("macr"))) == 4
    assert (one["seeds"], one["device"]) == (3, "cpu and cpu AVX2")
    assert one["mean"] == pytest.approx(0.140 + 0.009 / 3)  # of seed 1 the later run, on the other device
    empty = make_config({"results": str(tmp_path / "nothing"), "datasets": "adressa"})
    shown = record.with_record(load_results(PAPER, empty))
    assert set(hit_rate(shown.frame)["origin"]) == {"of record, cpu and cpu AVX2, 2026-12-01"}
    assert set(record.read_spreads("macr")["device"]) == {"cpu", "cpu AVX2"}
    assert set(shown.spreads["device"]) == {"cpu AVX2"}  # as the mean's


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


def test_older_runs_count_once_the_newest_code_gave_the_same_number(tmp_path, folder):
    config = fake_runs.make(tmp_path, methods="MACR_MF", readings="sound")
    put(config)
    code = load_results(PAPER, config).runs[fake_runs.RUN]["code"]
    fake_runs.write_run(config, fake_runs.RUN, code, cell="cell-2", date="2026-12-01T00:00:00+00:00")
    put(config)
    runs = record.read_runs("macr")
    assert len(hit_rate(runs)) == 4
    (one,) = hit_rate(record.summary(runs)).to_dict("records")
    assert (one["seeds"], one["mean"]) == (3, pytest.approx(0.140))
    assert sorted(hit_rate(record.newest(runs))["fingerprint"]) == ["cell-1", "cell-1", "cell-2"]
    # A seed of the newest code that was never run by the older one shows nothing.
    elsewhere = runs[(runs["fingerprint"] == "cell-1") | (runs["seed"] == 1)]
    elsewhere = elsewhere.assign(seed=elsewhere["seed"].where(elsewhere["fingerprint"] == "cell-1", 9))
    assert set(hit_rate(record.newest(elsewhere))["seed"]) == {9}


def test_what_was_not_measured_then_is_added_to_a_run_on_record(tmp_path, folder):
    results = load_results(PAPER, fake_runs.make(tmp_path, methods="MF", readings="sound"))
    fresh = record.recordable(results)
    record.add_runs("macr", fresh[fresh["metric"] != "recall"])
    moved = fresh.assign(value=fresh["value"].where(fresh["metric"] == "recall", 0.5))
    record.add_runs("macr", moved)
    runs = record.read_runs("macr")
    assert len(runs) == len(fresh) and set(runs["metric"]) == set(fresh["metric"])
    hr = runs[(runs["metric"] == "hr") & (runs["k"] == 20)]["value"]
    assert sorted(hr) == pytest.approx([0.109, 0.111, 0.113]), "what stands is not replaced"


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
    every = dataclasses.replace(results, config=results.config.model_copy(update={"methods": None}))
    both = record.with_record(every).frame
    origin = both.groupby("method")["origin"].agg(set).to_dict()
    assert origin == {"": {""}, "MF": {""}, "MACR_MF": {"of record, cpu, 2026-11-21"}}
    assert set(record.with_record(results).frame["method"]) == {"", "MF"}, "a method that was left out is not shown"


def stages(config, *names):
    """Call stages with the configuration that made the runs."""
    chosen = ("results", "resources", "datasets", "methods", "seeds")
    values = {key: getattr(config, key) for key in chosen if getattr(config, key) is not None}
    written = [f"{k}=[{','.join(map(str, v))}]" if isinstance(v, tuple) else f"{k}={v}" for k, v in values.items()]
    for name in names:
        assert main([*name.split(), "--config", *written]) == 0


def test_the_record_stage_writes_every_page_and_wants_a_run(tmp_path, folder):
    stages(fake_runs.make(tmp_path, methods="MF"), "compare macr", "record macr")
    names = {str(path.relative_to(folder)) for path in folder.rglob("*.*")}
    assert {"macr.runs.csv", "macr.csv", "scorecard.html", "tables/macr_claims.csv"} <= names
    assert {f"tables/macr_{name}.tex" for name in PAPER.tables} <= names
    # Of plain MF alone no claim is about, and that this session had no more is no reason of record.
    claims = pd.read_csv(folder / "tables/macr_claims.csv", keep_default_na=False)
    assert len(claims) == 386 * 2 and claims["reason"].str.contains(record.BUDGET, regex=False).any()
    assert not claims["reason"].str.contains("no finished run|left out by").any()
    # Of Gowalla this record holds not even a count.
    table = pd.read_csv(folder / "tables/macr_table2.csv", keep_default_na=False)
    missing = table[table["reason"] != ""].groupby("dataset")["reason"].agg(set)
    assert record.BUDGET in missing["adressa"] and missing["gowalla"] == {record.UNPREPARED}
    assert {f"figures/macr_{name}.png" for name in PAPER.figures} <= names
    assert main(["record", "macr", "--config", f"results={tmp_path / 'nowhere'}", "datasets=adressa"]) == 1
    assert set(PROVENANCE) <= set(record.read_runs("macr").columns)


def test_a_session_with_fewer_runs_takes_nothing_away(tmp_path, folder, monkeypatch):
    """All methods with three seeds first; then another checkout that has plain MF with one."""
    monkeypatch.setattr(record_pages, "paper_names", lambda: ["macr"])  # of the others nothing is on record
    stages(fake_runs.make(tmp_path / "first"), "collect macr", "compare macr", "record macr")
    kept = {path.name: path.read_text() for path in (folder / "tables").glob("macr_*.*")}
    judged = pd.read_csv(folder / "tables/macr_claims.csv").set_index(["id", "reading"])["verdict"]
    assert (judged == "holds").any() and len(kept["macr_significance.csv"]) > 1000 and "±" in kept["macr_table2.md"]
    stages(fake_runs.make(tmp_path / "second", methods="MF", seeds=(1,)), "record macr")
    assert kept == {name: (folder / "tables" / name).read_text() for name in kept}


def test_the_record_judges_runs_of_several_days_as_if_they_lay_here(tmp_path, folder):
    """Seeds 1 to 3 at once, and the same in three sessions that share none: sums stand for users then."""
    here = load_results(PAPER, fake_runs.make(tmp_path / "here"))
    for seed in (1, 2, 3):
        session = load_results(PAPER, fake_runs.make(tmp_path / str(seed), seeds=(seed,)))
        record.add_runs("macr", record.recordable(session))
        record.add_spreads("macr", pd.concat([
            record.spreads_of(PAPER, Path(session.config.results), run, found) for run, found in session.runs.items()]))
    empty = here.config.model_copy(update={"results": str(tmp_path / "nothing"), "seeds": (1,)})
    there = record.with_record(load_results(PAPER, empty))
    assert not there.runs and not there.users("adressa", "sound", "MF", "hr", 20).size
    ours, theirs = (judged_claims(one).set_index(["id", "reading"]) for one in (here, there))
    decided = ours["verdict"] != "not run"
    assert decided.sum() > 50 and (theirs.loc[decided, "verdict"] == ours.loc[decided, "verdict"]).mean() > 0.95
    # Of joined comparisons another one may be the clearest.
    effects = (one.loc[decided, "effect"].to_numpy(float) for one in (ours, theirs))
    assert np.isclose(*effects, equal_nan=True).mean() > 0.85
    assert not theirs["reason"].str.contains(SEEDS_ALONE).any()
    names = {"exhibit": "table2", "reading": "sound", "metric": "hr", "k": 20, "lhs": "MACR_MF", "rhs": "MF"}
    query = " and ".join(f"{name} == {value!r}" for name, value in names.items())
    (pair,), (again,) = (compare_pairs(one).query(query).to_dict("records") for one in (here, there))
    assert again["p"] == pytest.approx(pair["p"]) and pd.isna(again["paired_t_p"]) and pair["paired_t_p"] < 0.05
    # A sketch of 200 sums knows a standard error to 5 %: four of them.
    assert again["high"] - again["diff"] == pytest.approx(pair["high"] - pair["diff"], rel=0.2)


def test_old_runs_without_users_are_judged_over_their_seeds_alone(tmp_path, folder):
    put(fake_runs.make(tmp_path))
    empty = make_config({"results": str(tmp_path / "nothing"), "datasets": "adressa"})
    there = record.with_record(load_results(PAPER, empty))
    sample = there.sample("adressa", "sound", "MF", "hr", 20)
    assert sample.seeds == (1, 2, 3) and sample.means == pytest.approx([0.111, 0.113, 0.109]) and not sample.spread.size
    claims = judged_claims(there).set_index(["id", "reading"])
    one = claims.loc[("C003", "sound")]
    assert one["verdict"] == "holds" and SEEDS_ALONE in one["reason"]


def test_a_spread_stays_unless_forced(tmp_path, folder):
    results = load_results(PAPER, fake_runs.make(tmp_path, methods="MF", readings="sound", seeds=1))
    ((run, found),) = ((run, one) for run, one in results.runs.items() if run.method == "MF")
    fresh = record.spreads_of(PAPER, Path(results.config.results), run, found)
    assert not fresh.duplicated(["metric", "k"]).any() and set(fresh["users"]) == {fake_runs.USERS}
    assert {len(text.split()) for text in fresh["spread"]} == {SKETCH}
    # 111 of 1,000 users are hit: the error over users is sqrt(.111 * .889 / 1000), known to 5 % from 200 sums.
    numbers = np.array(fresh.query("metric == 'hr' and k == 20")["spread"].item().split(), float) * record.UNIT
    assert np.sqrt((numbers**2).mean()) == pytest.approx(np.sqrt(0.111 * 0.889 / 1000), rel=0.2)
    record.add_spreads("macr", fresh)
    record.add_spreads("macr", fresh.assign(spread="1 2 3"))
    assert set(record.read_spreads("macr")["spread"]) == set(fresh["spread"])
    record.add_spreads("macr", fresh.assign(spread="1 2 3"), force=True)
    assert set(record.read_spreads("macr")["spread"]) == {"1 2 3"}
