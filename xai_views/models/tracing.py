"""Inspection of a network in one forward pass: hooks, a counted pass, and the tensors found on the way.

Hooks act only in the thread that set them and are always removed, so other threads may run the network of a worker
meanwhile.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from xai_views.errors import ModelError
from xai_views.models import passes
from xai_views.models.bcos import Detachable
from xai_views.models.foreign import logits_of, natural_size
from xai_views.models.tap_defaults import choose, pools
from xai_views.models.tensor_layout import PREFIX_NAMES, Reader, Tap, first_tensor, with_first

IN = "@in"
_SIZE = (64, 64)  # input of a network that accepts any size
_LENGTH = (1024,)  # the same for signals
_KEPT = 64  # number of model scans to keep


def module_of(model: Any) -> nn.Module:
    """Return the module of a Model, or the module itself."""
    return model if isinstance(model, nn.Module) else model.module


def _first_convolution(module: nn.Module) -> nn.Module | None:
    return next(
        (m for m in module.modules() if hasattr(m, "in_channels") and hasattr(m, "kernel_size")), None
    )


def asked_size(model: Any, size: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the given size, else the model's own, else the one in its configuration, else a default."""
    module = module_of(model)
    known = size or getattr(model, "size", None)
    if known is None and model is module:
        known = natural_size(module)
    if known is None:
        known = _LENGTH if isinstance(_first_convolution(module), nn.Conv1d) else _SIZE
    return tuple(known)


def example(model: Any, size: tuple[int, ...] | None = None, n: int = 1, seed: int = 0) -> torch.Tensor:
    """Return a random input ``[n, C, *size]`` in [0, 1], as from ``model.tensor``, to find shapes with.

    For a bare module, C is the input of its first convolution; the encoder of a SIC network also gets inverse channels.
    """
    module = module_of(model)
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    channels = getattr(model, "channels", None)
    if not isinstance(channels, int):
        first = _first_convolution(module)
        channels = 3 if first is None else int(getattr(first, "in_channels", 3))
        if isinstance(first, Detachable) and hasattr(module, "encoder"):
            channels //= 2
    shape = (n, channels, *asked_size(model, size))
    x = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return x.to(like.device, like.dtype)


# -- one pass ---------------------------------------------------------------------------------------------------


@contextmanager
def _still(module: nn.Module) -> Iterator[None]:
    """Set evaluation mode during a pass, so that inspecting a module does not update its statistics."""
    moved = [m for m in module.modules() if m.training]
    for m in moved:
        m.training = False
    try:
        yield
    finally:
        for m in moved:
            m.training = True


def forward(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return the logits of one counted call of the network; unusable input raises a one-sentence error.

    Raises
    ------
    ModelError
        When the network rejects the input, for instance an image smaller than its stride.
    """
    try:
        with _still(module):
            out = module(x)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError, ZeroDivisionError) as e:
        if isinstance(e, (ModelError, torch.OutOfMemoryError)):
            raise
        said = str(e).partition("\n")[0][:140] or type(e).__name__
        raise ModelError(
            f"{type(module).__name__} cannot take an input of shape {list(x.shape)} ({said}); give it a larger image, or "
            "one of the size that it was built for."
        ) from e
    passes.count_forward(len(x))
    return logits_of(out, type(module).__name__)


Take = Callable[[torch.Tensor], "torch.Tensor | None"]


def _attach(module: nn.Module, path: str, take: Take) -> Any:
    """Hook a path; the value returned by ``take``, unless None, replaces the tensor."""
    owner = threading.get_ident()

    def before(_m: nn.Module, args: tuple, kwargs: dict) -> tuple | None:
        given = first_tensor(args)
        named = given is None
        given = first_tensor(kwargs) if named else given
        if given is None or threading.get_ident() != owner:
            return None
        new = take(given)
        if new is None:
            return None
        return (args, with_first(kwargs, new)) if named else (with_first(args, new), kwargs)

    def after(_m: nn.Module, _i: tuple, out: Any) -> Any:
        found = first_tensor(out)
        if found is None or threading.get_ident() != owner:
            return None
        new = take(found)
        return None if new is None else with_first(out, new)

    inner = module.get_submodule(path.removesuffix(IN))
    if path.endswith(IN):
        return inner.register_forward_pre_hook(before, with_kwargs=True)
    return inner.register_forward_hook(after)


@contextmanager
def _hooks(module: nn.Module, takes: Sequence[tuple[str, Take]]) -> Iterator[None]:
    handles = []
    try:
        for path, take in takes:
            handles.append(_attach(module, path, take))
        yield
    finally:
        for handle in handles:
            handle.remove()


# -- contents of a network --------------------------------------------------------------------------------------


@dataclass
class Scan:
    """Result of inspecting a network in one forward pass.

    Attributes
    ----------
    taps : list of Tap
        In order of execution.
    calls : Counter
        Number of calls of each module.
    logits : tuple of int
        Shape of the output.
    reader : Reader
        Reads more tensors for inputs of that size.
    """

    taps: list[Tap]
    calls: Counter
    logits: tuple[int, ...]
    reader: Reader


_models: OrderedDict[tuple, Scan] = OrderedDict()
_modules: WeakKeyDictionary[nn.Module, dict[tuple, Scan]] = WeakKeyDictionary()
_lock = threading.Lock()


def _place(model: Any, size: tuple[int, ...]) -> tuple[dict, tuple]:
    """Return where the scan of a model is stored: by content key, or beside the module while its parts are unchanged."""
    sha256 = getattr(model, "sha256", None)
    if sha256:
        return _models, (sha256, size)
    module = module_of(model)
    said = tuple(getattr(module, name, None) for name in PREFIX_NAMES)
    parts = hash((said, *((path, id(m)) for path, m in module.named_modules())))
    return _modules.setdefault(module, {}), (parts, size)


def known_scan(model: Any, size: tuple[int, ...]) -> Scan | None:
    """Return the scan of an earlier pass with inputs of that size."""
    with _lock:
        scans, key = _place(model, size)
        if key in scans and scans is _models:
            _models.move_to_end(key)
        return scans.get(key)


def ask(model: Any, x: torch.Tensor, takes: Sequence[tuple[str, Take]] = ()) -> tuple[torch.Tensor, Scan]:
    """Run one pass with hooks; the network is scanned on the way when no scan of this size exists."""
    module, size = module_of(model), tuple(x.shape[2:])
    scan = known_scan(model, size)
    if scan is not None:
        with _hooks(module, takes):
            return forward(module, x), scan
    reader = Reader(module, len(x), size)
    found: dict[str, Tap | None] = {}
    calls: Counter = Counter()

    def note(path: str, inner: nn.Module) -> Take:
        def take(tensor: torch.Tensor) -> None:
            calls[path] += 1
            found.pop(path, None)  # the last call counts, and its place in the order
            found[path] = reader.read(path, tensor, inner)

        return take

    watched = [(path, inner) for path, inner in module.named_modules() if path]
    notes = [(path, note(path, inner)) for path, inner in watched]
    notes += [(path + IN, note(path + IN, i)) for path, i in watched if pools(i) or isinstance(i, nn.Flatten)]
    with _hooks(module, [*takes, *notes]):
        logits = forward(module, x)
    here = [t for t in found.values() if t is not None and t.cells > 1]
    if reader.problem is not None and reader.unread > len(here):
        raise reader.problem  # a transformer; a single such tensor among many maps is ignored
    chosen = set(choose(module, [t for t in here if not t.path.endswith(IN)]))
    scan = Scan([replace(t, default=t.path in chosen) for t in here], calls, tuple(logits.shape), reader)
    with _lock:
        scans, key = _place(model, size)
        scans[key] = scan
        while len(scans) > _KEPT:
            scans.pop(next(iter(scans)))
    return logits, scan


def scan_of(model: Any, size: tuple[int, ...] | None = None) -> Scan:
    """Return the scan of a network, with arguments as for :func:`taps`."""
    size = asked_size(model, size)
    scan = known_scan(model, size)
    if scan is None:
        with torch.no_grad():
            scan = ask(model, example(model, size))[1]
    return scan
