"""``veil info``: what runs here."""

import importlib.util
import platform

from veil import core_info
from veil.cli.guard import guarded

__all__ = ["info"]

# One package that each extra brings, to tell whether it is installed.
_EXTRAS = {
    "study": "sklearn",
    "torch": "torch",
    "flower": "flwr",
    "nvflare": "nvflare",
    "he": "openfhe",
}


@guarded
def info() -> None:
    """Show the version, the instruction set and threads in use, and which extras are installed."""
    found = core_info()
    present = [extra for extra, name in _EXTRAS.items() if importlib.util.find_spec(name)]
    rows = {
        "version": found["version"],
        "python": platform.python_version(),
        "instruction set": f"{found['isa']} (this CPU has {', '.join(found['supported_isas'])})",
        "threads": found["threads"],
        "extras": ", ".join(present) or "none",
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {value}")
