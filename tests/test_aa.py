"""The A/A study on real runs: who decides does not call a method different from itself, who only shows does."""

import numpy as np
import pytest
from reprise.__main__ import main
from reprise.evaluation.aa import false_positive_rates
from reprise.files import read_json
from reprise.stages import aa

PAIRS = 30


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """What the stage wrote, and the per-user values that it wrote it from."""
    results, values, trained = tmp_path_factory.mktemp("results"), {}, aa.run_each
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aa, "run_each", lambda *named: values.update(trained(*named)) or values)
        settings = [f"results={results}", f"resources={results}", "device=cpu", "threads=1"]
        assert main(["aa", "--pairs", str(PAIRS), "--config", *settings]) == 0
    assert [path.name for path in results.iterdir()] == ["aa.json"]
    return read_json(results / "aa.json"), values


@pytest.mark.parametrize("metric", ["ndcg@20", "hr@20"])
def test_disjoint_pairs_are_seldom_called_different(study, metric):
    found = study[0]["metrics"][metric]
    # Of 30 honest tests at 1 in 20, more than 4 call a difference in fewer than 25 of 1,000 studies.
    assert found["high"] == 4 / 30
    assert found["welch"] <= 4 / 30 and found["two_level"] <= 4 / 30


@pytest.mark.parametrize("metric", ["ndcg@20", "hr@20"])
def test_over_many_pairs_who_decides_keeps_the_level_and_who_only_shows_does_not(study, metric):
    # Pairs of one shuffle are disjoint; 33 shuffles of the same 120 runs share runs, so no bound here is exact.
    found = false_positive_rates(study[1][metric], 2, pairs=1000)
    assert found["high"] == 64 / 1000
    assert 0 < found["welch"] <= 64 / 1000 and 0 < found["two_level"] <= 64 / 1000
    assert found["paired_t"] > 64 / 1000 and found["paired_wilcoxon"] > 64 / 1000


def test_it_says_what_was_trained_and_no_pair_shares_a_run(study):
    written = study[0]
    assert written["seeds"] == PAIRS * 4 and written["spec"]["model"] == {"name": "mf", "dim": 16}
    for found in written["metrics"].values():
        assert found["pairs"] == found["independent_pairs"] == PAIRS and found["users"] == 525


def test_the_runs_have_learnt_and_differ_by_their_seed_alone():
    first, again = aa.run_each([1, 2], "cpu", 1), aa.run_each([1, 2], "cpu", 1)
    hr = first["hr@20"]
    assert np.array_equal(hr, again["hr@20"]) and not np.array_equal(hr[0], hr[1])
    # A random order finds one item among 20 of 280 in 7 % of cases; with 2.1 items a user, in 15 %.
    assert hr.mean() > 2 * 0.15


def test_a_rate_is_named_by_where_it_lies():
    assert [aa.place_of(rate, 0.02, 0.08) for rate in (0.01, 0.02, 0.08, 0.09)] == [
        "conservative", "as promised", "as promised", "too often"]  # fmt: skip


@pytest.mark.parametrize("wrong", [["--pairs", "0"], ["--seeds-per-side", "1"]])
def test_a_study_that_cannot_be_is_refused_before_it_trains(wrong, tmp_path):
    assert main(["aa", *wrong, "--config", f"results={tmp_path}"]) == 1
    assert not list(tmp_path.iterdir())
