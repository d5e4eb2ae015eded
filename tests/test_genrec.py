"""GenRec's claims: which can be judged with the rows that are built, and what the others wait for."""

from collections import Counter

import pytest
from reprise.config import Config
from reprise.papers import claim_ids, load_paper
from reprise.reporting.answers import Answers
from reprise.reporting.claims import parse_claims
from reprise.reporting.judging import judge_claims
from reprise.reporting.printed import printed_claims, restated
from reprise.reporting.results import Results, empty

PAPER = load_paper("genrec")
CLAIMS = parse_claims(restated(PAPER, printed_claims(PAPER)))


def test_every_claim_is_read_and_stands_in_one_exhibit():
    assert [claim.id for claim in CLAIMS if claim.form == "unsupported"] == []
    answered = [name for exhibit in PAPER.exhibits.values() for name in claim_ids(exhibit.claims)]
    assert sorted(answered) == [claim.id for claim in CLAIMS] and len(CLAIMS) == 262
    assert sum(exhibit.family for exhibit in PAPER.exhibits.values()) == 262


@pytest.mark.parametrize("reading", PAPER.readings)
def test_what_is_not_built_says_so_and_the_rest_only_lacks_runs(reading):
    verdicts = judge_claims(CLAIMS, Answers(Results(PAPER, Config(), empty()), reading))
    reasons = Counter(verdict.reason.rsplit(": ", 1)[-1] for verdict in verdicts)
    assert {verdict.verdict for verdict in verdicts} == {"not run"}
    assert reasons == {"GenRec is not built yet": 242, "P5 is not built yet": 11, "no run at hand": 9}
    at_hand = [claim.id for claim, one in zip(CLAIMS, verdicts, strict=True) if one.reason == "no run at hand"]
    assert at_hand == list(claim_ids(("G243-G247", "G259-G262")))
