"""The one door through which optional dependencies are imported."""

import importlib
from types import ModuleType

__all__ = ["require"]


def require(name: str, extra: str) -> ModuleType:
    """Import an optional module, or say which extra brings it.

    Parameters
    ----------
    name : str
        Dotted name of the module, for example ``"torch.nn"``.
    extra : str
        The extra of Veil's distribution that installs it.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    ImportError
        If the module's top-level package is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        root = name.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != root:
            raise  # the package is there, and one of its own dependencies is not
        raise ImportError(
            f"{root} is not installed; run: pip install 'veil[{extra}]'", name=root
        ) from error
