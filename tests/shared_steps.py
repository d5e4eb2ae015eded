"""Steps of the trainer `texts` and the lists after them, in this process or in those that torchrun started; and what
wrong ways to share them would give. `test_processes.py` compares."""

from __future__ import annotations

import itertools
import os
import sys
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

import numpy as np
import torch
from failing_worker import CALM
from reprise import processes
from reprise.data.features import Lists
from reprise.data.interactions import Interactions
from reprise.methods.writing import Texts
from reprise.models.generative import nets
from reprise.models.generative.words import Lines
from reprise.training import texts
from reprise.training.build import derived_seed
from test_writing import ITEMS, histories, trainer_of

STEPS = 8  # less than three epochs of the first case, so that the half of them is in the middle of one
# In two processes: batches are dealt, in the last step of an epoch one process gets none; or each batch is cut in two.
CASES = {
    "dealt": ("prompted", {"accumulate": 4}, {}),
    "dealt, masked": ("masked", {"accumulate": 2}, {}),
    "cut": ("written", {}, {}),
    "cut, three": ("written", {"accumulate": 3}, {"count_pads": True}),
}


def world():
    """Histories of items whose numbers have one to three digits, so that some answers have more pieces."""
    pairs = np.array([(user, 7 * item) for user, items in enumerate(histories()) for item in items])
    numbers = Lists.of(np.arange(7 * ITEMS) + 1, np.ones(7 * ITEMS, int))
    made = Interactions.of(pairs, len(histories()), 7 * ITEMS, ordered=True)
    return replace(made, features={"shuffled": numbers})


@mock.patch.dict(nets.BART["tiny"], CALM)
def taken(name, stops=False):
    """Losses [STEPS], all weights, and the lists of all users; `stops`: another trainer goes on after half the steps.

    A pretraining's lists are empty.
    """
    torch.set_num_threads(1)
    method, schedule, settings = CASES[name]
    data = world()
    trainer = trainer_of(data, method, 1, {"epsilon": 1e-5, **schedule}, **settings)
    losses = [trainer.train(1) for _ in range(STEPS // 2)]
    if stops:
        state = trainer.state()
        trainer = trainer_of(data, method, 2, {"epsilon": 1e-5, **schedule}, **settings)
        trainer.seed = 1
        trainer.restore(*state)
    losses = torch.tensor(losses + [trainer.train(1) for _ in range(STEPS - STEPS // 2)])
    weights = torch.cat([tensor.flatten() for tensor in trainer.method.parameters()]).detach()
    with torch.no_grad():
        items, scores = trainer.method.generate(torch.arange(data.n_users), data, [{}], 5)[0]
    return {"losses": losses, "weights": weights, "items": items, "scores": scores}


@contextmanager
def instead(owner, name, value):
    before = getattr(owner, name)
    setattr(owner, name, value)
    yield
    setattr(owner, name, before)


COUNT = itertools.count()


def numbered_anew(seed, purpose):
    """Seeds that follow the batches of this process alone."""
    return next(COUNT) if "/step/" in purpose else derived_seed(seed, purpose)


def mean_of_part(self, batch, some):
    """As if a part of a batch weighed as all others do, however many pieces its answers have."""
    part = Texts(Lines(*(one[some] for one in batch.questions)), batch.targets[some])
    return self.method.loss(part) / processes.place()[1]


WRONG = {
    "gradients are not exchanged": ("dealt", processes, "shared", lambda module: module),
    "dropout follows the process": ("dealt", texts, "derived_seed", numbered_anew),
    "all do the same part": ("cut", texts.Trainer, "_dealt", lambda self, several: (
        [(batch, slice(0, None, 2)) for batch in several], 1.0)),
    "parts weigh the same": ("cut", texts.Loss, "forward", mean_of_part),
}


def main(path):
    with processes.together("cpu"):
        found = {name: taken(name) for name in CASES} | {"stopped": taken("dealt", stops=True)}
        for name, (case, *change) in WRONG.items():
            with instead(*change):
                found[name] = taken(case)
    torch.save(found, f"{path}.{os.environ['RANK']}")


if __name__ == "__main__":
    main(sys.argv[1])
