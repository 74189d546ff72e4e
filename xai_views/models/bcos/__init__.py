"""B-cos layers: networks that compute ``W(x) x`` and can return ``W(x)``."""

from xai_views.models.bcos.attention import BcosSelfAttention, DetachableGELU
from xai_views.models.bcos.layers import BcosConv1d, BcosConv2d, BcosLinear, LogitLayer, add_inverse
from xai_views.models.bcos.mode import Detachable, explanation_mode
from xai_views.models.bcos.norms import (
    DetachableGroupNorm,
    DetachableLayerNorm,
    PositionNorm2d,
    UncentredBatchNorm1d,
    UncentredBatchNorm2d,
)

__all__ = [
    "BcosConv1d",
    "BcosConv2d",
    "BcosLinear",
    "BcosSelfAttention",
    "Detachable",
    "DetachableGELU",
    "DetachableGroupNorm",
    "DetachableLayerNorm",
    "LogitLayer",
    "PositionNorm2d",
    "UncentredBatchNorm1d",
    "UncentredBatchNorm2d",
    "add_inverse",
    "explanation_mode",
]
