"""Synthetic ECG with ground truth."""
