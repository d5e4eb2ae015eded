"""From a resolved spec and prepared data to trained weights: sampling, the loop, checkpoints, the choice of epoch, the store."""
