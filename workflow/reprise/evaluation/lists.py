"""From trained weights to lists, from lists to metrics: the stages `recommend` and `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from reprise.data.interactions import Interactions
from reprise.data.prepared import Prepared, values_and_lengths
from reprise.errors import RepriseError
from reprise.evaluation.metrics import about_lists, over_items, per_user
from reprise.evaluation.profiles import Profiles
from reprise.evaluation.ranking import Generator, Ranking, Reorderer, Scorer
from reprise.files import read_json, replacing, write_json
from reprise.training.options import Profile

OUTPUTS = "outputs.json"


def recommend(
    folder: Path, method: Scorer | Reorderer | Generator, ranking: Ranking, setting: dict[str, Any], k: int
) -> None:
    """Rank for every user of `ranking` and write `topk.parquet` (user, rank, item, score): `k` items a user, best
    first.

    The item after the cut is ranked too, as rank k + 1, so that `evaluate` can say how often a tie fell on the cut.
    Of lists that a model wrote, `outputs.json` keeps what was no recommendation: shares of all outputs.
    """
    frames = []
    with torch.no_grad():
        for _, rows, items, scores in ranking.lists(method, [setting], k + 1):
            users = ranking.users[rows]
            there = items >= 0
            frames.append(
                pd.DataFrame(
                    {
                        "user": users[:, None].expand_as(items)[there].cpu().numpy().astype("int32"),
                        "rank": torch.arange(1, items.shape[1] + 1, device=items.device)
                        .expand_as(items)[there]
                        .cpu()
                        .numpy()
                        .astype("int16"),
                        "item": items[there].cpu().numpy().astype("int32"),
                        "score": scores[there].cpu().numpy().astype("float32"),
                    }
                )
            )
    if outputs := ranking.tally.pop("outputs", 0):
        write_json(folder / OUTPUTS, {name: count / outputs for name, count in ranking.tally.items()})
    with replacing(folder / "topk.parquet") as beside:
        pd.concat(frames, ignore_index=True).to_parquet(beside, index=False)


def laid_out(top: pd.DataFrame, users: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The rows of a `topk.parquet` as items [U, width] int64 and scores [U, width]; -1 and NaN where a list is shorter.

    `users` [U] int64, rising, hold every user of the rows; no rank is beyond `width`.
    """
    row = torch.searchsorted(users, torch.tensor(top["user"].to_numpy("int64")))
    column = torch.tensor(top["rank"].to_numpy("int64")) - 1
    items, scores = torch.full((len(users), width), -1), torch.full((len(users), width), torch.nan)
    items[row, column] = torch.tensor(top["item"].to_numpy("int64"))
    scores[row, column] = torch.tensor(top["score"].to_numpy("float32"))
    return items, scores


def evaluate(
    folder: Path, data: Prepared, ranking: Ranking, ks: tuple[int, ...], profile: Profile | None = None
) -> None:
    """Read `topk.parquet`; write `users.parquet` (a row a user, a column a metric) and `metrics.csv` (metric, k, group,
    value). With a `profile` the metrics of what lists are about are among them.

    Raises
    ------
    RepriseError
        The lists are of other users than those with held-out items.
    """
    top = pd.read_parquet(folder / "topk.parquet")
    deepest = max(ks)
    users = ranking.users.cpu()
    owner = torch.tensor(top["user"].to_numpy("int64"))
    if not bool(torch.isin(owner, users).all()):  # a user without a row has an empty list: a rule may know nothing
        raise RepriseError(
            str(folder / "topk.parquet"),
            expected=f"lists for the {len(users)} users with held-out items",
            found=f"also one for user {int(owner[~torch.isin(owner, users)][0])}",
            fix="run recommend again",
        )
    items, scores = laid_out(top, users, deepest + 1)
    lists = items[:, :deepest].to(ranking.users.device)
    chunks = [slice(start, start + ranking.chunk) for start in range(0, len(users), ranking.chunk)]
    hits = torch.cat([ranking.hits(rows, lists[rows]) for rows in chunks])
    columns = per_user(hits, ranking.relevant, ks)
    if profile:
        profiles = Profiles(data, profile, lists.device)
        parts = [
            about_lists(lists[rows], profiles.of(ranking.users[rows], ranking.history), profiles.shares, ks,
                        profiles.smoothing, profiles.base)
            for rows in chunks
        ]
        columns |= {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    values = {name: column.cpu().numpy() for name, column in columns.items()}
    with replacing(folder / "users.parquet") as beside:
        pd.DataFrame({"user": users.numpy().astype("int32"), **values}).to_parquet(beside, index=False)

    means = {name: float(column.mean()) for name, column in values.items()}
    counts = Interactions.of(data.parts("train+valid"), data.n_users, data.n_items, lists.device).counts
    means |= over_items(lists, counts, ks)
    means |= {f"ties@{k}": float((scores[:, k - 1] == scores[:, k]).double().mean()) for k in ks}
    if "appearance" in data.features:
        means |= following(hits, lists, ranking, data, ks)
    if (folder / OUTPUTS).exists():
        means |= {f"{name}@{deepest}": share for name, share in read_json(folder / OUTPUTS).items()}
    rows = [(*name.split("@"), "", value) for name, value in means.items()]
    with replacing(folder / "metrics.csv") as beside:
        pd.DataFrame(rows, columns=["metric", "k", "group", "value"]).to_csv(beside, index=False)


def following(hits: Tensor, lists: Tensor, ranking: Ranking, data: Prepared, ks: tuple[int, ...]) -> dict[str, float]:
    """`next_id@k`: of the hits [U, K], the share that numbering gave away; 0 without hits.

    Those are items with the number that follows the largest of the history, where numbers are given as items first
    appear, held-out ones included. Whether a method could see such numbers does not matter here.
    """
    numbers = torch.tensor(values_and_lengths(data.features["appearance"])[0], device=lists.device)
    largest = torch.zeros(ranking.history.n_users, dtype=torch.int64, device=lists.device)
    largest.scatter_reduce_(0, ranking.history.users, numbers[ranking.history.items], "amax")
    given = hits & (numbers[lists.clamp(min=0)] == largest[ranking.users][:, None] + 1)
    return {f"next_id@{k}": float(given[:, :k].sum() / hits[:, :k].sum().clamp(min=1)) for k in ks}
