"""Response times: what the stopwatch is held to, and how its numbers reach tables and claims."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from reprise.config import make_config
from reprise.evaluation import timing
from reprise.evaluation.ranking import Ranking
from reprise.papers import Run, load_paper
from reprise.reporting.answers import Answers
from reprise.reporting.finished import _timed
from reprise.reporting.lookup import Cell, Missing
from reprise.reporting.results import Results
from reprise.reporting.tidy import SHOWN, typed

PAPER = load_paper("dacsr")


class Slow:
    """Takes as many ticks of the clock a batch as it was told."""

    def __init__(self, ticks, now, said):
        self.ticks, self.now, self.said, self.model = ticks, now, said, self

    def scores(self, users, history):
        self.now[0] += self.ticks
        self.said.append((self.ticks, len(users)))
        return torch.arange(4.0).expand(len(users), 4)

    def adjust(self, scores, setting):
        return scores

    def forget(self):
        self.said.append("forgot")


def test_passes_take_turns_and_batches_start_afresh(monkeypatch):
    now, said = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    users = np.stack([np.arange(600), np.zeros(600, int)], 1)
    tasks = {name: (Slow(ticks, now, said), Ranking(users, users, 600, 4, "cpu", "none"), {})
             for name, ticks in (("fast", 3), ("slow", 30))}
    seconds = timing.clock(tasks, 2)
    # 600 users are three batches, of 256, 256 and 88: 9 ticks a pass and 90.
    assert seconds == {"fast": [9 / 600] * 5, "slow": [90 / 600] * 5}
    batches = [one for one in said if one != "forgot"]
    assert [size for _, size in batches] == [256, 256, 88] * 12 and said.count("forgot") == len(batches)
    turns = [ticks for ticks, _ in itertools.groupby(batches, key=lambda one: one[0])]
    assert turns == [3, 30] * 6  # the warm-up, then five passes each


def test_what_depends_on_no_user_may_be_kept(monkeypatch):
    now, said = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    users = np.stack([np.arange(600), np.zeros(600, int)], 1)
    tasks = {name: (Slow(3, now, said), Ranking(users, users, 600, 4, "cpu", "none"), {}) for name in ("anew", "once")}
    timing.clock(tasks, 2, kept=["once"])
    assert said.count("forgot") == len(said) / 3 == 18  # 6 passes of 3 batches, of one of the two rows


def test_one_user_at_a_time(monkeypatch):
    now, said = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    users = np.stack([np.arange(600), np.zeros(600, int)], 1)
    task = (Slow(3, now, said), Ranking(users, users, 600, 4, "cpu", "none"), {})
    assert timing.clock({"slow": task}, 2, ["slow"]) == {"slow": [3.0] * 5}  # 256 users of 3 ticks each
    assert [one for one in said if one != "forgot"] == [(3, 1)] * (3 + 5 * 256)


@pytest.fixture
def measured(tmp_path):
    """A finished run of two methods, and five passes of each."""
    config = make_config({"results": str(tmp_path), "resources": str(tmp_path), "seeds": 1})
    path = Path(tmp_path, "dacsr/ml-1m/times/table3/sound.csv")
    path.parent.mkdir(parents=True)
    rows = [(name, number, seconds * (1 + 0.01 * number)) for name, seconds in (("SASRec_D64", 2e-4), ("DACSR", 6e-4))
            for number in (2, 1, 0, -1, -2)]
    times = pd.DataFrame(rows, columns=["method", "pass", "seconds"])
    times.assign(device="cpu AVX2", threads=2).to_csv(path, index=False)
    record = {"device": "a GPU", "threads": 1, "data": {"status": "recovered"}, "cell": "", "commit": "", "date": ""}
    return {name: _timed(PAPER, config, Run("dacsr", "ml-1m", "sound", "SASRec", name, "main", 1), record)
            for name in ("SASRec_D64", "DACSR", "SASRec")}


def test_a_table_shows_the_median_and_its_ratio_to_the_first_row(measured):
    found = {name: dict(rows.loc[rows["group"] == "", ["metric", "value"]].to_numpy().tolist())
             for name, rows in measured.items()}
    assert found["SASRec_D64"] == pytest.approx({"response_time": 2.0, "response_ratio": 1.0})
    assert found["DACSR"] == pytest.approx({"response_time": 6.0, "response_ratio": 3.0})
    assert not found["SASRec"], "nothing was measured of it"
    assert set(measured["DACSR"]["device"]) == {"cpu AVX2"} and set(measured["DACSR"]["threads"]) == {2}


@pytest.mark.parametrize("origin", ["", "of record"])
def test_a_claim_on_times_has_the_passes_for_seeds(measured, origin):
    frame = typed(pd.concat(measured.values()).assign(origin=origin)[SHOWN])
    answers = Answers.__new__(Answers)
    answers.reading, answers.results = "sound", Results(PAPER, make_config({}), frame)
    answers._check = lambda cell: None  # whether its runs are at hand
    passes = answers.sample(Cell("ml-1m", "DACSR", "response_time", 20)).by_seed
    assert passes[2] == pytest.approx(6.12) and passes[-1] == pytest.approx(5.94) and len(passes) == 5
    with pytest.raises(Missing, match="was measured"):
        answers.sample(Cell("ml-1m", "SASRec", "response_time", 20))


def test_seconds_of_another_machine_are_not_judged(monkeypatch):
    from reprise.reporting import verdict_rows

    monkeypatch.setattr(verdict_rows, "departure", lambda *_: "")
    results = SimpleNamespace(paper=PAPER, config=make_config({}), reason=lambda *_: "", under=lambda _: results)
    record = {"table": "3", "dataset": "ml-1m", "backbone": "SASRec", "method": "DACSR", "k": pd.NA, "group": "",
              "decimals": 2, "mean": 42.0, "values": (42.0,), "which": (1,), "gap": None, "variant": "main",
              "data": "official", "origin": ""}
    taken = SimpleNamespace(text=lambda *_: "", cap=lambda *_: None)
    verdicts = {metric: verdict_rows._judged(results, "sound", record | dict(metric=metric, printed=printed), taken, {})
                for metric, printed in (("response_time", 4.24), ("response_ratio", 2.11))}
    words = {metric: one["verdict"] for metric, one in verdicts.items()}
    assert words == {"response_time": "unresolved", "response_ratio": "off (high)"}
