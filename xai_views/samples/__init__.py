"""Samples: the schema, loaders, and generators with ground truth."""

from xai_views.samples.opening import open_samples
from xai_views.samples.readers.image_upload import decode_upload, fit
from xai_views.samples.reading import digest, images, inputs, positions
from xai_views.samples.relabel import labelled_for
from xai_views.samples.schema import dataset, validate
from xai_views.samples.signals import is_signals, signal_dataset

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
