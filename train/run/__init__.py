"""A training run: the loop, its state, an epoch, and what they need."""
