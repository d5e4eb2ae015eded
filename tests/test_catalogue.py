"""The catalogue: complete, checked, and readable without a network."""

import subprocess
import sys

import pytest
import yaml
from reprise.data.catalogue import CATALOGUE, Source, blocked, load_catalogue
from reprise.errors import RepriseError
from reprise.settings import checked

GITHUB = "https://raw.githubusercontent.com"
MACR = f"{GITHUB}/weitianxin/MACR/b3b7bf1427d501c8d79ebf2c98c360ac90fdf445/data"
DECRS = f"{GITHUB}/WenjieWWJ/DecRS/3b688a8e6da406d6375a02b92cf9f0672b6149ba/data"
S3REC = f"{GITHUB}/RUCAIBox/CIKM2020-S3Rec/2a81540ae18615d88ef88227b0c066e5b74781e5/data"
GROUPLENS = "https://files.grouplens.org/datasets"
AMAZON = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"
PUBLIC = [
    *(
        f"{MACR}/{name}/{part}.txt"
        for name in ("addressa", "globe", "ml_10m", "yelp2018", "gowalla")
        for part in ("train", "test")
    ),
    f"{MACR}/ml_10m/val/train.txt",
    f"{MACR}/ml_10m/val/valid.txt",
    *(f"{DECRS}/ml_1m/{name}.npy" for name in ("validation_list", "testing_list", "category_list", "confounder_prior")),
    *(f"{DECRS}/amazon_book/{name}.npy" for name in ("category_list", "confounder_prior")),
    *(f"{S3REC}/{name}" for name in ("Beauty.txt", "Sports_and_Outdoors.txt", "Yelp.txt")),
    *(f"{S3REC}/{name}_item2attributes.json" for name in ("Beauty", "Sports_and_Outdoors", "Yelp")),
    f"{GROUPLENS}/movielens/ml-1m.zip",
    f"{GROUPLENS}/movielens/ml-10m.zip",
    f"{GROUPLENS}/hetrec2011/hetrec2011-movielens-2k-v2.zip",
    "https://reclab.idi.ntnu.no/dataset/one_week.tar.gz",
    "https://reclab.idi.ntnu.no/dataset/three_month.tar.gz",
    "https://snap.stanford.edu/data/loc-gowalla_totalCheckins.txt.gz",
    f"{AMAZON}/ratings_Books.csv",
    f"{AMAZON}/meta_Books.json.gz",
    f"{AMAZON}/reviews_Beauty_5.json.gz",
    f"{AMAZON}/reviews_Sports_and_Outdoors_5.json.gz",
]
GATED = {
    "globo": "archive.zip",
    "yelp-open": "yelp_dataset.tar",
    "yelp-2020": "yelp_academic_dataset_review.json",
    "tmall-ijcai-16": "ijcai2016_taobao.csv",
    "tmall-ijcai-15": "data_format1/user_log_format1.csv",
    "twitch-100k": "100k_a.csv",
    "wechat-2021": "wechat_algo_data1/user_action.csv",
}
RECORD = {
    "key": "toy",
    "title": "Toy",
    "page": "https://toy.example",
    "licence": {"name": "Toy licence", "redistribute": "anyone"},
    "files": [{"path": "a.txt", "urls": ["https://toy.example/a.txt"]}],
}


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue()


def test_every_public_address_is_catalogued(catalogue):
    addresses = {url for source in catalogue.values() for file in source.files for url in file.urls}
    assert set(PUBLIC) - addresses == set()


def test_keys_are_unique():
    nodes = yaml.compose(CATALOGUE.read_text(encoding="utf-8")).value
    keys = [key.value for key, _ in nodes]
    assert sorted(keys) == sorted(set(keys))


def test_released_adressa_has_the_published_sums_and_asks_for_nothing(catalogue):
    source = catalogue["macr-adressa"]
    assert [(file.path, file.bytes, file.sha256[:8]) for file in source.files] == [
        ("train.txt", 411_350, "c6828d85"),
        ("test.txt", 22_391, "9f17f82e"),
    ]
    assert blocked(source, (), "resources/raw/macr-adressa") is None


@pytest.mark.parametrize("key", ["ml-1m", "ml-10m", "hetrec-directors"])
def test_movielens_is_asked_for_once(catalogue, key):
    assert blocked(catalogue[key], (), f"resources/raw/{key}").startswith("licence: ")
    assert blocked(catalogue[key], ("movielens",), f"resources/raw/{key}") is None


@pytest.mark.parametrize(("key", "path"), GATED.items())
def test_a_gated_source_names_page_and_path_until_its_files_are_there(catalogue, key, path, tmp_path):
    source = catalogue[key]
    reason = blocked(source, (), tmp_path)
    assert reason.startswith(f"licence: {source.gated.why} ({source.page}), put ")
    assert str(tmp_path / path) in reason
    for file in source.files:
        (tmp_path / file.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file.path).touch()
    assert blocked(source, (), tmp_path) is None


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"licenses": {}}, "unknown key 'licenses'"),
        ({"files": [{"path": "a.txt", "url": "https://toy.example"}]}, "unknown key 'files.0.url'"),
        ({"files": [{"path": "../a.txt", "urls": ["https://toy.example"]}]}, "without '..'"),
        ({"files": [{"path": "a.txt", "urls": ["https://toy.example"], "sha256": "abc"}]}, "files.0.sha256"),
        ({"files": [{"path": "a.txt"}]}, "exactly one of"),
        ({"generate": "user_lists"}, "exactly one of"),
        ({"gated": {"why": "a form", "steps": "fill it in"}}, "exactly one of"),
        ({"page": None}, "needs the page"),
        ({"key": "Toy_1"}, "key: "),
    ],
)
def test_a_wrong_record_is_refused_with_its_fault(change, found):
    assert checked(Source, RECORD, "toy").title == "Toy"
    with pytest.raises(RepriseError) as caught:
        checked(Source, {**RECORD, **change}, "toy")
    assert found in caught.value.found


def test_importing_the_catalogue_needs_no_network_library():
    code = (
        "import sys, reprise.data.catalogue as c; c.load_catalogue(); print({'requests', 'torch'} & set(sys.modules))"
    )
    found = subprocess.check_output([sys.executable, "-c", code], text=True, env={"PYTHONPATH": str(CATALOGUE.parent)})
    assert found == "set()\n"
