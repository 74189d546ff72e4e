"""Training: fitting each architecture, resumable, into a checkpoint folder."""
