"""Computation of explanations: one worker per device, a queue, shared batches and caches.

Importing this package does not import torch; the worker thread does when a kernel starts.
"""

from xai_views.kernel.cache import ByteCache, CacheStats
from xai_views.kernel.core import Kernel, get_kernel, set_kernel
from xai_views.kernel.requests import PREFETCH, Cancelled
from xai_views.kernel.shared import Same, Shared, SharedFuture
from xai_views.kernel.status import Status

__all__ = [
    "PREFETCH",
    "ByteCache",
    "CacheStats",
    "Cancelled",
    "Kernel",
    "Same",
    "Shared",
    "SharedFuture",
    "Status",
    "get_kernel",
    "set_kernel",
]
