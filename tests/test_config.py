"""Configuration: every form that a person would write, and nothing that is not known."""

from __future__ import annotations

import pytest
from reprise.config import load_config, make_config
from reprise.errors import RepriseError
from reprise.files import read_json
from reprise.schemas import schemas


@pytest.mark.parametrize(
    ("written", "seeds"),
    [
        (3, (1, 2, 3)),
        ("3", (1, 2, 3)),
        (3.0, (1, 2, 3)),
        ("0,1,2", (0, 1, 2)),
        ("[0,1,2]", (0, 1, 2)),
        ([0, 1, 2], (0, 1, 2)),
        (["0", "1"], (0, 1)),
        ("[7]", (7,)),
    ],
)
def test_seeds_are_a_number_or_a_list(written, seeds):
    assert make_config({"seeds": written}).seeds == seeds


@pytest.mark.parametrize("wrong", [0, -1, "two", 1.5, "1,1", True, [], "-1,2"])
def test_other_seeds_are_refused(wrong):
    with pytest.raises(RepriseError, match="seeds"):
        make_config({"seeds": wrong})


def test_numbers_as_yaml_makes_them():
    assert make_config({"max_epochs": 1e2, "threads": "2"}).max_epochs == 100
    assert make_config({"max_epochs": "null"}).max_epochs is None
    with pytest.raises(RepriseError, match="max_epochs"):
        make_config({"max_epochs": 1.5})
    with pytest.raises(RepriseError, match="threads"):
        make_config({"threads": 0})


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("all", None),
        (None, None),
        ("adressa", ("adressa",)),
        ("adressa, globo", ("adressa", "globo")),
        ("[adressa,globo]", ("adressa", "globo")),
        (["adressa"], ("adressa",)),
    ],
)
def test_names_are_a_text_or_a_list(written, names):
    assert make_config({"datasets": written}).datasets == names


def test_licences_are_agreed_to_by_name():
    assert make_config({"licences": "movielens,yelp"}).licences == ("movielens", "yelp")
    assert make_config({}).licences == make_config({"licences": ""}).licences == ()
    with pytest.raises(RepriseError, match="the name of each licence"):
        make_config({"licences": "all"})


@pytest.mark.parametrize(
    ("written", "retry"), [("yes", True), ("no", False), ("false", False), (True, True), (1, True)]
)
def test_a_switch_is_read_as_meant(written, retry):
    assert make_config({"retry": written}).retry is retry


def test_unknown_keys_and_values_are_named():
    with pytest.raises(RepriseError, match="unknown key 'seedz'.*") as caught:
        make_config({"seedz": 3, "device": "tpu"})
    assert "device" in caught.value.found


def test_the_command_line_lies_on_top_of_the_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("seeds: 3\nresults: there\n")
    config = load_config([file], ["seeds=0,1,2", "max_epochs=1e2"])
    assert (config.seeds, config.results, config.max_epochs) == ((0, 1, 2), "there", 100)
    with pytest.raises(RepriseError, match="key=value"):
        load_config([file], ["seeds"])


def test_both_files_of_the_repository_are_valid_and_list_what_they_set(request):
    folder = request.config.rootpath / "config"
    assert load_config([folder / "config.yaml"]) == make_config({})
    assert load_config([folder / "demo.yaml"]).datasets == ("small-world",)


def test_the_schemas_for_editors_are_up_to_date():
    for path, schema in schemas().items():
        assert read_json(path) == schema, f"{path.name}: run `make schemas`"
