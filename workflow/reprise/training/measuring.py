"""A finished run measured over groups of items and users, from its lists and its model; and what its texts tell.

No run's fingerprint covers this file: a figure's numbers may change without a run being trained again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from reprise.evaluation.drift import drift
from reprise.evaluation.groups import (
    COLUMNS,
    FEWEST_USERS,
    SIDES,
    group_names,
    groups_of,
    item_recall,
    over_drift,
    shares_of,
)
from reprise.files import read_json, replacing
from reprise.papers import load_paper
from reprise.sourcecode import trainer_of
from reprise.training.execution import Execution

USERS_AT_ONCE = 1024


def write_groups(execution: Execution) -> None:
    """Write `groups.csv` (metric, k, group, value) beside `run.json`; without rows if nothing is to measure."""
    kinds = load_paper(execution.run.paper).groups
    rows = measure(execution) if "items" in kinds else []
    rows += measure_attributes(execution, kinds["attributes"]) if "attributes" in kinds else []
    rows += measure_drift(execution, kinds["drift"]) if "drift" in kinds else []
    rows += measure_ratings(execution, kinds["ratings"]) if "ratings" in kinds else []
    rows += measure_leaked(execution)
    with replacing(execution.folder / "groups.csv") as beside:
        pd.DataFrame(rows, columns=COLUMNS).astype({"k": "Int64"}).to_csv(beside, index=False)


def measure(execution: Execution) -> list[tuple]:
    """Every group's means: `frequency` (an item's share of all places on the lists of all users with a training row),
    `test_user_frequency` (on those of the test users), `item_recall`, and of a method with gates `item_gate` and
    `user_gate`, with `_ego` from the tables' own rows where those that score are propagated."""
    torch = execution.torch()
    from reprise.evaluation.ranking import Ranking

    data = execution.data
    edges, selected = load_paper(execution.run.paper).groups, read_json(execution.folder / "run.json")["selected"]
    k, folder = max(execution.spec["training"]["ks"]), execution.folder / selected["list"]
    trained = data.parts("train+valid")
    items, users = groups_of(data, edges)

    top = pd.read_parquet(folder / "topk.parquet")
    top = top[top["rank"] <= k]
    rows = items.means("item_recall", k, item_recall(top, data.parts("test"), data.n_items))
    listed = np.bincount(top["item"].to_numpy("int64"), minlength=data.n_items)
    rows += items.means("test_user_frequency", k, shares_of(listed))

    method = execution.trained(folder, "test")
    with torch.no_grad():
        mask = execution.spec["training"]["mask"]
        everyone = Ranking(trained, trained, data.n_users, data.n_items, execution.device, mask, data.ordered)
        times = torch.zeros(data.n_items, dtype=torch.int64, device=execution.device)
        for _, _, lists, _ in everyone.lists(method, [selected["setting"]], k):
            times += torch.bincount(lists[lists >= 0], minlength=data.n_items)
        rows += items.means("frequency", k, shares_of(times.cpu().numpy()))
        for name, gates in _gates(method, everyone.users.device, data.n_users).items():
            groups = items if name.startswith("item") else users
            rows += groups.means(name, None, gates.double().cpu().numpy())
    return rows


def measure_attributes(execution: Execution, ranks: Sequence[int]) -> list[tuple]:
    """What the lists make of the most one-sided histories: see `evaluation.imbalance`."""
    torch = execution.torch()
    from reprise.data.profiles import attribute_shares
    from reprise.evaluation.imbalance import one_sided_shares
    from reprise.evaluation.lists import laid_out

    selected = read_json(execution.folder / "run.json")["selected"]
    k = max(execution.spec["training"]["ks"])
    top = pd.read_parquet(execution.folder / selected["list"] / "topk.parquet")
    users = torch.from_numpy(np.unique(top["user"].to_numpy("int64")))
    lists, _ = laid_out(top[top["rank"] <= k], users, k)
    history = execution.data.interactions("train+valid", "cpu")
    profile = execution.spec["training"]["profile"]
    shares = attribute_shares(history.features[profile["feature"]])
    return one_sided_shares(history, shares, users, lists, profile["window"], ranks)


def measure_drift(execution: Execution, edges: Sequence[float]) -> list[tuple]:
    """The mean of every metric of the run's list over users whose interest moved further than each edge."""
    if "attributes" not in execution.data.features:
        return []
    selected = read_json(execution.folder / "run.json")["selected"]
    users = pd.read_parquet(execution.folder / selected["list"] / "users.parquet").set_index("user")
    eta, rows = drift(execution.data)[users.index], []
    for name, values in users.items():
        metric, _, k = name.partition("@")
        rows += over_drift(eta, edges, metric, int(k) if k else None, values.to_numpy(float))
    return rows


def measure_ratings(execution: Execution, values: Sequence[float]) -> list[tuple]:
    """`predicted`: mean s(score) of what users rated with each value; of items of their largest group, and of others.

    Means of each user first, then over users. A user's largest group is that of which the training items have the
    largest share; an item belongs to it if it carries that group. A user whose training items have none, or who has no
    training item, is left out. Only of data with ratings, and of runs with a model of their own whose score is a logit.
    """
    rated = execution.data.rated
    if rated is None or "rerank" in execution.spec or trainer_of(execution.spec["method"]["name"]) != "rows":
        return []  # of what is trained on rows, each a click or not, the score is a logit
    torch = execution.torch()
    from reprise.data.profiles import attribute_shares, history_share

    selected = read_json(execution.folder / "run.json")["selected"]
    method = execution.trained(execution.folder / selected["list"], "test")
    trained = execution.data.interactions("train", execution.device)
    shares = attribute_shares(trained.features["attributes"], torch.float64)
    users, items, ratings = torch.tensor(rated).to(execution.device).T
    users, items = users.long(), items.long()
    sums = torch.zeros((execution.data.n_users, len(SIDES), len(values), 2), dtype=torch.float64, device=users.device)
    with torch.no_grad():
        everyone = torch.arange(execution.data.n_users, device=users.device)
        # Of equal shares the first counts: their sums may differ in the last bit.
        share, largest = history_share(trained, everyone, shares).round(decimals=9).max(1)
        for some in everyone.split(USERS_AT_ONCE):
            mine = (users >= some[0]) & (users <= some[-1]) & (share[users] > 0)
            user, item, rating = users[mine], items[mine], ratings[mine]
            predicted = method.scores(some).double().sigmoid()[user - some[0], item]
            minority = (shares[item, largest[user]] == 0).long()
            for place, value in enumerate(values):
                here = rating == value
                cell = (user[here], minority[here], torch.full_like(user[here], place))
                both = torch.stack([predicted[here], torch.ones_like(predicted[here])], 1)
                sums.index_put_(cell, both, accumulate=True)
    total, count = sums.cpu().numpy().transpose(3, 1, 2, 0)  # [sides, values, users]
    names = group_names("ratings", values)
    flat = zip(names, total.reshape(len(names), -1), count.reshape(len(names), -1), strict=True)
    return [("predicted", None, name, float((t[n > 0] / n[n > 0]).mean()))
            for name, t, n in flat if (n > 0).sum() >= FEWEST_USERS]


def measure_leaked(execution: Execution) -> list[tuple]:
    """`leaked_test` and `leaked_valid`: the share of the held-out pairs that are among the reviews trained on.

    How many these are is `leaked_test_pairs` and `leaked_valid_pairs`. Only of runs that train on reviews.
    """
    method = execution.spec.get("method", {})
    if method.get("families", "sequential") == "sequential":
        return []
    execution.torch()
    from reprise.data.reviews import Reviews

    training = execution.spec["training"]
    reviews = Reviews.of(execution.data.interactions("train+valid" if training["refit"] else training["fit_on"]))
    leaked = reviews.leaked(reviews.trained(method["leaked"] == "removed"))
    rows = [[(f"leaked_{part}", told / max(pairs, 1)), (f"leaked_{part}_pairs", told)]
            for part, (told, pairs) in leaked.items()]
    return [(name, None, None, value) for both in rows for name, value in both]


def _gates(method, device, n_users: int) -> dict:
    """Gates of a method that has heads, by metric: s(y_i) of every item [n_items], s(y_u) of every user [n_users].

    A branch that the run leaves out has no gate: its head was never trained.
    """
    import torch

    if not hasattr(method, "item_head"):
        return {}
    shown = method.model.represent(torch.arange(n_users, device=device))
    own = {"item_gate": method.model.item, "user_gate": shown.learned_user}
    rows = own if method.options.ego else {"item_gate": shown.item, "user_gate": shown.user}
    if shown.item is not method.model.item:
        rows = rows | {f"{name}_ego": row for name, row in own.items()}
    logits = {"item": method.item_logits, "user": method.user_logits}
    trained = {"item": method.options.item_branch, "user": method.options.user_branch}
    sides = {name: name.partition("_")[0] for name in rows}
    return {name: logits[sides[name]](row).sigmoid() for name, row in rows.items() if trained[sides[name]]}
