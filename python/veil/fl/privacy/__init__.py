"""Differential privacy of federated rounds; one file per mechanism."""

from veil.fl.privacy.central import CentralDP
from veil.fl.privacy.distributed import DistributedDP

__all__ = ["CentralDP", "DistributedDP"]
