"""Base class of model families: how the networks of an architecture are built, and what a checkpoint holds beside weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from xai_views.errors import ModelError


class Family:
    """Networks of one architecture; an entry of the group ``xai_views.families``, under the name used in cards.

    Attributes
    ----------
    names : tuple of str
        Networks of installed packages that :func:`xai_views.open_model` opens by these names, without a checkpoint folder.
    files : tuple of str
        Files of a checkpoint, beside the weights, that change the model when they change.
    outputs : frozenset of str
        Outputs of its networks.
    """

    names: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[tuple[str, ...]] = ()
    outputs: ClassVar[frozenset[str]] = frozenset({"logits", "embedding"})

    def build(self, architecture: Mapping[str, Any]) -> Any:
        """Build an untrained network.

        Parameters
        ----------
        architecture : mapping
            The entry of a card: ``channels``, ``classes``, ``size`` and whatever else the family needs. A missing entry may
            raise ``KeyError``, a wrong one ``TypeError``, ``ValueError`` or ``RuntimeError``; the caller reports them in one
            sentence.

        Returns
        -------
        torch.nn.Module
            Maps inputs to logits ``[N, classes]``.
        """
        raise NotImplementedError

    def fetched(self, architecture: Mapping[str, Any], weights: Any) -> tuple[Any, str]:
        """Build a network whose weights are not in its folder; return it and an identifier of the weights.

        Parameters
        ----------
        architecture : mapping
            As for :meth:`build`.
        weights : mapping
            The entry ``weights`` of a card.

        Raises
        ------
        ModelError
            In one sentence, when this family keeps its weights in the folder, or when they cannot be found.
        """
        raise ModelError(
            f"the card says that the weights are elsewhere, but networks of the family {architecture.get('family')!r} keep "
            "them in their folder; restore the card."
        )

    def held(self, folder: Path, card: Mapping[str, Any], module: Any) -> dict[str, Any]:
        """Return what else a checkpoint holds, as fields of :class:`~xai_views.models.model.Model`, for instance supports.

        Parameters
        ----------
        folder : Path
            The checkpoint.
        card : mapping
            Its card.
        module : torch.nn.Module
            Network with its weights; it may be completed in place.
        """
        return {}

    def open(self, name: str) -> Any:
        """Open one of ``names`` as a :class:`~xai_views.models.model.Model`."""
        raise NotImplementedError
