"""Random data of a given size, to measure costs where the data themselves are not at hand: they teach nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from reprise.data.prepared import Prepared
from reprise.errors import RepriseError

RANKED = 64  # users with an item held out; a ranking of all at full size could take days
FEATURES = {"providers": "provider", "attributes": "attributes"}  # a count that is expected, and what it is of


def generated(counts: Mapping[str, Any], seed: int = 0) -> Prepared:
    """Random histories, one item and one value of every feature drawn evenly from as many as `counts` says.

    `counts` has `users`, `items`, `interactions` and perhaps `train`, those of them to train on, `providers` and
    `attributes`, as `expect` of a data set does; of a range it is the upper end. Lengths are geometric with the mean
    that these give, so a few are long. Two items more are held out of `RANKED` histories.

    Raises
    ------
    RepriseError
        `counts` lacks users, items or interactions, or has fewer interactions than users.
    """
    sizes = {name: int(np.max(value)) for name, value in counts.items() if not isinstance(value, Mapping)}
    for name in ("users", "items", "interactions"):
        if name not in sizes:
            raise RepriseError("generated data", expected="users, items and interactions in expect",
                               found=", ".join(sizes) or "nothing", fix=f"add {name} to the data set in paper.yaml")
    users, items, rows = (sizes[name] for name in ("users", "items", "interactions"))
    if rows < users:
        raise RepriseError("generated data", expected="an interaction a user", found=f"{rows} of {users} users")
    rows = max(users, sizes.get("train", rows))
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(users), rng.geometric(users / rows, users))
    held_out = np.arange(min(RANKED, users))
    parts = (np.stack([whose, rng.integers(items, size=len(whose))], 1) for whose in (owner, held_out, held_out))
    features = {
        feature: pa.array(rng.permutation(np.arange(items) % sizes[count]))
        for count, feature in FEATURES.items() if count in sizes
    }
    return Prepared(users, items, *parts, "small-world", ordered=True, features=features)
