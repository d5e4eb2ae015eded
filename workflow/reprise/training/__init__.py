"""From a resolved spec and prepared data to trained weights, and to the store that keeps them."""
