"""What a family of networks is: how a checkpoint of its architecture is built, and what it holds beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from xai_views.errors import ModelError


class Family:
    """Networks of one architecture; an entry of the group ``xai_views.families`` under the name that cards give it.

    Attributes
    ----------
    names : tuple of str
        Networks of installed packages that :func:`xai_views.open_model` opens by these names, without a checkpoint folder.
    files : tuple of str
        Files of a checkpoint beside the weights that make another model when they change.
    outputs : frozenset of str
        What its networks answer with.
    """

    names: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[tuple[str, ...]] = ()
    outputs: ClassVar[frozenset[str]] = frozenset({"logits", "embedding"})

    def build(self, architecture: Mapping[str, Any]) -> Any:
        """Build an untrained network.

        Parameters
        ----------
        architecture : mapping
            The entry of a card: ``channels``, ``classes``, ``size`` and what else the family needs. An entry that lacks may
            raise ``KeyError``, one that is wrong ``TypeError``, ``ValueError`` or ``RuntimeError``: they become a sentence.

        Returns
        -------
        torch.nn.Module
            Maps inputs to logits ``[N, classes]``.
        """
        raise NotImplementedError

    def fetched(self, architecture: Mapping[str, Any], weights: Any) -> tuple[Any, str]:
        """Build a network whose weights are not in its folder; returns it and what identifies them.

        Parameters
        ----------
        architecture : mapping
            As for :meth:`build`.
        weights : mapping
            The entry ``weights`` of a card.

        Raises
        ------
        ModelError
            In one sentence, when weights of this family are in the folder, or cannot be found.
        """
        raise ModelError(
            f"the card says that the weights are elsewhere, and networks of the family {architecture.get('family')!r} have "
            "them in their folder; restore the card."
        )

    def held(self, folder: Path, card: Mapping[str, Any], module: Any) -> dict[str, Any]:
        """What else a checkpoint holds, as fields of :class:`~xai_views.models.model.Model`, for instance supports.

        Parameters
        ----------
        folder : Path
            The checkpoint.
        card : mapping
            Its card.
        module : torch.nn.Module
            With its weights; it may be completed in place.
        """
        return {}

    def open(self, name: str) -> Any:
        """Open one of ``names`` as a :class:`~xai_views.models.model.Model`."""
        raise NotImplementedError
