"""Secure aggregation: per session, a server learns its clients' sum and nothing else."""

from veil.secagg.client import Client
from veil.secagg.config import Config, Thresholds
from veil.secagg.context import context
from veil.secagg.graph import choose_graph
from veil.secagg.identity import Identity, Roster
from veil.secagg.noise import NoiseShare
from veil.secagg.policy import Policy
from veil.secagg.replay import FileReplayGuard, MemoryReplayGuard
from veil.secagg.server import Server
from veil.secagg.server.opening import Sum
from veil.secagg.shamir import combine_shares, split_secret

__all__ = [
    "Client",
    "Config",
    "FileReplayGuard",
    "Identity",
    "MemoryReplayGuard",
    "NoiseShare",
    "Policy",
    "Roster",
    "Server",
    "Sum",
    "Thresholds",
    "choose_graph",
    "combine_shares",
    "context",
    "split_secret",
]
