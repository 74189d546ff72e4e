"""Models: architectures, checkpoints and adapters."""

from .checkpoint import load, save
from .model import Model
from .opening import open_model
from .supports import Latents, Supports, select

__all__ = ["Latents", "Model", "Supports", "load", "open_model", "save", "select"]
