"""Batches for SIC training in which every image is both a query and a support.

The released recipe draws temporary supports from the training set beside each query batch, and passes both through
the network. Here ``m`` clean images per class form one batch, and image i is classified by all the others: the logit
is the same, the query never supports itself, and each image is passed once. This is our reading of the paper's training.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def class_evidence(
    scores: torch.Tensor, support_label: torch.Tensor, classes: int, own: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the mean score of every query with the supports of every class, excluding the query itself.

    Parameters
    ----------
    scores : Tensor
        ``[Q, S]`` similarity of queries with supports.
    support_label : Tensor
        ``[S]`` class indices.
    classes : int
        Number of classes C.
    own : Tensor, optional
        ``[Q]`` column of the query among the supports, -1 when it is not a support.

    Returns
    -------
    Tensor
        ``[Q, C]``; 0 for a class without another support.
    """
    member = F.one_hot(support_label, classes).to(scores)
    weight = torch.ones_like(scores)
    if own is not None:
        rows = torch.nonzero(own >= 0)[:, 0]
        weight[rows, own[rows]] = 0
    return (scores * weight) @ member / (weight @ member).clamp(min=1)


def draw(
    clean_by_class: list[torch.Tensor], per_class: int, ways: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw ``per_class`` distinct images of ``ways`` classes: indices ``[ways * per_class]`` and their labels."""
    classes = torch.randperm(len(clean_by_class), generator=generator)[:ways]
    index, label = [], []
    for c in classes.tolist():
        pool = clean_by_class[c]
        pick = pool[torch.randperm(len(pool), generator=generator)[:per_class]]
        index.append(pick)
        label += [c] * len(pick)
    return torch.cat(index), torch.tensor(label)
