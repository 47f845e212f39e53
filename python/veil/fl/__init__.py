"""Federated learning: one seam for simulation, engines and protocols.

Three protocols (`Task`, `Strategy`, `Aggregator`) are used unchanged by `simulate`, by the
integrations with FL engines, and by secure aggregation.
"""

from veil.fl.accumulate import Accumulator
from veil.fl.aggregate import PlainSum
from veil.fl.checkpoint import Checkpoint
from veil.fl.history import History, Round
from veil.fl.layout import Layout
from veil.fl.privacy import CentralDP, DistributedDP
from veil.fl.protocols import Aggregator, Privacy, PrivateTask, Strategy, Task
from veil.fl.records import GradientCorrection, LocalUpdate, SiteRound, Sum, Upload
from veil.fl.reduce import weighted_mean
from veil.fl.secure import SecureSum
from veil.fl.simulation import simulate
from veil.fl.sites import Site
from veil.fl.statement import PrivacyStatement
from veil.fl.strategies import FedAdagrad, FedAdam, FedAvg, FedProx, FedYogi, Scaffold
from veil.fl.streams import Streams
from veil.fl.tasks import MLP, ImageCNN, LogisticRegression, TorchTask

__all__ = [
    "MLP",
    "Accumulator",
    "Aggregator",
    "CentralDP",
    "Checkpoint",
    "DistributedDP",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedProx",
    "FedYogi",
    "GradientCorrection",
    "History",
    "ImageCNN",
    "Layout",
    "LocalUpdate",
    "LogisticRegression",
    "PlainSum",
    "Privacy",
    "PrivacyStatement",
    "PrivateTask",
    "Round",
    "Scaffold",
    "SecureSum",
    "Site",
    "SiteRound",
    "Strategy",
    "Streams",
    "Sum",
    "Task",
    "TorchTask",
    "Upload",
    "simulate",
    "weighted_mean",
]
