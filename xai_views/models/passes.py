"""Counting forward and backward passes, so that a claim about cost can be a test."""

from __future__ import annotations

import threading

_lock = threading.Lock()

#: Images that went forward, and calls of the network.
forward = 0
forward_calls = 0
#: Images for which a vector-Jacobian product was taken, and calls of autograd.
backward = 0
backward_calls = 0


def count_forward(images: int) -> None:
    """Note one call of the network with ``images`` images."""
    global forward, forward_calls
    with _lock:
        forward += images
        forward_calls += 1


def count_backward(images: int) -> None:
    """Note one vector-Jacobian product of ``images`` images."""
    global backward, backward_calls
    with _lock:
        backward += images
        backward_calls += 1


def snapshot() -> dict[str, int]:
    """The four counters as they are now."""
    return {
        "forward": forward,
        "forward_calls": forward_calls,
        "backward": backward,
        "backward_calls": backward_calls,
    }
