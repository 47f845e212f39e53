"""Privacy-preserving machine learning for hospitals, on a native core.

``import veil`` loads NumPy and the native core alone; every subpackage is imported on first use.
"""

import importlib
import importlib.metadata
import logging
from typing import Any

from veil import _core, errors
from veil._checks import whole

__version__ = importlib.metadata.version("veil")

# Where each lazily loaded public name lives (PEP 562).
_SUBMODULES = frozenset(
    {
        "dp",
        "errors",
        "fixed_point",
        "fl",
        "integrations",
        "noise",
        "random",
        "report",
        "ring",
        "secagg",
        "study",
    }
)
_ATTRIBUTES: dict[str, str] = {"FixedPoint": "veil.fixed_point"}

__all__ = ["__version__", "core_info", "errors", "set_num_threads", *sorted(_ATTRIBUTES)]

logging.getLogger("veil").addHandler(logging.NullHandler())


def core_info() -> dict[str, Any]:
    """Tell what the native core runs on.

    Returns
    -------
    dict
        ``version``; ``isa``, the instruction set in use; ``supported_isas``, all that this build
        and CPU have, narrowest first; ``threads``, the default number of threads.

    Examples
    --------
    >>> veil.core_info()["isa"] in veil.core_info()["supported_isas"]
    True
    """
    return {
        "version": __version__,
        "isa": _core.isa(),
        "supported_isas": _core.supported_isas(),
        "threads": _core.default_threads(),
    }


def set_num_threads(n: int) -> None:
    """Cap the default number of threads of this process.

    Parameters
    ----------
    n : int
        Most threads that a call with ``threads=None`` may use; 0 removes the cap. The affinity
        mask, the cgroup quota, ``VEIL_NUM_THREADS`` and ``OMP_NUM_THREADS`` still apply.

    Raises
    ------
    ValueError
        If `n` is negative.
    TypeError
        If it is no integer.
    """
    _core.set_num_threads(whole("n", n))


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"veil.{name}")
    if name in _ATTRIBUTES:
        value = getattr(importlib.import_module(_ATTRIBUTES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'veil' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES, *_ATTRIBUTES})
