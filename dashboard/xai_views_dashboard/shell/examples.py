"""Tasks that the start page leads to: each opens an app on a sample where there is something to see."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Example:
    """One task.

    Attributes
    ----------
    key : str
        In the address.
    title, words : str
        On the start page: the question, and what one sees.
    guide : str
        On the app's page: what to look at and what to do, in three sentences.
    app, model, samples : str
        What is opened.
    state : mapping
        First values of the app's state, as the address writes them.
    """

    key: str
    title: str
    words: str
    guide: str
    app: str
    model: str
    samples: str
    state: Mapping[str, str] = field(default_factory=dict)

    def fits(self, apps: Mapping[str, Any], models: Mapping[str, Any], samples: Mapping[str, Any]) -> bool:
        """Return whether everything that it opens is here.

        Parameters
        ----------
        apps, models, samples : mapping
            What is installed and shipped, by name; models as :class:`xai_views_dashboard.shell.offers.Offer`.
        """
        if self.app not in apps or self.model not in models or self.samples not in samples:
            return False
        module = (models[self.model].card.get("weights") or {}).get("module")  # weights of another package
        return not module or importlib.util.find_spec(str(module)) is not None


#: Of the same key, the first one that fits is shown.
EXAMPLES = (
    Example(
        "shortcut",
        "Find a shortcut",
        "This network predicts bird 04 wherever it sees a logo. Find the logo's cluster and remove it.",
        "The network predicts bird 04 with p ≈ 1, but the label is bird 21. Cluster 2 covers the logo and has the largest "
        "contribution. Press “Remove cluster 2”: the prediction becomes bird 21.",
        "activations",
        "birds-cnn-watermark",
        "birds-watermark/test",
        {"sample": "bird-test-00021-marked", "cluster": "2"},
    ),
    Example(
        "ecg",
        "Check an ECG",
        "Read a 12-lead record first, then compare your reading with the network's output.",
        "The model's output is hidden: read the record first. Press h to show the output and compare it with your reading. "
        "Mute a lead or an interval under “What if?” to see what the output depends on.",
        "ecg",
        "ecg-resnet",
        "ecg/test",
        {"sample": "ecg-test-00020", "hidden": "true"},
    ),
    Example(
        "supports",
        "Which training images stand behind this answer?",
        "A wrong prediction, and the training images whose evidence adds up to it.",
        "The network predicts bird 24, but the label is bird 45. The table lists the training images whose evidence adds up to "
        "the logit. Choose bird 45 as the explained class to see which evidence is missing.",
        "sic",
        "birds-sic",
        "birds/test",
        {"sample": "bird-test-00095"},
    ),
    Example(
        "alike",
        "What does the network represent alike?",
        "Regions of a photograph with similar activations, and what each adds to the logit.",
        "Regions of the same colour are represented alike. The table shows what each region adds to the logit. Change the "
        "number of clusters K to see coarser or finer regions.",
        "activations",
        "efficientnet-lite0",
        "photos",
        {"sample": "chelsea"},
    ),
    Example(
        "alike",
        "What does the network represent alike?",
        "Regions of a picture with similar activations, and what each adds to the logit.",
        "Regions of the same colour are represented alike. The table shows what each region adds to the logit. Change the "
        "number of clusters K to see coarser or finer regions.",
        "activations",
        "birds-cnn",
        "birds/test",
        {"sample": "bird-test-00100"},
    ),
    Example(
        "right",
        "Is this map right?",
        "Saliency maps on pictures with known parts, tested against random and edge controls.",
        "The parts of this bird are known, so that a saliency map can be checked. Open “Saliency” below and choose a method. "
        "Compare it with the controls, which ignore the network.",
        "activations",
        "birds-cnn",
        "birds/test",
        {"sample": "bird-test-00100", "tab": "Saliency"},
    ),
)


def shown(apps: Mapping[str, Any], models: Mapping[str, Any], samples: Mapping[str, Any]) -> list[Example]:
    """Return the examples that can be opened here, one of each key."""
    found: dict[str, Example] = {}
    for example in EXAMPLES:
        if example.key not in found and example.fits(apps, models, samples):
            found[example.key] = example
    return list(found.values())


def guide(key: str, model: str) -> str:
    """Return what to say on the page of an example; "" for one that is not known, or was left for another model."""
    return next((e.guide for e in EXAMPLES if e.key == key and e.model == model), "")
