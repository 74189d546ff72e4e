"""Synthetic ECG whose evidence is known."""
