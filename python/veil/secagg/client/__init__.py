"""The client's side: one module and one class per round, and a facade over them."""

from veil.secagg.client.facade import Client

__all__ = ["Client"]
