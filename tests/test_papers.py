"""`paper.yaml`: what is checked before anything runs, and how settings are laid over one another."""

from __future__ import annotations

import copy

import pytest
from reprise.data.catalogue import load_catalogue
from reprise.errors import RepriseError
from reprise.files import read_yaml
from reprise.papers import PAPERS, claim_ids, load_paper, loading, paper_names, resolve


@pytest.mark.parametrize("name", paper_names())
def test_every_paper_of_the_repository_is_valid(name):
    paper = load_paper(name)
    assert paper.name == name and paper.exhibits


@pytest.fixture
def checked(monkeypatch):
    """Check a copy of MACR's file after a change; give the error's text."""

    def check(change):
        values = copy.deepcopy(read_yaml(PAPERS / "macr/paper.yaml"))
        change(values)
        monkeypatch.setattr(loading, "read_yaml", lambda _: values)
        with pytest.raises(RepriseError) as caught:
            load_paper.__wrapped__("macr")
        return caught.value.text()

    return check


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda paper: paper.update(colour="red"), "unknown key 'colour'"),
        (lambda paper: paper["defaults"]["training"].update(bach=12), "unknown key 'bach'"),
        (lambda paper: paper["defaults"]["models"].update(sasrec={"dim": 4}), "models.sasrec"),
        (lambda paper: paper["defaults"]["models"]["mf"].update(layers=2), "unknown key 'layers'"),
        (lambda paper: paper["tables"]["table2"].update(methods=["MF", "Nobody"]), "Nobody"),
        (lambda paper: paper["tables"]["table2"].update(datasets=["mars"]), "mars"),
        (lambda paper: paper["tables"]["table2"].update(gains=[{"of": "MF", "over": ["Norm"]}]), "table2, gains"),
        (lambda paper: paper["tables"]["table2"].update(one_by_one=["Norm"]), "table2, one_by_one"),
        (lambda paper: paper["tables"]["table2"].update(kept=["Norm"]), "table2, kept"),
        (lambda paper: paper["methods"]["MF"].update(readings={"third": {}}), "third"),
        (lambda paper: paper["methods"]["MF"].update(datasets={"mars": {}}), "mars"),
        (lambda paper: paper["methods"]["MF"].update(model="nothing"), "models/nothing.py"),
        (lambda paper: paper["datasets"]["adressa"].pop("reader"), "reader: Field required"),
        (lambda paper: paper["tables"]["table2"].pop("family"), "family"),
        (lambda paper: paper["grid"]["training"].update(bach=[1]), "unknown key 'bach'"),
        (lambda paper: paper["grid"]["training"].update(l2=[1e-4, -1]), "l2: Input should be"),
        (lambda paper: paper["grid"]["training"].update(l2=[1e-4, "1e-4"]), "training.l2: distinct values"),
        (lambda paper: paper["grid"]["training"].update(l2=1e-4), "grid.training.l2"),
        (lambda paper: paper["grid"]["training"].update(select_on=["test"]), "no part of the protocol"),
        (lambda paper: paper["grid"]["methods"].update(nothing={"a": [1]}), "methods.nothing"),
        (lambda paper: paper["methods"]["MF"].update(grid={"methods": {"macr": {"alpha": [1]}}}), "settings of plain"),
        (lambda paper: paper["methods"]["MF"].update(starts_from="Nobody"), "Nobody"),
        (lambda paper: paper["methods"]["MF"].update(starts_from="MF"), "in the end start afresh"),
        (lambda paper: paper["methods"]["MF"].update(updates_of="Nobody"), "Nobody"),
        (lambda paper: paper["methods"]["MF"].update(updates_of="MF"), "others that patience ends"),
        (lambda paper: (paper["methods"]["MF"].update(starts_from={"user": "LightGCN"}),
                        paper["methods"]["LightGCN"].update(starts_from="MF")), "in the end start afresh"),
        (lambda paper: paper["methods"]["MF"].update(settings={"models": {"mff": {"dim": 5}}}), "settings.models.mff"),
        (lambda paper: paper["methods"]["MF"].update(datasets={"globo": {"methods": {"macrr": {}}}}),
         "methods.MF.datasets.globo.methods.macrr"),
        (lambda paper: paper.update(name="other"), "name: macr"),
    ],
)
def test_a_mistake_is_named(checked, change, said):
    assert said in checked(change)


def test_an_unknown_paper_lists_the_known_ones():
    with pytest.raises(RepriseError, match="macr"):
        load_paper("nothing")


def test_the_later_layer_wins():
    paper = load_paper("macr")
    printed, sound = (resolve(paper, "adressa", reading, "MACR_LightGCN") for reading in ("printed", "sound"))
    assert printed["method"]["fusion"] == "batch_outer" and sound["method"]["fusion"] == "pairwise"  # the reading
    assert (
        printed["method"]["alpha"] == 1e-2
        and resolve(paper, "adressa", "printed", "MACR_MF")["method"]["alpha"] == 1e-3
    )
    assert printed["training"]["max_epochs"] == 2000  # the method over the default 1000
    assert (
        printed["training"]["batch"] == 1024
        and resolve(paper, "small-world", "printed", "MF")["training"]["batch"] == 256
    )


def test_a_method_may_be_set_for_one_data_set():
    paper = load_paper("macr")
    batches = [resolve(paper, key, "sound", "DICE_MF")["training"]["batch"] for key in ("adressa", "small-world")]
    assert batches == [128, 512]


def test_max_epochs_caps_and_never_raises():
    paper = load_paper("macr")
    assert resolve(paper, "adressa", "printed", "MF", 7)["training"]["max_epochs"] == 7
    assert resolve(paper, "adressa", "printed", "MF", 10**6)["training"]["max_epochs"] == 1000


def test_claim_ranges_are_spelled_out():
    assert list(claim_ids(("C009-C011", "X1", "A-b"))) == ["C009", "C010", "C011", "X1", "A-b"]


def test_the_readme_says_where_files_from_a_person_go(request):
    text = (request.config.rootpath / "README.md").read_text()
    for key, source in load_catalogue().items():
        for file in source.files if source.gated else ():
            assert source.page in text and f"`resources/raw/{key}/{file.path}`" in text


def test_positions_from_the_end_and_one_pass_do_not_go_together():
    """A prefix inside a window would have other positions than in a window of its own."""
    paper = load_paper("genrec")
    assert resolve(paper, "beauty", "printed", "SASRec")["model"]["positions_from"] == "end"
    assert resolve(paper, "beauty", "sound", "SASRec[samples=one_pass]")["method"]["samples"] == "one_pass"
    with pytest.raises(RepriseError, match="positions count from the end"):
        resolve(paper, "beauty", "printed", "SASRec[samples=one_pass]")


def test_s3rec_differs_from_sasrec_in_its_pretraining_alone():
    paper = load_paper("genrec")
    for reading in paper.readings:
        one, other = (resolve(paper, "beauty", reading, row) for row in ("S3-Rec", "SASRec"))
        assert one["method"] == other["method"] and one["training"] == other["training"]
        assert one["model"] | {"name": "sasrec", "tie": True} == other["model"]
