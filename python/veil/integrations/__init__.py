"""Veil inside other people's engines: one package per engine, none imports another.

`flower` is for Flower's Message API; it is imported by its own name, ``veil.integrations.flower``.
"""

__all__: list[str] = []
