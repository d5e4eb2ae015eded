"""How long a list takes: seconds from a user's history to the best k items, on a CPU, in batches."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Mapping

import torch

from reprise.evaluation.ranking import Ranking, Reorderer, Scorer

BATCH, WARM_UP, PASSES = 256, 3, 5  # users at a time, batches before the clock starts, passes over all users


def clock(
    methods: Mapping[str, tuple[Scorer | Reorderer, Ranking, dict]], k: int, one_by_one: Collection[str] = (),
    kept: Collection[str] = (),
) -> dict[str, list[float]]:
    """Seconds a user of each method, pass by pass; passes of different methods take turns.

    Those `one_by_one` get a user at a time, and a pass of theirs is over after as many users as a batch holds.

    `methods` gives a method, what it ranks for, and its inference setting. What a model keeps from one ranking for the
    next is made again in every batch, but for those `kept`, which make it once.
    """

    def once(name: str, batches: int | None = None) -> None:
        method, ranking, setting = methods[name]
        for _ in itertools.islice(ranking.lists(method, [setting], k), batches):
            if name not in kept:
                method.forget()

    seconds: dict[str, list[float]] = {name: [] for name in methods}
    with torch.no_grad():
        for name, (_, ranking, _) in methods.items():
            ranking.chunk = 1 if name in one_by_one else BATCH
            once(name, WARM_UP)
        for _ in range(PASSES):
            for name, (_, ranking, _) in methods.items():
                users = min(BATCH, len(ranking.users)) if name in one_by_one else len(ranking.users)
                started = time.perf_counter()
                once(name, -(-users // ranking.chunk))
                seconds[name].append((time.perf_counter() - started) / users)
    return seconds
