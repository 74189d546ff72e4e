"""Clustering of activations: one engine for images (rank 2) and signals (rank 1)."""
