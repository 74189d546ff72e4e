"""A method that records its requests and waits at a gate, so that tests control the timing."""

import queue
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest
import xarray as xr

from xai_views.kernel import Kernel

WAIT = 20  # seconds after which a test fails; only reached when something is broken


@dataclass
class FakeModel:
    sha256: str = "model-a"
    name: str = "a"


@dataclass
class FakeObservation:
    image: np.ndarray
    asks: set = field(default_factory=set)
    nbytes: int = 100


class FakeMethod:
    """Each image is one number everywhere; ``calls`` holds the numbers of each observe call."""

    key = "fake"
    title = "Fake"

    def __init__(self, parameters=(), ask_matters=False):
        self.parameters = parameters
        self.ask_matters = ask_matters
        self.calls = []
        self.known = []
        self.interpreted = []
        self.entered = queue.SimpleQueue()
        self.gate = threading.Event()
        self.gate.set()
        self.on_observe = lambda numbers: None
        self.on_interpret = lambda number, ask: None

    def observation_key(self, ask):
        return self.parameters

    def wait_entered(self):
        """Return once observe has been called, with its numbers."""
        return self.entered.get(timeout=WAIT)

    def observe(self, model, images, asks, known):
        numbers = [float(image.flat[0]) for image in images]
        self.calls.append(numbers)
        self.known.append(list(known))
        self.entered.put(numbers)
        assert self.gate.wait(WAIT), "the test forgot to open the gate"
        self.on_observe(numbers)
        observed = []
        for image, ask, old in zip(images, asks, known, strict=True):
            before = old.asks if old is not None else set()
            observed.append(FakeObservation(image.copy(), before | {ask}))
        return observed

    def covers(self, model, observation, ask):
        return not self.ask_matters or ask in observation.asks

    def interpret(self, model, observation, ask):
        number = float(observation.image.flat[0])
        self.interpreted.append((number, ask))
        self.on_interpret(number, ask)
        return xr.Dataset(
            {
                "logit": (("sample", "class"), np.array([[number, ask]], dtype=float)),
                "contribution": (
                    ("sample", "target", "y", "x"),
                    observation.image[None, None, :, :, 0] * 1.0,
                ),
            }
        )


@dataclass
class FakeProgress:
    done: int
    total: int
    partial: list | None = None


class SteppedMethod(FakeMethod):
    """Observes in pieces; ``steps`` holds the numbers and the piece of each, ``on_piece`` runs inside of it.

    The partial result of a piece is the number plus (piece + 1) / 100.
    """

    key = "stepped"
    title = "Stepped"

    def __init__(self, total=3, parameters=(), ask_matters=False, partial=False):
        super().__init__(parameters, ask_matters)
        self.total = total
        self.partial = partial
        self.steps = []
        self.closed = []
        self.on_piece = lambda numbers, piece: None

    def observe(self, model, images, asks, known):
        numbers = [float(image.flat[0]) for image in images]
        self.calls.append(numbers)
        self.known.append(list(known))
        return self.pieces(numbers, images, asks, known)

    def pieces(self, numbers, images, asks, known):
        try:
            for piece in range(self.total):
                self.entered.put(numbers)
                assert self.gate.wait(WAIT), "the test forgot to open the gate"
                self.steps.append((numbers, piece))
                self.on_piece(numbers, piece)
                yield FakeProgress(piece + 1, self.total, self.so_far(images, asks, piece))
            olds = [old.asks if old is not None else set() for old in known]
            return [FakeObservation(i.copy(), o | {a}) for i, a, o in zip(images, asks, olds, strict=True)]
        finally:
            self.closed.append(threading.current_thread().name)

    def so_far(self, images, asks, piece):
        if not self.partial:
            return None
        return [FakeObservation(i + (piece + 1) / 100, {a}) for i, a in zip(images, asks, strict=True)]


class Bench:
    """A kernel with a fake model, and short helpers for the tests."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.model = FakeModel()

    @staticmethod
    def images(numbers, size=2):
        return np.stack([np.full((size, size, 1), number, dtype=np.float32) for number in numbers])

    def ask(self, method, *numbers, ask=0, channel="", priority=0, model=None, size=2, partial=None):
        digests = [f"digest-{number}-{size}" for number in numbers]
        images = self.images(numbers, size)
        asks = [ask] * len(numbers)
        model = model or self.model
        return self.kernel.explain(model, images, digests, method, asks, channel, priority, partial)

    def hold(self):
        """Keep the worker busy; return the function that releases it."""
        inside, leave = threading.Event(), threading.Event()

        def wait(progress):
            inside.set()
            assert leave.wait(WAIT)

        self.kernel.run(wait, priority=-1)
        assert inside.wait(WAIT)
        return leave.set

    @staticmethod
    def logits(future):
        return [float(result["logit"][0, 0]) for result in future.result(WAIT)]


@pytest.fixture
def make_bench():
    kernels = []

    def make(**settings):
        kernels.append(Kernel(device="cpu", **settings))
        return Bench(kernels[-1])

    yield make
    for kernel in kernels:
        kernel.close()
        assert not kernel._worker.thread.is_alive()


@pytest.fixture
def bench(make_bench):
    return make_bench()


@pytest.fixture
def method():
    method = FakeMethod()
    yield method
    method.gate.set()


@pytest.fixture
def fake():
    """The classes themselves, for tests that need several methods."""

    class Fake:
        Method, Model, Observation, wait = FakeMethod, FakeModel, FakeObservation, WAIT
        Stepped, Progress = SteppedMethod, FakeProgress

    return Fake
