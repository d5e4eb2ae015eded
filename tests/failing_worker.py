"""A process of a run, as `reprise.training.launch` has it: the first writes a checkpoint every epoch, the second fails
after some steps, once, if the file FAILS_ONCE is not there yet."""

import functools
import os
import sys
from pathlib import Path

from reprise.models.generative import nets
from reprise.training import launch, run, texts

STEPS = 20
# Of a batch that is cut the parts have dropout of their own; without any, several processes do what one does.
CALM = {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}


def step(trainer, before=texts.Trainer._step):
    once = Path(os.environ["FAILS_ONCE"])
    if os.environ["RANK"] == "1" and trainer.steps == STEPS and not once.exists():
        once.touch()
        raise MemoryError("out of memory")
    return before(trainer)


if __name__ == "__main__":
    nets.BART["tiny"].update(CALM)
    texts.Trainer._step = step
    run.train = functools.partial(run.train, checkpoint_every=0)
    sys.exit(launch.main(Path(sys.argv[1])))
