"""Secure aggregation and differential privacy on Flower (Message API, flwr 1.41 and later).

`SecureStrategy` wraps a strategy at the server, `secagg_mod` wraps any ClientApp at the sites, and
`task_app` makes a ClientApp from a `veil.fl.Task`. Flower itself is imported when they are used.
"""

from veil.integrations.flower.client import secagg_mod
from veil.integrations.flower.strategy import SecureStrategy
from veil.integrations.flower.task_app import task_app

__all__ = ["SecureStrategy", "secagg_mod", "task_app"]
