"""The trained single-lead network of the package ``openecg`` (Apache-2.0, extra ``ecg-demo``), opened as a model of signals.

The package answers for every step of a record. To get a logit for the record, :class:`Codec` takes the mean of the
logits of all steps. That is our reading: it makes each step's share in a logit exact, and it is not the mean of the
probabilities of the steps, which the package's report uses.
"""

from __future__ import annotations

import copy
import warnings

import torch
from torch import nn

from xai_views.errors import ModelError, nearest
from xai_views.models.bare_module import own_model
from xai_views.models.model import Model

RATE, STEPS, LEAD = 500, 5000, "II"
#: Class names of the heads that ask about a record, in the order of their logits (model card of codec v6).
HEADS = {
    "rhythm": ("sinus", "AV block", "paced", "atrial fibrillation", "bundle branch block", "ventricular"),
    "beat": ("none", "sinus", "ventricular premature", "paced", "fusion", "unknown"),
}
#: Names under which :func:`xai_views.open_model` opens them.
NAMES = {f"openecg-{head}": head for head in HEADS}


def ranks(signal: torch.Tensor) -> torch.Tensor:
    """Rank of every step among all steps of its lead, from -1 (lowest) to 1 (highest); equal values share their mean rank.

    Parameters
    ----------
    signal : Tensor
        ``[..., steps]``, floats.

    Returns
    -------
    Tensor
        As ``signal``. Gradients pass as if ranks were the signal itself: those that come out are with respect to the
        ranks, because ranks do not change with a small change of the signal.
    """
    value = signal.detach().contiguous()
    ordered = value.sort(-1).values
    first = torch.searchsorted(ordered, value)
    last = torch.searchsorted(ordered, value, right=True) - 1
    rank = (first + last).double() / max(signal.shape[-1] - 1, 1) - 1
    return rank.to(signal) + (signal - value)


class Ranks(nn.Module):
    """:func:`ranks` as a layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``[N, 1, steps]`` in mV to ranks ``[N, 1, steps]`` in [-1, 1]."""
        return ranks(x)


class Codec(nn.Module):
    """One head of the network of ``openecg`` as a classifier of records.

    Parameters
    ----------
    network : nn.Module
        What ``openecg.load_codec()`` returns; copied, so that others may go on using it.
    head : {"rhythm", "beat"}
        Which head's logits.
    """

    def __init__(self, network: nn.Module, head: str) -> None:
        super().__init__()
        own = copy.deepcopy(network)
        read = getattr(own, f"{head}_sample")
        for name in (
            "head_sample",
            "beat_sample",
            "rhythm_sample",
        ):  # each hands on the map that it would read
            setattr(own, name, nn.Identity())
        self.ranks, self.network = Ranks(), own
        self.map = nn.Identity()  # a place to look at the map that the head reads
        self.pool, self.flatten = nn.AdaptiveAvgPool1d(1), nn.Flatten()
        self.head = nn.Linear(read.in_features, read.out_features)
        self.head.load_state_dict(read.state_dict())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map lead II ``[N, 1, 5000]`` in mV at 500 Hz to logits ``[N, 6]``."""
        lead = torch.zeros(
            len(x), dtype=torch.long, device=x.device
        )  # the network has one lead and no name for it
        last = self.network(self.ranks(x)[:, 0], lead)[0]
        return self.head(self.flatten(self.pool(self.map(last.transpose(1, 2)))))


def open_openecg(head: str = "rhythm") -> Model:
    """Open the trained network of the package ``openecg``; ``xv.open_model("openecg-rhythm")`` does the same.

    The network reads the ranks of the steps of lead II, which :class:`Ranks` computes inside, so that records, edits
    and muted leads stay in mV. Gradients are with respect to the ranks.

    Parameters
    ----------
    head : {"rhythm", "beat"}
        Of the beat head, whose answer is meant for single beats, the mean over a record says little.

    Returns
    -------
    Model
        Of one lead (II), 5000 steps at 500 Hz; its last map is ``map`` and its head is additive.

    Raises
    ------
    ModelError
        In one sentence, when there is no such head, or the package is absent or of another version.
    """
    if head not in HEADS:
        raise ModelError(f"openecg has no head {head!r}; there is {nearest(head, HEADS)}.")
    model = own_model(
        Codec(_network(), head),
        classes=HEADS[head],
        channels=1,
        size=(STEPS,),
        rate=RATE,
        leads=[LEAD],
        name=f"openecg-{head}",
    )
    model.card = {
        "title": f"openecg codec v6, {head}",
        "method": "ecg_clusters",
        "samples": "ecg/test",
        "licence": "Apache-2.0",
        "origin": "package openecg 0.11.0, models/codec_v6.pt",
        "note": "Trained by others on one lead; a logit is the mean over the steps (our reading). Not for clinical use.",
    }
    return model


def _network() -> nn.Module:
    """The codec of the installed package."""
    try:
        import openecg
    except ImportError as e:
        raise ModelError(
            f'the package openecg is not installed ({str(e)[:80]}); pip install "xai-views[ecg-demo]" brings it.'
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "enable_nested_tensor")
            network = openecg.load_codec()
    except Exception as e:  # noqa: BLE001 - whatever another version raises becomes one sentence
        said = f"{type(e).__name__}: {e}".partition("\n")[0][:120]
        raise ModelError(
            f"the network of openecg could not be loaded ({said}); install openecg==0.11.0."
        ) from None
    if not all(isinstance(getattr(network, f"{h}_sample", None), nn.Linear) for h in HEADS):
        raise ModelError("openecg brought a network without rhythm and beat heads; install openecg==0.11.0.")
    return network
