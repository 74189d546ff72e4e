"""Samples: the schema, loaders, and generators with ground truth."""

from .opening import open_samples
from .schema import dataset, digest, images, validate
from .upload import decode_upload, fit

__all__ = ["dataset", "decode_upload", "digest", "fit", "images", "open_samples", "validate"]
