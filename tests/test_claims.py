"""Reading claims: every form that the papers use."""

import csv
import math
from pathlib import Path

import pandas as pd
import pytest
from known_results import Known, claim
from reprise.errors import RepriseError
from reprise.papers import load_paper
from reprise.reporting.claims import claims_in, parse_claim, parse_claims
from reprise.reporting.judging import judge_claims
from reprise.reporting.printed import claims_of, printed_claims

MACR = Path(__file__).parents[1] / "workflow" / "papers" / "macr"


def test_every_claim_of_the_paper_is_read_and_judged():
    rows = pd.read_csv(MACR / "claims.csv", dtype=str, keep_default_na=False)
    claims = parse_claims(rows)
    verdicts = judge_claims(claims, Known({("elsewhere", "A", "hr"): 0.1}))
    assert len(claims) == len(verdicts) == 386 and [c.id for c in claims] == rows["id"].to_list()
    assert {v.verdict for v in verdicts} == {"not run"} and all(v.reason for v in verdicts)
    assert sorted({c.reason for c in claims if c.form == "unsupported"}) == [
        "figure1 not built", "figure10 not built", "figure11 not built", "figure8 not built", "figure9 not built"]


def test_every_claim_of_dacsr_but_nine_can_be_computed():
    paper = load_paper("dacsr")
    rows = printed_claims(paper)
    claims = claims_in(paper)
    unread = [claim for claim in claims if claim.form == "unsupported"]
    twice = [claim for claim in unread if claim.id.startswith("DA-X-")]
    (absent,) = [claim for claim in unread if claim not in twice]  # "no significance test is reported"
    assert (absent.id, absent.reason) == ("DA-sig", "nothing to compute: it says what the paper leaves out")
    assert {claim.reason for claim in twice} == {
        "both tables show the same runs here; of the eight printed pairs two agree"}
    assert len(twice) == 8
    assert len(claims) == 146 and {c.form for c in claims} - {absent.form} == {"methods", "across", "gains", "sweep"}
    named = {name for claim in claims if claim.form == "methods" for name in (*claim.lhs, *claim.rhs)}
    assert all(paper.has_row(name) for name in named)
    answered = [name for exhibit in paper.exhibits.values() for name in claims_of(paper, exhibit)["id"]]
    assert sorted(answered) == sorted(rows["id"])  # each by one table or figure
    for exhibit in paper.exhibits.values():
        assert exhibit.family == len(claims_of(paper, exhibit))


def test_a_claim_without_a_rule_may_have_its_reason_in_paper_yaml():
    claims = claims_in(load_paper("decrs"))
    reasons = {claim.id: claim.reason for claim in claims if claim.form == "unsupported"}
    assert set(reasons) == {"DR-drift", "DR-sig"} and "no threshold is given" in reasons["DR-drift"]


def test_what_dacsrs_text_says_of_figures_3_and_4_holds_in_a_world_where_it_is_so_and_not_in_the_reverse():
    paper = load_paper("dacsr")
    claims = [claim for claim in claims_in(paper) if claim.id.startswith(("DA-F3", "DA-F4"))]
    weights, taus = [w / 10 for w in range(1, 11)], [t / 4 for t in range(1, 9)]
    # By the text: with lambda recall falls, DACSR's by more (.30 to .10 for .30 to .20), and CKL falls; DACSR's MRR is
    # higher everywhere, its CKL lower but for lambda near 1. With tau CKL and MRR rise.
    recall = {"DACSR": [0.32 - 0.02 * n for n in range(1, 11)], "CaliRec": [0.31 - 0.01 * n for n in range(1, 11)]}
    ckl = {"DACSR": [0.9 - 0.04 * n for n in range(1, 11)], "CaliRec": [1.0 - 0.045 * n for n in range(1, 10)] + [0.4]}
    mrr = {"DACSR": [0.13] * 10, "CaliRec": [0.11] * 10}

    def judged(metric, of, by_tau):
        """Verdicts on the claims over one metric, given its values by lambda and, for DACSR, by tau."""
        truth = {(dataset, f"{method}[weight={weight}]", metric): value for dataset in ("ml-1m", "tmall")
                 for method, values in of.items() for weight, value in zip(weights, values, strict=True)}
        curves = {(method, "weight"): dict(zip(weights, values, strict=True)) for method, values in of.items()}
        curves["DACSR", "temperature"] = dict(zip(taus, by_tau, strict=True))
        some = [claim for claim in claims if claim.metrics == (metric,)]
        found = judge_claims(some, Known(truth, curves=curves))
        return {claim.id: one.verdict for claim, one in zip(some, found, strict=True)}

    rising = [0.5 + 0.03 * n for n in range(8)]
    true = judged("recall", recall, rising) | judged("ckl", ckl, rising) | judged("mrr", mrr, rising)
    assert true == {claim.id: "holds" for claim in claims} and len(claims) == 10
    false = {}
    for metric, of in (("recall", recall), ("ckl", ckl), ("mrr", mrr)):  # the reverse: what was more is less
        less = {name: [1 - value for value in values] for name, values in of.items()}
        false |= judged(metric, less, [1 - value for value in rising])
    assert false == {claim.id: "contradicted" for claim in claims}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('C329,"Full beats ""w/o L_I""",better_than,Adressa,,MACR_MF,MACR_MF w/o L_I,hr,20,,,,',
         {"form": "methods", "lhs": ("MACR_MF",), "rhs": ("MACR_MF w/o L_I",), "datasets": ("adressa",), "ks": (20,)}),
        ("C211,A MACR variant has,better_than,Gowalla,,MACR_MF|MACR_LightGCN,all other methods,recall,20,,,,",
         {"lhs": ("MACR_*",), "rhs": ("all other methods",), "alternatives": True}),
        ("C247,DICE_MF is the best baseline,better_than,Globo,,DICE_MF,ExpoMF|CausE_MF|BS_MF,recall,20,,,,",
         {"rhs": ("ExpoMF", "CausE_MF", "BS_MF"), "alternatives": False}),
        ("C275,Reg,worse_than,ML10M,,Reg_MF,MF,hr,20,,,,operationalised as lhs <= 1.05*rhs", {"factor": 1.05}),
        ("C296,BS: not worse than MF,better_than,Yelp2018,,BS_MF,MF,hr,20,,,,tie", {"factor": 0.95}),
        ("C284,cell,worse_than,Globo,,CausE_MF,MF,hr,20,,,,existential claim", {"quantifier": "some"}),
        ("C213,worse [paper says: in most cases],worse_than,Adressa,,LightGCN,MF,hr,20,,,,", {"quantifier": "most"}),
        ("C313,larger,better_than,Globo,,gain(MACR_MF/MF)@Globo,gain(MACR_MF/MF)@Adressa,hr,20,,,,",
         {"form": "gains", "lhs": ("MACR_MF", "MF", "Globo"), "rhs": ("MACR_MF", "MF", "Adressa")}),
        ("C347,rises,monotone,Adressa,,MACR_MF[alpha],increasing on 1e-5..1e-3,hr,20,,,,",
         {"form": "sweep", "lhs": ("MACR_MF", "alpha"), "low": 1e-5, "high": 1e-3, "increasing": True}),
        ("C360,falls,monotone,Adressa,,MACR_LightGCN[c],decreasing on c>29,hr,20,,29,,",
         {"form": "sweep", "low": 29.0, "high": math.inf, "increasing": False}),
        ("C348,falls,worse_than,Adressa,,MACR_MF[alpha=1e-2;beta=1e-3],MACR_MF[alpha=1e-3],hr,20,,,,",
         {"form": "methods", "lhs": ("MACR_MF[alpha=1e-2;beta=1e-3]",)}),
        ("C361,faster,worse_than,Adressa,,slope after optimum of A[c],slope after optimum of B[c],hr,20,,,,",
         {"form": "slopes", "lhs": ("A", "c"), "rhs": ("B", "c")}),
        ("S1,both fall,monotone,ML-1M,,A[t]; B[t],decreasing on 0.1..1,hr,20,,,,",
         {"form": "sweep", "lhs": ("A", "t", "B", "t"), "low": 0.1, "high": 1.0}),
        ("S2,smaller,worse_than,ML-1M;Tmall,,gain(A(G)/B),gain(A/C[t=1]),hr,20,,,,",
         {"form": "gains", "lhs": ("A(G)", "B", ""), "rhs": ("A", "C[t=1]", ""), "datasets": ("ml-1m", "tmall")}),
        ("S3,easier,better_than,ML-1M;Tmall,,A on ML-1M,A on Tmall,ckl,20,,,,",
         {"form": "across", "lhs": ("A", "ML-1M"), "rhs": ("A", "Tmall")}),
        ("S4,better over most of the range,better_than,Tmall,,A[t=1];A[t=2],B[t=1];B[t=2],ckl,20,,,,",
         {"form": "methods", "lhs": ("A[t=1]", "A[t=2]"), "rhs": ("B[t=1]", "B[t=2]"), "majority": True}),
        ("C376,K=1,better_than,Adressa,,MACR_MF,MF,hr;ndcg;recall,1,,,,", {"metrics": ("hr", "ndcg", "recall")}),
        ("C386,same,better_than,Globo|ML10M,,MACR_MF|MACR_LightGCN,MF|LightGCN,hr@k;ndcg@k,,,,,",
         {"datasets": ("globo", "ml10m"), "metrics": ("hr", "ndcg"), "ks": ()}),
        ("C001,average,relative_improvement,ALL,,MACR_MF,MF,hr,20,,1.5313,,", {"value": 1.5313, "decimals": 4}),
        ("E1,gain,relative_improvement,ML-1M,FM,DecRS,FM,recall,20,all,8.37%,,",
         {"value": pytest.approx(0.0837), "decimals": 4, "backbone": "FM"}),
        ("C366,gain,better_than,Adressa,,gain in popular group,gain in other,item recall@20,,,,,figure_only Figure 9",
         {"form": "unsupported", "reason": "figure9 not built"}),
        ("D1,gain,better_than,ML-1M,,DecRS,FM,recall,20,eta>1,,,", {"form": "methods", "groups": ("eta>1",)}),
        ("D4,gain,monotone,ML-1M,,DecRS,FM,recall,20,\"eta>0,0.5,1\",,,",
         {"form": "gain_trend", "lhs": ("DecRS",), "groups": ("eta>0", "eta>0.5", "eta>1")}),
        ("D5,gain,better_than,ML-1M,,DecRS,FM,recall,20,eta<1,,,", {"reason": "no rule reads group 'eta<1'"}),
        ("D6,same,relative_improvement,ML-1M,,A,B,recall,20,all,about 0 (marginal),,", {"within": 0.05, "reason": ""}),
        ("D7,sides,better_than,ML-1M,,A in majority1;A in majority2,A in minority1;A in minority2,predicted,20,,,,",
         {"form": "within", "lhs": ("A", "majority1", "A", "majority2"),
          "rhs": ("A", "minority1", "A", "minority2")}),
        ("D2,gain,relative_improvement,ML-1M,,A,B,recall,20,,about 200x,,",
         {"reason": "no rule reads value 'about 200x'"}),
        ("D3,all,significant,Tmall,,A;C,B,all of table 2,20,,,,", {"reason": "no rule reads metric 'all of table 2'"}),
    ],
)
def test_forms(row, expected):
    names = "id text kind dataset backbone lhs rhs metric k group value source printed_check".split()
    parsed = parse_claim(dict(zip(names, next(csv.reader([row])), strict=True)))
    assert {name: getattr(parsed, name) for name in expected} == expected


def test_an_unknown_kind_names_its_row():
    with pytest.raises(RepriseError, match="C1, kind"):
        claim(kind="nicer_than")
