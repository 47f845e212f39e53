"""From exceptions to exit codes: 2 and one message for typed errors, 130 for Ctrl-C."""

import functools
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import typer

from veil.errors import VeilError

__all__ = ["INTERRUPTED", "REFUSED", "guarded"]

INTERRUPTED = 130
REFUSED = 2

Command = TypeVar("Command", bound=Callable[..., Any])

# Options that the command line calls otherwise than StudyOptions does.
_FLAGS = {"epsilons": "epsilon", "strategies": "strategy"}


def guarded(command: Command) -> Command:
    """Let a command end with one line on the error stream instead of a traceback.

    Parameters
    ----------
    command : callable
        A typer command.

    Returns
    -------
    callable
        The same command; its typed errors exit with 2, Ctrl-C with 130. Any other exception is a
        defect of Veil and keeps its traceback.
    """

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt as error:
            _leave(str(error) or "interrupted", INTERRUPTED)
        except BrokenPipeError:
            raise  # the reader of a pipe left; typer ends quietly
        except OSError as error:
            _leave(_os_message(error), REFUSED)
        except ImportError as error:
            if "pip install" not in str(error):
                raise
            _leave(str(error), REFUSED)
        except (VeilError, ValueError) as error:
            _leave(_with_flag(str(error)), REFUSED)

    return run  # type: ignore[return-value]


def _leave(message: str, code: int) -> NoReturn:
    lines = "\n".join("".join(c for c in line if c.isprintable()) for line in message.split("\n"))
    print(f"veil: {lines}", file=sys.stderr)
    raise typer.Exit(code)


def _os_message(error: OSError) -> str:
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}; check the path and its permissions"


def _with_flag(message: str) -> str:
    """Name the option as it is typed: ``max_grad_norm: …`` becomes ``--max-grad-norm: …``."""
    from veil.study.options import StudyOptions

    found = re.match(r"(\w+): ", message)
    if found is None or found[1] not in StudyOptions.__dataclass_fields__:
        return message
    flag = _FLAGS.get(found[1], found[1]).replace("_", "-")
    return f"--{flag}{message[found.end(1) :]}"
