"""The server's side: one module and one class per round, and a facade over them."""

from veil.secagg.server.facade import Server

__all__ = ["Server"]
