"""Search for a method's settings: the published ones and seeded draws from its grid, each trained once on the training
part and scored on validation. Every method gets the same number of trials, and the test part is never read.

Writes results/<paper>/<dataset>/tuning/<method>/<reading>/trials.csv, a row a trial, and, last, choice.json. Trials lie
in the store; those that are made are not made again, one that is killed goes on where it was.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
from pathlib import Path
from typing import Any

from reprise.config import Config
from reprise.errors import RepriseError
from reprise.failures import noting
from reprise.files import replacing, write_json
from reprise.papers import grid_of, load_paper
from reprise.training.behind import Behind, placed
from reprise.training.devices import leased
from reprise.training.execution import prepared_data, set_up_torch
from reprise.training.options import TRIAL_SEED
from reprise.training.store import cell_fingerprint, locked
from reprise.tuning import Point, Search, is_searched, search_of, trial_code

HELP = "search for a method's settings on validation: trials.csv, choice.json"
RESULT = ("score", "epoch", "setting", "seconds", "fingerprint", "reason")
logger = logging.getLogger("reprise")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name what is searched; how often is `trials` of the configuration."""
    parser.add_argument("paper")
    parser.add_argument("dataset")
    parser.add_argument("method", help="as its table prints it, for instance MACR_MF")
    parser.add_argument("reading", help="one that selects on validation, for instance sound")


def main(args: argparse.Namespace, config: Config) -> None:
    """Search; raises RepriseError where there is nothing to search, no data, or every trial diverged."""
    if not is_searched(load_paper(args.paper), args.dataset, args.method, args.reading):
        raise RepriseError(
            f"{args.method} on {args.dataset}, {args.reading}",
            expected="a row with a grid, in a reading that trains on train and selects on validation",
            found="none: its settings stay as published",
        )
    search = search_of(args.paper, args.dataset, args.method, args.reading, config)
    folder, what = Path(config.results, search.folder), f"{args.method} {args.dataset} {args.reading}"
    if len(search.specs) < config.trials:
        logger.info("tune %s: the grid has %d points, fewer than trials=%d", what, len(search.specs), config.trials)
    with noting(folder) as noted, leased(config.device, Path(config.resources, "locks")) as device:
        data = prepared_data(args.paper, args.dataset, config)
        noted["code"] = search.code
        trials = []
        for number, (spec, point) in enumerate(zip(search.specs, search.points, strict=True), 1):
            trials.append(_trial(spec, data, device, config, f"{what} trial {number}/{len(search.specs)}"))
            write_trials(folder / "trials.csv", search.points, trials)
            logger.info("tune %s, trial %d of %d: %s; %s", what, number, len(search.specs), _outcome(trials[-1]),
                        ", ".join(f"{name}={value}" for name, value in point.items()))
        best = choose(trials, what)
        write_json(folder / "choice.json", _choice(search, best, trials) | {"content": data.content})
    logger.info("tune %s: chose trial %d, %s/choice.json", what, best + 1, folder)


def _trial(spec: dict[str, Any], data: Any, device: str, config: Config, label: str) -> dict[str, Any]:
    """One trial in the store, with its `fingerprint`."""
    set_up_torch(device, config.threads)
    from reprise.training.trial import run_trial

    cell = cell_fingerprint(trial_code(spec), data.content, device, config.threads)
    entry = Path(config.resources, "store", f"{cell}-s{TRIAL_SEED}")
    origin = Behind(spec, TRIAL_SEED, data.content, device, config, label).origin()
    with locked(entry):
        made = run_trial(entry, data, placed(spec, config), device, label, origin=origin)
        return made | {"spec": spec, "fingerprint": entry.name}


def choose(trials: list[dict[str, Any]], what: str) -> int:
    """The place of the best score, of equal ones the first; raises RepriseError where every trial diverged."""
    scored = [(trial["score"], -place) for place, trial in enumerate(trials) if trial["score"] is not None]
    if not scored:
        raise RepriseError(f"tune {what}", kind="diverged", expected="a trial that ends",
                           found=f"all {len(trials)} diverged", fix="another grid in paper.yaml")  # fmt: skip
    return -max(scored)[1]


def write_trials(path: Path, points: list[Point], trials: list[dict[str, Any]]) -> None:
    """Write the trials made so far, a row a trial: its number, its settings, and what came of it."""
    with replacing(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["trial", *points[0], *RESULT])
        for number, (point, trial) in enumerate(zip(points, trials, strict=False), 1):  # the rest is still to come
            writer.writerow([number, *map(_text, point.values()), *(_text(trial.get(name)) for name in RESULT)])


def _text(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (dict, list)) else value


def _outcome(trial: dict[str, Any]) -> str:
    if trial["score"] is None:
        return trial["reason"]
    training = trial["spec"]["training"]
    return f"{training['metric']}@{training['k']} {trial['score']:.4f} at epoch {trial['epoch']}"


def _choice(search: Search, best: int, trials: list[dict[str, Any]]) -> dict[str, Any]:
    """What was chosen, and from what. No date: a search made again must give the same bytes, so that nothing behind it
    runs again."""
    trial = trials[best]
    training = trial["spec"]["training"]
    return {
        "settings": search.points[best],
        "trial": best + 1,
        "trials": len(trials),
        "score": trial["score"],
        "metric": f"{training['metric']}@{training['k']}",
        "epoch": trial["epoch"],
        "setting": trial["setting"],
        "fingerprint": trial["fingerprint"],
        "grid": grid_of(load_paper(search.paper), search.method),
        "code": search.code,
        "device": trial["device"],
        "threads": trial["threads"],
    }
