"""GenRec's claims and rows: which can be judged, which wait for weights, and what each starts from."""

from collections import Counter

import pytest
from reprise.config import Config
from reprise.errors import RepriseError
from reprise.papers import Run, claim_ids, load_paper, resolve, spec_code, variant_of
from reprise.papers.loading import check
from reprise.papers.specs import starts_of
from reprise.reporting.answers import Answers
from reprise.reporting.claims import claims_in
from reprise.reporting.judging import judge_claims
from reprise.reporting.results import Results
from reprise.reporting.shortcuts import shortcuts_of
from reprise.reporting.tidy import empty
from reprise.selection import behind, planned, runs_of
from reprise.tuning import spec_of

PAPER = load_paper("genrec")
CLAIMS = claims_in(PAPER)


def test_every_claim_is_read_and_stands_in_one_exhibit():
    assert [claim.id for claim in CLAIMS if claim.form == "unsupported"] == []
    answered = [name for exhibit in PAPER.exhibits.values() for name in claim_ids(exhibit.claims)]
    assert sorted(answered) == [claim.id for claim in CLAIMS] and len(CLAIMS) == 262
    assert sum(exhibit.family for exhibit in PAPER.exhibits.values()) == 262


@pytest.mark.parametrize("reading", PAPER.readings)
def test_every_claim_only_lacks_runs(reading):
    verdicts = judge_claims(CLAIMS, Answers(Results(PAPER, Config(), empty()), reading))
    assert Counter((verdict.verdict, verdict.reason.rsplit(": ", 1)[-1]) for verdict in verdicts) == {
        ("not run", "no run at hand"): 262}


def test_rows_wait_for_weights_and_those_from_random_weights_do_not(tmp_path):
    """Decided from the presence of files: once they are there, the rows run."""
    config = Config(seeds=(1,), datasets=("beauty",), resources=str(tmp_path), results=str(tmp_path / "results"))

    def reasons(label, reading="sound"):
        run = next(one for name in PAPER.tables for one in runs_of(PAPER, PAPER.tables[name], config)
                   if one.label == label and one.reading == reading)
        return planned(PAPER, run, config).reason

    assert reasons("GenRec").startswith("weights: `python -m reprise fetch facebook-bart-base`")
    assert "fetch t5-base" in reasons("P5-B(2-3)") and reasons("GenRec_random") is None
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / "raw/facebook-bart-base").mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw/facebook-bart-base" / name).write_text("{}")
    assert reasons("GenRec") is None and reasons("GenRec[ids=appearance]") is None
    assert "fetch t5-small" in reasons("P5-S(2-3)")


def test_fine_tuning_starts_from_a_pretraining_with_the_same_numbers():
    def starts(label, reading):
        return resolve(PAPER, "beauty", reading, label).get("starts_from", {}).get("", {}).get("method")

    assert starts("GenRec", "printed") == "GenRec_pretraining"
    assert starts("GenRec w/o pretraining", "printed") is None
    assert starts("GenRec[ids=train_appearance]", "sound") == "GenRec_pretraining[ids=train_appearance]"
    for reading in PAPER.readings:
        for ids in ("appearance", "shuffled", "train_appearance"):
            run = Run("genrec", "beauty", reading, "", *variant_of(PAPER, f"GenRec[ids={ids}]", "beauty", reading), 1)
            (start,) = behind(PAPER, run)
            own, other = (spec_of(one, Config()) for one in (run, start))
            assert start.method == "GenRec_pretraining" and own["model"] == other["model"]
            assert own["model"]["ids"] == ids and own["starts_from"][""]["code"] == spec_code(other)


def test_what_only_lists_are_made_by_takes_no_training_of_its_own():
    for label, start, changed in (
        ("P5-S(2-13)", "P5-S(2-3)", {"prompt": "2-13"}),
        ("P5-B(2-13)[ids=train_appearance]", "P5-B(2-3)[ids=train_appearance]", {"prompt": "2-13"}),
        ("GenRec[constrained=true]", "GenRec", {"constrained": True}),
        ("GenRec w/o pretraining", None, None),
        ("GenRec[beams=4;constrained=true;pretraining=false]", "GenRec[pretraining=false]",
         {"beams": 4, "constrained": True}),
    ):
        assert starts_of(PAPER, label) == ({"": start} if start else {})
        if start:
            own, other = (resolve(PAPER, "beauty", "sound", row) for row in (label, start))
            assert own["training"]["max_epochs"] == 0 < other["training"]["max_epochs"]
            assert own["model"] == other["model"] and own["method"] == other["method"] | changed


def test_a_row_that_trains_nothing_starts_from_another():
    rows = PAPER.model_dump(mode="json", exclude_defaults=True)
    rows["methods"]["P5-S(2-13)"].pop("starts_from")
    with pytest.raises(RepriseError, match="(?s)starts_from, where training.max_epochs is 0"):
        resolve(type(PAPER)(**rows), "beauty", "sound", "P5-S(2-13)")


def test_a_row_that_makes_lists_alone_says_that_its_weights_were_capped():
    for row in ("P5-S(2-3)", "P5-S(2-13)", "P5-S(2-13)[beams=4]"):
        assert "max_epochs=2 for 10" in shortcuts_of(PAPER, "beauty", "printed", row, 2), row


def test_what_sizes_a_model_is_handed_on_and_what_trains_its_start_is_not():
    dacsr = load_paper("dacsr")
    starts = starts_of(dacsr, "DACSR[dim=32;weight=0.9]")
    assert starts == {"accuracy": "SASRec_D64[dim=32]", "calibration": "SASRec_D64_calibration[dim=32]"}


def test_a_reading_of_a_row_on_one_data_set_must_exist():
    decrs = load_paper("decrs").model_dump(mode="json", exclude_defaults=True)
    there = decrs["methods"]["DecRS_FM"]["datasets"]["amazon-book"]
    there["readings"]["pritned"] = there["readings"].pop("printed")
    with pytest.raises(RepriseError, match="pritned"):
        check(type(PAPER)(**decrs), "papers/decrs/paper.yaml")
