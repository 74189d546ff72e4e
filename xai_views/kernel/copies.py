"""Methods that still have parameters of their own, which a page may change while the worker is busy.

Nothing here concerns methods with ``observation_key``: their asks hold all parameters.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any

import param

from xai_views.errors import KernelError

MOST = 256  # different settings of methods; each is small


class Copies:
    """Copies of methods that their owners' widgets cannot change.

    One copy serves all requests with the same parameters: what a method prepares is prepared once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._methods: OrderedDict[Hashable, Any] = OrderedDict()

    def frozen(self, method: Any, asks: Sequence[Hashable]) -> tuple[Any, tuple[Hashable, ...]]:
        """Return a copy of a method and, for each ask, its parameters as a key."""
        parameters = _parameters(method)
        if not isinstance(method, param.Parameterized):
            return method, (parameters,) * len(asks)
        with self._lock:
            key = (type(method), parameters)
            copy = self._methods.get(key)
            if copy is None:
                copy = self._methods[key] = _copy(method)
            self._methods.move_to_end(key)
            if len(self._methods) > MOST:
                self._methods.popitem(last=False)
        return copy, (parameters,) * len(asks)


def _parameters(method: Any) -> Hashable:
    parameters = method.key_parameters() if hasattr(method, "key_parameters") else ()
    try:
        hash(parameters)
    except TypeError as error:
        raise KernelError(
            f"The parameters of {method.key!r} cannot be a cache key ({error}): "
            "let key_parameters() return hashable values."
        ) from error
    return parameters


def _copy(method: param.Parameterized) -> param.Parameterized:
    """Return a method of the same class with the same parameters, and without the watchers of a page."""
    values = method.param.values()
    # `name` is made up for each object, and read-only parameters belong to the class.
    values = {name: values[name] for name in values if name != "name" and not method.param[name].readonly}
    try:
        return type(method)(**values)
    except TypeError as error:
        raise KernelError(
            f"The method {method.key!r} cannot be copied ({error}): "
            "let its class be made from its parameters alone."
        ) from error
