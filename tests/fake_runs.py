"""A finished tree of runs without any training: the files of the run folders, with numbers that a person can check.

Every method has one hit rate, `LEVEL`, that each seed moves by +-`STEP`; of `USERS` users the first that many are hit.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
from reprise.config import Config, make_config
from reprise.evaluation.groups import COLUMNS, group_names
from reprise.files import write_json
from reprise.papers import MAIN, TUNED, Run, load_paper
from reprise.reporting import record
from reprise.selection import plan
from reprise.tuning import search_of

PAPER = "macr"
USERS = 1000
LEVEL = {"MF": 111, "LightGCN": 123, "MACR_MF": 140, "MACR_LightGCN": 158, "Random": 25, "Popularity": 5}
VARIANT = {
    "user_branch=false": 137,
    "item_branch=false": 116,
    "alpha=0": 124,
    "beta=0": 138,
    "alpha=1e-05": 133,
    "alpha=0.0001": 139,
    "alpha=0.01": 137,
    "beta=1e-05": 139,
    "beta=0.0001": 139,
    "beta=0.01": 139,
}
GAIN = {"MACR_MF": 10}  # hits more with searched settings; other methods gain nothing
SHIFT = {1: 0, 2: 2, 3: -2, 4: 1, 5: -1}
METRICS = ("hr", "recall", "ndcg")
KS = (1, 5, 10, 15, 20)
STATS = {
    "users": 13485,
    "items": 744,
    "interactions": 116321,
    "sparsity": 116321 / (13485 * 744),
    "train": 109658,
    "valid": 3687,
    "test": 2976,
    "test_users": 2090,
    "valid_users": 2000,
    "content": "c0ffee",
    "expected": {},
}


def make(folder: Path, dataset: str = "adressa", variants: bool = False, **settings: object) -> Config:
    """Write a finished run for all that `settings` selects and `LEVEL` knows, variants only if asked; return the
    configuration."""
    values = {
        "results": str(folder / "results"),
        "resources": str(folder / "resources"),
        "datasets": dataset,
        "seeds": 3,
        **settings,
    }
    config = make_config(values)
    stats = folder / "results" / PAPER / dataset / "data" / "stats.json"
    stats.parent.mkdir(parents=True, exist_ok=True)
    stats.write_text(json.dumps({"dataset": dataset, "status": status(dataset), **STATS}))
    paper = load_paper(PAPER)
    for run in {one.run for one in plan(paper, paper.exhibits, config) if one.run.variant == TUNED}:
        write_choice(config, run)
    for planned in plan(paper, paper.exhibits, config):
        wanted = planned.run.method in LEVEL and (variants or planned.run.variant in (MAIN, TUNED))
        if planned.reason is None and wanted:
            write_run(config, planned.run, planned.code)
    return config


def status(dataset: str) -> str:
    return "small-world" if dataset == "small-world" else "official"


def hits(run: Run, k: int = 20) -> int:
    """How many of the users a run hits in its top k."""
    deterministic = run.method == "Popularity"
    level = VARIANT.get(run.variant, LEVEL[run.method]) + (GAIN.get(run.method, 0) if run.variant == TUNED else 0)
    return (level + (0 if deterministic else SHIFT[run.seed])) * k // 20


def write_choice(config: Config, run: Run) -> None:
    """Write what a search left that chose its second trial."""
    search = search_of(run.paper, run.dataset, run.method, run.reading, config)
    write_json(Path(config.results, search.folder, "choice.json"), {"settings": search.points[1], "code": search.code})


def write_run(
    config: Config,
    run: Run,
    code: str,
    device: str = "cpu",
    cell: str = "cell-1",
    date: str = "2026-11-21T10:00:00+00:00",
) -> Path:
    """Write one run folder as the run stage does."""
    folder = Path(config.results, run.folder)
    select_on = "test" if run.reading == "printed" else "valid"
    lists = folder / ("test-c40" if run.method.startswith("MACR") else "test")
    lists.mkdir(parents=True, exist_ok=True)
    users = pd.DataFrame({"user": range(USERS)})
    for k in KS:
        users[f"hr@{k}"] = (users["user"] < hits(run, k)).astype(float)
        users[f"recall@{k}"], users[f"ndcg@{k}"] = users[f"hr@{k}"] * 0.75, users[f"hr@{k}"] * 0.25
    users.to_parquet(lists / "users.parquet")
    means = [
        {"metric": metric, "k": k, "group": "", "value": users[f"{metric}@{k}"].mean()}
        for metric in METRICS
        for k in KS
    ]
    pd.DataFrame([*means, {"metric": "coverage", "k": 20, "group": "", "value": 0.5}]).to_csv(
        lists / "metrics.csv", index=False
    )
    if run.method.startswith("MACR"):
        pd.DataFrame(_sweep(run, select_on)).to_csv(folder / "sweep.csv", index=False)
    _groups(run).to_csv(folder / "groups.csv", index=False)
    cost = {
        "wall_s": 120.0 + run.seed,
        "device": device,
        "threads": 1,
        "peak_bytes": 600_000_000,
        "epochs": 130,
        "steps": 14430,
        "step_s": 0.008,
    }
    (folder / "cost.json").write_text(json.dumps(cost))
    (folder / "run.json").write_text(
        json.dumps(
            {
                "paper": run.paper,
                "dataset": run.dataset,
                "reading": run.reading,
                "backbone": run.backbone,
                "method": run.method,
                "variant": run.variant,
                "seed": run.seed,
                "fingerprint": f"{cell}-{run.seed}",
                "cell": cell,
                "code": code,
                "spec": {"training": {"metric": "hr", "k": 20, "select_on": select_on}},
                "data": {"content": "c0ffee", "status": status(run.dataset)},
                "device": device,
                "threads": 1,
                "versions": {},
                "commit": "abc1234",
                "date": date,
                "selected": {
                    "list": lists.name,
                    "valid_list": None,
                    "epoch": 130,
                    "steps": 14430,
                    "setting": {},
                },
            }
        )
    )
    return folder


def _groups(run: Run) -> pd.DataFrame:
    """Recommendations rise from group to group, less so with MACR; the item gate rises, the user gate falls."""
    steps = range(6)
    slope = 0.0005 if run.method.startswith("MACR") else 0.001
    items, users = (group_names(kind, edges) for kind, edges in load_paper(PAPER).groups.items())
    rows = [("frequency", 20, items[n], 0.002 + slope * (n - 2.5) + run.seed * 1e-5) for n in steps]
    rows += [("item_recall", 20, items[n], 0.1 + 10 * slope * n + run.seed * 1e-4) for n in steps]
    if run.method.startswith("MACR"):
        rows += [("item_gate", None, items[n], 0.4 + 0.1 * n + run.seed * 1e-3) for n in steps]
        rows += [("user_gate", None, users[n], 0.9 - 0.1 * n + run.seed * 1e-3) for n in steps]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"k": "Int64"})


def _sweep(run: Run, select_on: str) -> list[dict]:
    """A tent with its top at c = 30: own epochs on the list that selects, one fixed epoch on test."""
    return [
        {
            "split": split,
            "curve": curve,
            "c": c,
            "epoch": 130,
            "metric": "hr",
            "k": 20,
            "value": hits(run) / USERS - abs(c - 30) * (0.0004 if curve == "own_epoch" else 0.0008),
        }
        for curve, split in (("own_epoch", select_on), ("fixed_epoch", "test"))
        for c in range(61)
    ]


def move(config: Config, run: Run, by: float) -> None:
    """Change one run's HR@20 in its metrics.csv, as if training gave another number."""
    (path,) = Path(config.results, run.folder).glob("*/metrics.csv")
    frame = pd.read_csv(path, keep_default_na=False)
    frame.loc[(frame["metric"] == "hr") & (frame["k"].astype(int) == 20), "value"] += by
    frame.to_csv(path, index=False)


def on_record(monkeypatch, folder: Path) -> Path:
    """Put the record below `folder` instead of the repository."""
    monkeypatch.setattr(record, "RECORD", folder / "record")
    return folder / "record"


RUN = Run(PAPER, "adressa", "sound", "MF", "MACR_MF", "main", 1)
PRINTED = replace(RUN, reading="printed")


def other_seed(seed: int, run: Run = RUN) -> Run:
    """The same run with another seed."""
    return replace(run, seed=seed)
