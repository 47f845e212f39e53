"""Federated learning: one seam for simulation, engines and protocols.

Three protocols (`Task`, `Strategy`, `Aggregator`) are used unchanged by `simulate`, by the
integrations with FL engines, and by secure aggregation.
"""

from veil.fl.layout import Layout
from veil.fl.protocols import Aggregator, Privacy, PrivateTask, Strategy, Sum, Task, Upload
from veil.fl.reduce import weighted_mean
from veil.fl.sites import Site

__all__ = [
    "Aggregator",
    "Layout",
    "Privacy",
    "PrivateTask",
    "Site",
    "Strategy",
    "Sum",
    "Task",
    "Upload",
    "weighted_mean",
]
