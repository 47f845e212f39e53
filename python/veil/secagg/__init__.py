"""Secure aggregation: a server learns the sum of its clients' vectors and nothing else."""

from veil.secagg.shamir import combine_shares, split_secret

__all__ = ["combine_shares", "split_secret"]
