"""Samples: the schema, loaders, and generators with ground truth."""

from .opening import open_samples
from .reading import digest, images, inputs, positions
from .relabel import labelled_for
from .schema import dataset, validate
from .signals import is_signals, signal_dataset
from .upload import decode_upload, fit

__all__ = [
    "dataset",
    "decode_upload",
    "digest",
    "fit",
    "images",
    "inputs",
    "is_signals",
    "labelled_for",
    "open_samples",
    "positions",
    "signal_dataset",
    "validate",
]
