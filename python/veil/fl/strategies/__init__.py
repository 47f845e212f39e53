"""How sites train in a round and how the server steps; one file per family."""

from veil.fl.strategies.adaptive import FedAdagrad, FedAdam, FedYogi
from veil.fl.strategies.averaging import FedAvg, FedProx
from veil.fl.strategies.scaffold import Scaffold

__all__ = ["FedAdagrad", "FedAdam", "FedAvg", "FedProx", "FedYogi", "Scaffold"]
