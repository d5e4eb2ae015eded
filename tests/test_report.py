"""The scorecard, one page that needs nothing else: from local runs, from the record, from nothing. And the figures."""

from __future__ import annotations

import html.parser
import shutil
from pathlib import Path

import fake_runs
import pytest
from reprise.__main__ import main
from reprise.files import read_json, write_json
from reprise.papers import load_paper
from reprise.reporting import pages, record
from reprise.reporting.wording import SYMBOLS
from reprise.stages import record as record_stage

PAPER = load_paper(fake_runs.PAPER)


class Page(html.parser.HTMLParser):
    """Collects what a browser would load, and whether tags close."""

    VOID = {"meta", "img", "br", "hr", "link", "input"}

    def __init__(self, text: str):
        super().__init__()
        self.loaded, self.tags, self.open, self.mismatched = [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.loaded += [
            value
            for name, value in attributes
            if name in ("src", "srcset", "data", "poster") or (name == "href" and tag == "link")
        ]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.mismatched.append(tag)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    config = fake_runs.make(tmp_path_factory.mktemp("tree"))
    for stage in (["collect", "macr"], ["compare", "macr"]):
        assert run(config, *stage) == 0
    return config


def run(config, *stage: str, **settings: str) -> int:
    folders = {"results": config.results, "resources": config.resources}
    known = {**folders, "papers": "macr", "datasets": "adressa", "seeds": "3"}
    known |= settings
    return main([*stage, "--config", *(f"{key}={value}" for key, value in known.items())])


@pytest.fixture(scope="module")
def recorded(tree, tmp_path_factory):
    """The record of the tree's runs; its pages, which no stage reads, are made in test_record.py."""
    with pytest.MonkeyPatch.context() as patch:
        folder = fake_runs.on_record(patch, tmp_path_factory.mktemp("recorded"))
        patch.setattr(record_stage, "write_pages", lambda: None)
        assert run(tree, "record", "macr") == 0
    return folder


@pytest.fixture(scope="module")
def page(tree):
    assert run(tree, "report") == 0
    return Path(tree.results, "scorecard.html").read_text(encoding="utf-8")


def test_one_file_without_script_or_network(page):
    parsed = Page(page)
    assert parsed.loaded and all(value.startswith("data:image/svg+xml;base64,") for value in parsed.loaded)
    assert not parsed.tags & {"script", "link", "iframe", "object"}
    assert "url(" not in page and "@import" not in page
    assert not parsed.mismatched and not parsed.open


def test_readable_on_a_phone_in_the_dark_and_without_colour(page):
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert "prefers-color-scheme: dark" in page and "overflow-x: auto" in page
    for word in ("reproduced", "off (low)"):
        assert f'<span aria-hidden="true">{SYMBOLS[word]}</span> {word}' in page


def test_a_cell_shows_all_that_it_promises(page):
    _, _, after = page.partition("Table 2 · Adressa · MACR_MF · HR@20")
    cell = after.partition("</tr>")[0]
    selected = "datasets=adressa methods=MACR_MF readings=printed seeds=3"
    command = f".venv/bin/snakemake --cores all macr_table2 --config {selected}"
    for text in ("printed", "reproduced", "0.140", "0.1400 ± 0.0020", "+0.0%", "official", "2 min", "600 MB", command):
        assert text in cell, text


def test_markdown_says_the_same(tree, page):
    text = Path(tree.results, "scorecard.md").read_text(encoding="utf-8")
    assert "| of | ✓ reproduced |" in text and "| the data |" in text
    assert "Table 2 · Adressa · MACR_MF · HR@20" in text
    assert "C003 MACR_MF beats MF" in text
    what = PAPER.methods["MACR_MF"].about
    assert what and f"- MACR_MF: {what}\n" in text and f"<dt>MACR_MF</dt><dd>{what}</dd>" in page


def test_each_rate_of_false_alarms_stands_beside_its_own_test():
    """As `aa` writes them: Welch over seeds, the interval over both, and the tests that one seed's users allow."""
    rates = {"welch": 0.04, "two_level": 0.07, "paired_t": 0.5, "paired_wilcoxon": 0.6}
    verdict = {"welch": "as it should", "two_level": "near", "paired_t": "too many", "paired_wilcoxon": "far"}
    study = {"metrics": {"ndcg@20": {**rates, "verdict": verdict, "low": 0.03, "high": 0.06, "pairs": 200}}}
    assert pages.false_alarms(study) == [
        ("NDCG@20", "Welch over seeds (decides)", "4.0% (3.0% to 6.0% in 200 pairs)", "as it should"),
        ("NDCG@20", "interval over seeds and users (decides)", "7.0% (3.0% to 6.0% in 200 pairs)", "near"),
        ("NDCG@20", "paired t over one seed's users (shown)", "50.0% (3.0% to 6.0% in 200 pairs)", "too many"),
        ("NDCG@20", "Wilcoxon over one seed's users (shown)", "60.0% (3.0% to 6.0% in 200 pairs)", "far"),
    ]


def test_a_study_on_record_stays_unless_it_is_replaced_on_purpose(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RECORD", tmp_path / "record")
    for seeds, force, kept in ((800, False, 800), (3, False, 800), (3, True, 3)):
        write_json(tmp_path / "results/aa.json", {"seeds": seeds})
        record.keep_study(tmp_path / "results", force)
        assert read_json(tmp_path / "record/aa.json") == {"seeds": kept}


def test_a_page_of_nothing_says_why(tmp_path, monkeypatch):
    fake_runs.on_record(monkeypatch, tmp_path)
    config = fake_runs.make_config({"results": str(tmp_path / "results"), "resources": str(tmp_path)})
    write_json(tmp_path / "raw/macr-globo/failure.json", {"reason": "network: not to be had"})
    assert run(config, "report", papers="all", datasets="all") == 0
    text = (tmp_path / "results" / "scorecard.html").read_text(encoding="utf-8")
    assert "No printed number has a run of ours yet." in text
    assert "network: not to be had" in text


@pytest.fixture
def clone(recorded, tmp_path, monkeypatch):
    """A clone that holds the record and nothing else."""
    monkeypatch.setattr(record, "RECORD", recorded)
    return fake_runs.make_config({"results": str(tmp_path / "clone"), "resources": str(tmp_path / "clone")})


def test_a_clone_that_holds_only_the_record_shows_it(clone):
    assert run(clone, "report") == 0
    text = Path(clone.results, "scorecard.html").read_text(encoding="utf-8")
    assert "0.1400 ± 0.0020" in text and "13,485</td><td" in text
    assert "of record, cpu, 2026-11-21" in text
    assert "C003 MACR_MF beats MF" in text
    assert not (Path(clone.results) / "macr").exists()


def test_other_stages_never_read_the_record(clone):
    for stage in (
        ["collect", "macr"],
        ["tabulate", "macr", "table2"],
        ["plot", "macr", "figure12"],
        ["compare", "macr"],
    ):
        assert run(clone, *stage) == 0
    texts = [path.read_text(encoding="utf-8") for path in Path(clone.results).rglob("*.csv")]
    assert not any("of record" in text for text in texts)
    assert "0.1400" not in Path(clone.results, "macr", "tables", "table2.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", list(PAPER.figures))
def test_figures_are_drawn_and_drawn_alike(tree, name):
    folder = Path(tree.results, "macr", "figures")
    drawn = []
    for _ in range(2):
        assert run(tree, "plot", "macr", name) == 0
        drawn.append({path.suffix: path.read_bytes() for path in folder.glob(f"{name}.*")})
        shutil.rmtree(folder)
    assert set(drawn[0]) == {".pdf", ".svg", ".png", ".csv"}
    assert drawn[0] == drawn[1]


def test_figure7_plots_both_curves_of_both_readings(tree):
    assert run(tree, "plot", "macr", "figure7") == 0
    lines = Path(tree.results, "macr", "figures", "figure7.csv").read_text().splitlines()
    # 2 methods, 2 readings, 2 curves, c = 0..60.
    assert len(lines) == 1 + 2 * 2 * 2 * 61


def test_unknown_exhibits_are_one_clear_error(tree, capsys):
    assert run(tree, "tabulate", "macr", "table9") == 1
    assert run(tree, "plot", "macr", "table2") == 1
    assert "one of figure1, figure7, figure8" in capsys.readouterr().err
