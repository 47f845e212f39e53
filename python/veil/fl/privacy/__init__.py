"""Differential privacy of federated rounds; one file per mechanism."""

from veil.fl.privacy.central import CentralDP

__all__ = ["CentralDP"]
