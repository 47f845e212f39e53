"""The command ``veil``."""

from veil.cli.app import main

__all__ = ["main"]
