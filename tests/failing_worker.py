"""A process of a run, as `reprise.training.launch` has it: the first writes a checkpoint every epoch, the second fails
after some steps, once, if the file FAILS_ONCE is not there yet."""

import functools
import os
import sys
from pathlib import Path

from reprise.training import launch, run, texts

STEPS = 20


def step(trainer, before=texts.Trainer._step):
    once = Path(os.environ["FAILS_ONCE"])
    if os.environ["RANK"] == "1" and trainer.steps == STEPS and not once.exists():
        once.touch()
        raise MemoryError("out of memory")
    return before(trainer)


if __name__ == "__main__":
    texts.Trainer._step = step
    run.train = functools.partial(run.train, checkpoint_every=0)
    sys.exit(launch.main(Path(sys.argv[1])))
