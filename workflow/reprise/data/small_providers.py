"""A generated world of streams whose channels have loyal viewers, written in the format of the Twitch log.

What is planted, so that a test can ask for it back:

- providers: every item belongs to one, and some providers are watched much more than others;
- loyalty: a user comes back to few providers, so that who offered the last item tells who offers the next one;
- skew: of each provider's items the first few are watched most. Of the others, which are most of the items, training
  shows so few rows that an item's number teaches little of what comes after it, and its provider says it;
- order: a provider's items stand on a circle, and a user who comes back often takes the one after the last one met;
- short histories: some users have two or three interactions.

Without `meaning` the same histories are told with providers permuted among the items: they say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reprise.data.small_tastes import walk
from reprise.files import write_text

FIRST_STREAM = 33_000_000_000  # numbers of streams are as large as the real ones, which do not fit 32 bits


@dataclass(frozen=True)
class Providers:
    """The truth, and what was observed of it. U users, I items that somebody met, P providers.

    Attributes
    ----------
    histories : list of int array
        The items of every user, oldest first, numbered from 0 in a random order.
    provider : int array [I]
        As it is told.
    true_provider : int array [I]
        As the histories were drawn; without meaning, another one.
    place : int array [I]
        On the circle of the true provider; the first places are drawn most.
    """

    histories: list[np.ndarray]
    provider: np.ndarray
    true_provider: np.ndarray
    place: np.ndarray


def make(*, meaning: bool = True, seed: int = 2023, users: int = 500, items: int = 300, providers: int = 30,
         length: float = 10, loyalty: float = 0.9, focus: float = 0.7, follow: float = 0.25,
         skew: float = 1.0) -> Providers:
    """Generate a world.

    Parameters
    ----------
    meaning : bool
        Whether an item is told with its own provider, or with one of a random permutation among the items.
    items : int
        A multiple of `providers`.
    length : float
        Mean length of a history, above 2 (geometric beyond 2).
    loyalty : float
        Share of a user's own taste in the providers that it comes back to; the rest is what everybody watches.
    focus : float
        How many providers a taste is spread over: the sum of the parameters of its Dirichlet distribution.
    follow : float
        Chance that an item follows on the circle the last one met of its provider; else one is drawn by the skew.
    skew : float
        Exponent of Zipf's law for the items of a provider.
    """
    rng = np.random.default_rng(seed)
    size = items // providers
    common, within = _zipf(providers, 0.6), _zipf(size, skew)
    taste = (1 - loyalty) * common + loyalty * rng.dirichlet(focus * common, users)  # [U, P]
    lengths = 1 + rng.geometric(1 / (length - 1), users)
    place = rng.choice(size, size=(users, providers), p=within)  # on each circle, where a user comes in
    histories, met = walk(
        rng, taste, lengths, place, size, follow, lambda count: rng.choice(size, size=count, p=within)
    )
    told = met // size if meaning else rng.permutation(met // size)
    return Providers(histories, told, met // size, met % size)


def _zipf(n: int, skew: float) -> np.ndarray:
    """Probabilities [n] that fall with the rank to the power of `skew`."""
    weights = 1.0 / np.arange(1, n + 1) ** skew
    return weights / weights.sum()


def write(world: Providers, folder: Path) -> None:
    """Write `100k_a.csv` into `folder`: user, stream, streamer, start, stop; a user's streams ascending, as published.

    One stream after the other: a user's n-th starts at round 2 n and stops at the next one.
    """
    lines = []
    for user, items in enumerate(world.histories, start=1):
        for step in np.argsort(items, kind="stable").tolist():
            stream, name = FIRST_STREAM + items[step], f"channel{world.provider[items[step]]}"
            lines.append(f"{user},{stream},{name},{2 * step},{2 * step + 1}\n")
    write_text(folder / "100k_a.csv", "".join(lines))
