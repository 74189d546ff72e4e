"""Device that torch computes on. Only the worker thread calls these functions."""

from __future__ import annotations

import gc
import os
import re
import sys
from typing import Any

from xai_views.errors import KernelError


def check_name(name: str) -> str:
    """Return the name of a device, or raise when it is of no known type."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", str(name)):
        raise KernelError(f"The device {name!r} is not known; use 'auto', 'cuda', 'cuda:0', 'mps' or 'cpu'.")
    return name


def start(name: str) -> str:
    """Import torch, choose the device and make its results reproducible; return the device's name."""
    # cuBLAS reads this at start; without it matrix products are not reproducible.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if has[kind])
    if not has[name.split(":")[0]]:
        raise KernelError(f"The device {name!r} is not available on this machine; use 'auto' or 'cpu'.")
    if name == "cpu":
        # The event loop serves every page of the process, so one core is left to it.
        torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 2) - 1)))
    if name.startswith("cuda"):
        index = int(name.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            raise KernelError(
                f"There is no device {name!r}; this machine has {torch.cuda.device_count()}, counted from 0."
            )
        torch.use_deterministic_algorithms(mode=True, warn_only=True)
        torch.backends.cudnn.benchmark = False
        # TF32 keeps 10 bits of each factor: too few for contributions that must add up to the logit.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return name


def move(model: Any, device: str) -> None:
    """Move a model's weights to the device."""
    module = getattr(model, "module", None)
    if hasattr(model, "to"):
        model.to(device)
    elif module is not None and hasattr(module, "to"):
        module.to(device)


def free() -> None:
    """Release memory left by failed tries."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def allocated(device: str) -> int:
    """Return the bytes allocated by tensors on an accelerator; 0 on the CPU."""
    torch: Any = sys.modules.get("torch")
    if device.startswith("cuda"):
        return torch.cuda.memory_allocated(device)
    if device == "mps":
        return torch.mps.current_allocated_memory()
    return 0


def gradients_on() -> None:
    """Undo a ``torch.set_grad_enabled(False)`` left by a function."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_grad_enabled(True)


def gradients_are_off() -> bool:
    """Return whether this thread was left inside ``torch.no_grad`` or ``torch.inference_mode``."""
    torch = sys.modules.get("torch")
    return torch is not None and not torch.is_grad_enabled()
