"""Replacing a set of files: all of them, or none."""

import contextlib
import os
import pathlib
import secrets
from collections.abc import Mapping

__all__ = ["replace_all"]

_PREFIX = ".veil-"
_SUFFIX = ".tmp"


def replace_all(directory: str | pathlib.Path, files: Mapping[str, bytes]) -> list[pathlib.Path]:
    """Write several files so that an error or an interrupt leaves the old set as it was.

    Every file is written beside its target under a temporary name and synced before the first
    rename. A process killed between two renames leaves each single file whole, old or new; the
    temporary files it leaves are removed by the next call.

    Parameters
    ----------
    directory : str or path
        Where the files go; created if absent.
    files : mapping of str to bytes
        Content by file name, renamed in this order.

    Returns
    -------
    list of path
        The written files, in order.

    Raises
    ------
    OSError
        If the directory cannot be created or written, or a target is a directory.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    targets = [directory / name for name in files]
    for target in targets:
        if target.is_dir():
            raise IsADirectoryError(f"{target}: expected a file to replace, found a directory")
    for stale in directory.glob(f"{_PREFIX}*{_SUFFIX}"):
        stale.unlink(missing_ok=True)
    new = [_temporary(directory) for _ in targets]
    kept: list[tuple[pathlib.Path, pathlib.Path | None]] = []
    try:
        for path, content in zip(new, files.values(), strict=True):
            _write_synced(path, content)
        for path, target in zip(new, targets, strict=True):
            kept.append((target, _keep(target)))
            path.replace(target)
        _sync_directory(directory)
    except BaseException:
        for target, old in reversed(kept):
            _restore(target, old)
        raise
    finally:
        for leftover in [*new, *(old for _, old in kept if old is not None)]:
            leftover.unlink(missing_ok=True)
    return targets


def _temporary(directory: pathlib.Path) -> pathlib.Path:
    return directory / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"


def _write_synced(path: pathlib.Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _keep(target: pathlib.Path) -> pathlib.Path | None:
    if not target.exists():
        return None
    old = _temporary(target.parent)
    try:
        os.link(target, old)
    except OSError:  # a file system without hard links
        _write_synced(old, target.read_bytes())
    return old


def _restore(target: pathlib.Path, old: pathlib.Path | None) -> None:
    if old is None:
        target.unlink(missing_ok=True)
    else:
        old.replace(target)


def _sync_directory(directory: pathlib.Path) -> None:
    # Not every file system can sync a directory; the renames are then as durable as it makes them.
    with contextlib.suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
