"""Exact integer noise: certified distributions on the integers, of fixed work per draw."""

from veil.noise._distributions import DiscreteGaussian, DiscreteLaplace, RoundedGaussian, Skellam

__all__ = ["DiscreteGaussian", "DiscreteLaplace", "RoundedGaussian", "Skellam"]
