"""``open_model``: open a catalogue name, a checkpoint folder, or your own module."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from xai_views import catalogue
from xai_views.contract import registry
from xai_views.contract.family import Family
from xai_views.errors import ModelError, XaiViewsError, nearest
from xai_views.models.bare_module import own_model
from xai_views.models.checkpoint import PICKLES, load
from xai_views.models.model import Model

logger = logging.getLogger("xai_views")


def open_model(
    spec: str | Path | nn.Module | Model,
    *,
    classes: Sequence[str] | None = None,
    channels: int = 3,
    size: tuple[int, ...] | None = None,
    name: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    rate: float | None = None,
    leads: Sequence[str] = (),
    kind: str | None = None,
) -> Model:
    """Open a model.

    Parameters
    ----------
    spec : str, Path, nn.Module or Model
        A catalogue name (``"birds-sic"``), a checkpoint folder, a name provided by an installed family
        (``"openecg-rhythm"`` or ``"openecg-beat"``, when that package is installed), or your own module, which maps images
        ``[N, C, H, W]`` in [0, 1], or signals ``[N, lead, time]`` in mV, to logits ``[N, classes]``.
    classes : sequence of str, optional
        Class names of your own module; numbered by default.
    channels, size : int, (int, int) or (int,), optional
        Input of your own module; by default any size. One number means signals: ``size`` is the
        number of steps and ``channels`` the number of leads.
    name : str, optional
        Displayed name of your own module.
    mean, std : sequence of float, optional
        Normalisation that your own module expects of images in [0, 1]; by default the one stored in a timm
        network, else none.
    rate, leads : float, sequence of str, optional
        For your own module of signals: steps per second (Hz), and the leads in the expected order.
    kind : {"image", "signal", "cine", "table"}, optional
        Input of your own module; by default derived from ``size``: one number means steps of a signal, three mean
        frames, height and width of cine loops, anything else means images. A table has ``channels`` features.

    Returns
    -------
    Model
        In evaluation mode, parameters frozen, on the CPU (or on the device of your module).

    Raises
    ------
    ModelError
        With a one-sentence message, when the model does not exist or cannot be read.
    """
    if isinstance(spec, Model):
        return spec
    if isinstance(spec, nn.Module):
        return own_model(spec, classes, channels, size, name, mean, std, rate, leads, kind)
    shipped = catalogue.models()
    if str(spec) in shipped:
        return load(Path(shipped[str(spec)]))
    path = Path(spec).expanduser()
    if path.suffix in PICKLES:
        raise ModelError(
            f"{path.name!r} is a pickle, which can run code when opened; build the module yourself, load the weights with "
            "torch.load(weights_only=True) and give open_model the module."
        )
    if path.is_file():
        raise ModelError(f"{path.name!r} is a file; give open_model the checkpoint folder that contains it.")
    if path.is_dir():
        return load(path)
    family = _family_of(str(spec))
    if family is None:
        raise ModelError(
            f"there is no model or folder {str(spec)!r}; the nearest names in the catalogue: {nearest(str(spec), shipped)}."
        )
    return family.open(str(spec))


def _family_of(name: str) -> Family | None:
    """Return the installed family that opens this name, if any; one that cannot be imported is skipped."""
    for entry in registry.entries("families"):
        try:
            family = registry.load("families", entry)()
        except XaiViewsError as error:
            logger.warning("Skipped the family %s: %s", entry, error)
            continue
        if name in family.names:
            return family
    return None
