"""What is planted in the world of ratings can be asked back; figures' means of it against plain loops."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from reprise.config import Config, make_config
from reprise.data import small_ratings
from reprise.data.prepared import Prepared
from reprise.data.readers import reader
from reprise.data.splits import user_tenths
from reprise.evaluation.drift import drift
from reprise.files import read_json, write_json
from reprise.papers import Run, load_paper
from reprise.reporting.plots import draw
from reprise.reporting.results import Results
from reprise.reporting.tidy import SHOWN, typed
from reprise.training import measuring
from reprise.training.execution import executing


@pytest.fixture(scope="module")
def world():
    return small_ratings.make()


def test_it_is_read_as_movielens_is(world, tmp_path):
    small_ratings.write(world, tmp_path)
    tables = reader("movielens_1m")(tmp_path)
    assert len(tables.interactions) == len(world.ratings) and tables.facts["movies_without_rating"] == 6
    assert (len(tables.users), len(tables.items)) == (300, 150)
    assert "::" in tables.items["title"][0]
    assert set(tables.interactions["rating"]) == {1, 2, 3, 4, 5}


def prepared(world):
    """The world split by user; user 7 has lost what there was to train on, as users of the recovered file have."""
    liked = world.ratings[world.ratings[:, 2] >= 4]
    part = user_tenths(liked[:, 0])
    pairs = liked[:, :2]
    train = pairs[(part == 0) & (pairs[:, 0] != 7)]
    return Prepared(300, 150, train, pairs[part == 1], pairs[part == 2], "small-world", True,
                    {"attributes": pa.array([some.tolist() for some in world.genres], pa.list_(pa.int64()))},
                    rated=world.ratings[:, :3])


def test_users_whose_taste_changed_drift_further(world):
    eta = drift(prepared(world))
    moved, stayed = np.median(eta[world.drifts]), np.median(eta[~world.drifts])
    assert moved > 2 * stayed, (moved, stayed)


def test_predictions_by_rating_are_means_of_users_first(world, tmp_path):
    """Figure 1 against a loop over ratings; a user without training rows has no largest group."""
    data, scores = prepared(world), np.random.default_rng(3).normal(0, 1, (300, 150))
    write_json(tmp_path / "run.json", {"selected": {"list": "test"}})
    model = SimpleNamespace(scores=lambda users: torch.from_numpy(scores)[users])
    execution = SimpleNamespace(data=data, spec={"method": {"name": "pointwise"}}, folder=tmp_path, device="cpu",
                                torch=lambda: torch, trained=lambda *_: model)
    found = {group: value for _, _, group, value in measuring.measure_ratings(execution, (3, 5))}

    cells = {}
    for user, item, rating in data.rated.tolist():
        mine = data.train[data.train[:, 0] == user, 1]
        if rating not in (3, 5) or not len(mine):
            continue
        shares = np.zeros(len(small_ratings.GENRES))
        for one in mine:
            shares[world.genres[one]] += 1 / len(world.genres[one])
        side = "majority" if (shares / len(mine)).round(9).argmax() in world.genres[item] else "minority"
        cells.setdefault((f"{side}{rating}", user), []).append(1 / (1 + math.exp(-scores[user, item])))
    wanted = {}
    for (group, user), values in cells.items():
        assert user != 7
        wanted.setdefault(group, []).append(np.mean(values))
    assert found == pytest.approx({group: np.mean(values) for group, values in wanted.items()})
    assert set(found) == {"majority3", "majority5", "minority3", "minority5"}


@pytest.mark.parametrize(("name", "metrics"), [("figure1", ["predicted"]), ("figure4", ["ckl"]),
                                               ("figure5", ["recall", "ndcg"])])
def test_figures_draw_a_line_of_every_method_over_groups(name, metrics):
    paper = load_paper("decrs")
    exhibit = paper.figures[name]
    groups = measuring.group_names(exhibit.groups, paper.groups[exhibit.groups])
    rows = [{"dataset": "ml-1m", "metric": "users", "group": group, "value": 100 - place}
            for place, group in enumerate(groups) if name != "figure1"]
    rows += [{"dataset": "ml-1m", "reading": "sound", "backbone": paper.method(method).backbone, "method": method,
              "variant": "main", "seed": 1, "metric": metric, "k": None if metric == "predicted" else 20,
              "group": group, "value": 0.1 * place, "data": "recovered", "date": "2026-11-27"}
             for method in exhibit.methods for metric in metrics
             for place, group in enumerate(groups)]
    frame = typed(pd.DataFrame(rows, columns=SHOWN))
    figure = draw(name, Results(paper, Config(), frame)).figure
    lines = [line for axes in figure.axes for line in axes.get_lines() if len(line.get_xdata()) > 1]
    a_method = 2 if name == "figure1" else len(metrics)  # majority and minority; or a panel a metric
    assert len(lines) == a_method * len(exhibit.methods)
    points = len(groups) // 2 if name == "figure1" else len(groups)
    steps = np.diff([line.get_ydata() for line in lines])
    assert steps.shape == (len(lines), points - 1) and np.allclose(steps, 0.1)


def test_decrs_and_its_groups_from_two_trained_models_by_hand(world, tmp_path):
    """FM and the deconfounded FM are trained, fused and measured by groups of drift; the fused part again, by loops."""
    paper, places = load_paper("decrs"), tmp_path / "results/decrs/small-ratings/data"
    prepared(world).save(places)
    write_json(places / "check.json", {})
    config = make_config({"results": str(tmp_path / "results"), "resources": str(tmp_path / "resources"),
                          "device": "cpu", "max_epochs": 3, "datasets": "small-ratings"})
    probabilities = []
    for method in ("FM", "DecRS-wo_FM", "DecRS_FM"):
        with executing(Run.named(paper, "small-ratings", method, "sound", 1), config) as execution:
            execution.all()
            measuring.write_groups(execution)
            selected = read_json(execution.folder / "run.json")["selected"]
            if method != "DecRS_FM":
                model = execution.trained(execution.folder / selected["list"], "test")
                with torch.no_grad():
                    probabilities.append(model.scores(torch.arange(300)).double().sigmoid().numpy())
    measured = pd.read_csv(execution.folder / "groups.csv").set_index(["metric", "k", "group"])["value"]

    data, histories = execution.data, [[] for _ in range(300)]
    for user, item in data.parts("train+valid").tolist():
        histories[user].append(item)
    shares = np.zeros((150, len(small_ratings.GENRES)))
    for item, genres in enumerate(world.genres):
        shares[item, genres] = 1 / len(genres)
    eta = np.zeros(300)
    for user, items in enumerate(histories):
        half = len(items) // 2
        if half:
            p, q = shares[items[:half]].mean(0), shares[items[half:]].mean(0)
            eta[user] = sum(a * math.log(a / (0.99 * b + 0.01 * a)) for one, other in ((p, q), (q, p))
                            for a, b in zip(one, other, strict=True) if a > 0)
    scaled = ((eta - eta.min()) / (eta.max() - eta.min())) ** selected["setting"]["alpha"]
    mixed = (1 - scaled[:, None]) * probabilities[0] + scaled[:, None] * probabilities[1]
    recall = {}
    for user in np.unique(data.test[:, 0]).tolist():
        sought = set(data.test[data.test[:, 0] == user, 1].tolist())
        mixed[user, histories[user]] = -1
        recall[user] = len(sought & set(np.argsort(-mixed[user])[:20].tolist())) / len(sought)
    for edge in (0, 1, 2):
        members = [user for user in recall if eta[user] > edge]
        assert edge == 0 or 30 < len(members) < 270, len(members)
        assert measured["recall", 20, f"eta>{edge}"] == pytest.approx(np.mean([recall[user] for user in members]))
