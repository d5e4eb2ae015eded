"""Metrics of ranked lists, per user first. All read the same lists; a mean is only ever a mean of per-user values."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from reprise.data.profiles import kl, mean_share

PER_USER = ("hr", "recall", "ndcg", "mrr", "precision")


def per_user(hits: Tensor, relevant: Tensor, ks: Iterable[int], names: Iterable[str] = PER_USER) -> dict[str, Tensor]:
    """Compute metrics of each user's list.

    Parameters
    ----------
    hits : Tensor [U, K] bool
        Whether the item at each rank is one of the user's held-out items; ranks that a list does not fill are False.
    relevant : Tensor [U] int
        Number of the user's held-out rows, repeats counted, at least 1.
    ks : iterable of int
        Cut-offs, each at most K.
    names : iterable of str
        Which metrics.

    Returns
    -------
    dict of str to Tensor [U] float64, keyed `hr@20`
        With h(r) = 1 for a hit at rank r and n = `relevant`:
        hr = 1 if any hit; recall = sum h / n; precision = sum h / k; mrr = 1 / (rank of the first hit), 0 without one;
        ndcg = sum h(r) / log2(r + 1) over its largest value, sum of 1 / log2(r + 1) for r = 1..min(k, n)
        (Jarvelin and Kekalainen 2002, binary gains; MACR's official evaluator divides likewise).
    """
    hits = hits.double()
    ranks = torch.arange(1, hits.shape[1] + 1, device=hits.device, dtype=torch.float64)
    discounts = 1 / torch.log2(ranks + 1)
    found = {"hr": hits, "recall": hits, "precision": hits, "ndcg": hits * discounts, "mrr": hits / ranks}
    ideal = torch.cumsum(discounts, 0)
    values = {}
    for name in names:
        gains = found[name]
        for k in ks:
            top = gains[:, :k]
            if name in ("hr", "mrr"):
                value = top.amax(1)
            elif name == "recall":
                value = top.sum(1) / relevant
            elif name == "precision":
                value = top.sum(1) / k
            else:
                value = top.sum(1) / ideal[relevant.clamp(max=k) - 1]
            values[f"{name}@{k}"] = value
    return values


def about_lists(
    lists: Tensor, wanted: Tensor, shares: Tensor, ks: Iterable[int], smoothing: float, base: float = math.e
) -> dict[str, Tensor]:
    """Compute what each user's list is about, beside what it should be about, and how much it varies.

    Parameters
    ----------
    lists : Tensor [U, K] int64
        Recommended items, -1 where a list is shorter.
    wanted : Tensor [U, G]
        p(g | s) of the user's history.
    shares : Tensor [n_items, G]
        p(g | x) of every item.
    smoothing : float
        Share of p mixed into q.
    base : float
        Of the logarithm in ckl; e gives nats.

    Returns
    -------
    dict of str to Tensor [U] float64, keyed `ckl@20`
        ckl: KL(p || (1 - a) q + a p), q the mean of the list's items (Steck, RecSys 2018, Eq. 2-4), a the smoothing;
        log(1/a) of an empty list, and 0 of a history that is about nothing, which asks for nothing. ild: mean over
        pairs of the list's items of 1 - |A and B| / |A or B|, A and B their attributes (DACSR, Eq. 26); two items
        without any are alike; 0 of a list with fewer than two items.
    """
    shares, wanted, real = shares.double(), wanted.double(), lists >= 0
    values = {f"ckl@{k}": kl(wanted, mean_share(lists[:, :k], real[:, :k], shares), smoothing, base) for k in ks}
    has = (shares[torch.where(real, lists, 0)] > 0).float()  # [U, K, G]
    both = has @ has.mT
    sizes = has.sum(2)
    either = sizes[:, :, None] + sizes[:, None] - both
    apart = torch.where(either > 0, 1 - both.double() / either, 0) * (real[:, :, None] & real[:, None])
    for k in ks:
        count = real[:, :k].sum(1)
        pairs = (count * (count - 1) / 2).clamp(min=1)
        values[f"ild@{k}"] = apart[:, :k, :k].triu(1).sum((1, 2)) / pairs
    return values


def over_items(lists: Tensor, counts: Tensor, ks: Iterable[int]) -> dict[str, float]:
    """Compute metrics of a whole set of lists.

    Parameters
    ----------
    lists : Tensor [U, K] int64
        Recommended items, -1 where a list is shorter.
    counts : Tensor [n_items] int64
        Training rows of each item.

    Returns
    -------
    dict of str to float, keyed `coverage@20`
        coverage: share of all items in at least one list; gini: Gini index of how often each item is recommended, 0
        when all equally often, near 1 when few items fill all lists; popularity: mean training count of the recommended
        items.
    """
    values = {}
    for k in ks:
        shown = lists[:, :k]
        shown = shown[shown >= 0]
        times = torch.bincount(shown, minlength=len(counts)).double().sort().values
        n = len(times)
        weights = 2 * torch.arange(1, n + 1, device=times.device, dtype=torch.float64) - n - 1
        values[f"coverage@{k}"] = float((times > 0).double().mean())
        values[f"gini@{k}"] = float((weights * times).sum() / (n * times.sum())) if len(shown) else 0.0
        values[f"popularity@{k}"] = float(counts[shown].double().mean()) if len(shown) else 0.0
    return values
