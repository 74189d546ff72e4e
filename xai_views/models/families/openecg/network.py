"""The trained single-lead network of the package ``openecg`` (Apache-2.0, extra ``ecg-demo``), as a model of signals.

The package predicts every step of a record. For one logit per record, :class:`Codec` takes the mean of the
logits of all steps. This is our extension: it makes each step's contribution to a logit exact, and it differs from the
mean of the steps' probabilities, which the package's report uses.
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
#: Class names of the heads that classify a record, in the order of their logits (model card of codec v6).
HEADS = {
    "rhythm": ("sinus", "AV block", "paced", "atrial fibrillation", "bundle branch block", "ventricular"),
    "beat": ("none", "sinus", "ventricular premature", "paced", "fusion", "unknown"),
}
#: Names for :func:`xai_views.open_model`.
NAMES = {f"openecg-{head}": head for head in HEADS}


def ranks(signal: torch.Tensor) -> torch.Tensor:
    """Return the rank of every step in its lead, from -1 (lowest) to 1 (highest); equal values share their mean rank.

    Parameters
    ----------
    signal : Tensor
        ``[..., steps]``, floats.

    Returns
    -------
    Tensor
        As ``signal``. Gradients pass through as if ranks were the signal itself: they are with respect to the
        ranks, because ranks do not change with a small change of the signal.
    """
    value = signal.detach().contiguous()
    ordered = value.sort(-1).values
    first = torch.searchsorted(ordered, value)
    last = torch.searchsorted(ordered, value, right=True) - 1
    rank = (first + last).double() / max(signal.shape[-1] - 1, 1) - 1
    return rank.to(signal) + (signal - value)


class Ranks(nn.Module):
    """Layer that applies :func:`ranks`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``[N, 1, steps]`` in mV to ranks ``[N, 1, steps]`` in [-1, 1]."""
        return ranks(x)


class Codec(nn.Module):
    """One head of the ``openecg`` network as a classifier of records.

    Parameters
    ----------
    network : nn.Module
        Result of ``openecg.load_codec()``; it is copied, so that it can be used elsewhere.
    head : {"rhythm", "beat"}
        Head that computes the logits.
    """

    def __init__(self, network: nn.Module, head: str) -> None:
        super().__init__()
        own = copy.deepcopy(network)
        read = getattr(own, f"{head}_sample")
        for name in (
            "head_sample",
            "beat_sample",
            "rhythm_sample",
        ):  # each passes on the map that it would read
            setattr(own, name, nn.Identity())
        self.ranks, self.network = Ranks(), own
        self.map = nn.Identity()  # makes the map that the head reads available as a tap
        self.pool, self.flatten = nn.AdaptiveAvgPool1d(1), nn.Flatten()
        self.head = nn.Linear(read.in_features, read.out_features)
        self.head.load_state_dict(read.state_dict())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map lead II ``[N, 1, 5000]`` in mV at 500 Hz to logits ``[N, 6]``."""
        lead = torch.zeros(
            len(x), dtype=torch.long, device=x.device
        )  # the network has a single lead, without a name
        last = self.network(self.ranks(x)[:, 0], lead)[0]
        return self.head(self.flatten(self.pool(self.map(last.transpose(1, 2)))))


def open_openecg(head: str = "rhythm") -> Model:
    """Open the trained network of the package ``openecg``; ``xv.open_model("openecg-rhythm")`` does the same.

    The network reads the ranks of the steps of lead II, which :class:`Ranks` computes inside, so that records, edits
    and muted leads stay in mV. Gradients are with respect to the ranks.

    Parameters
    ----------
    head : {"rhythm", "beat"}
        The beat head is meant for single beats; its mean over a record says little.

    Returns
    -------
    Model
        With one lead (II), 5000 steps at 500 Hz; its last map is ``map`` and its head is linear.

    Raises
    ------
    ModelError
        With a one-sentence message, when the head does not exist, or the package is missing or of another version.
    """
    if head not in HEADS:
        raise ModelError(f"openecg has no head {head!r}; choose one of {nearest(head, HEADS)}.")
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
        "note": "Pretrained by a third party on one lead; a logit is the mean over steps (our extension). Not for clinical use.",
    }
    return model


def _network() -> nn.Module:
    """Return the codec of the installed package."""
    try:
        import openecg
    except ImportError as e:
        raise ModelError(
            f'the package openecg is not installed ({str(e)[:80]}); install it with pip install "xai-views[ecg-demo]".'
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "enable_nested_tensor")
            network = openecg.load_codec()
    except Exception as e:  # noqa: BLE001 - any error of another version becomes one sentence
        said = f"{type(e).__name__}: {e}".partition("\n")[0][:120]
        raise ModelError(
            f"the network of openecg could not be loaded ({said}); install openecg==0.11.0."
        ) from None
    if not all(isinstance(getattr(network, f"{h}_sample", None), nn.Linear) for h in HEADS):
        raise ModelError("the network of openecg has no rhythm and beat heads; install openecg==0.11.0.")
    return network
