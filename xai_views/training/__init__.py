"""Training: fit a network of each architecture, resumable, into a checkpoint folder."""
