"""A paper is a folder: its `paper.yaml` read and checked (`loading`), its rows resolved into runs (`specs`).

Everything here is decided without PyTorch and without a network, because Snakemake asks it while the DAG is built.
"""

from reprise.papers.loading import load_paper, paper_names
from reprise.papers.schema import PAPERS, Dataset, Exhibit, Gain, Grid, Layer, Method, Paper, Reading, claim_ids
from reprise.papers.specs import data_code, grid_of, resolve, spec_code, variant_of
from reprise.runs import MAIN, TUNED, Run, preset_name

__all__ = [
    "MAIN", "PAPERS", "TUNED", "Dataset", "Exhibit", "Gain", "Grid", "Layer", "Method", "Paper", "Reading", "Run",
    "claim_ids", "data_code", "grid_of", "load_paper", "paper_names", "preset_name", "resolve", "spec_code",
    "variant_of",
]  # fmt: skip
