"""Counters of forward and backward passes, so that claims about cost can be tested."""

from __future__ import annotations

import threading

_lock = threading.Lock()

#: Number of images passed forward, and of calls of the network.
forward = 0
forward_calls = 0
#: Number of images of which a vector-Jacobian product was taken, and of calls of autograd.
backward = 0
backward_calls = 0


def count_forward(images: int) -> None:
    """Count one call of the network with ``images`` images."""
    global forward, forward_calls
    with _lock:
        forward += images
        forward_calls += 1


def count_backward(images: int) -> None:
    """Count one vector-Jacobian product of ``images`` images."""
    global backward, backward_calls
    with _lock:
        backward += images
        backward_calls += 1


def snapshot() -> dict[str, int]:
    """Return the current values of the four counters."""
    return {
        "forward": forward,
        "forward_calls": forward_calls,
        "backward": backward,
        "backward_calls": backward_calls,
    }
