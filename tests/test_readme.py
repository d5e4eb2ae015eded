"""The README shows what is on record, and nothing else."""

from pathlib import Path

import pytest
from reprise.errors import RepriseError
from reprise.reporting.readme import BLOCK, refreshed

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_readme_is_as_the_record_says():
    text = (ROOT / "README.md").read_text()
    assert refreshed(text) == text, "python -m reprise record renews it"
    assert "MACR_MF" in BLOCK.search(text)[0] and "ours, sound" in BLOCK.search(text)[0]


def test_a_number_typed_by_hand_does_not_stay():
    text = (ROOT / "README.md").read_text()
    block = BLOCK.search(text)[0]
    assert refreshed(text.replace(block, block.replace("MACR_MF", "MACR_XX"))) == text


def test_a_readme_without_marks_is_an_error():
    with pytest.raises(RepriseError, match="results:start"):
        refreshed("# Reprise\n")
