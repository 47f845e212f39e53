"""A policy that pins what a configuration says, with limits of the test's own."""

from veil.secagg import Policy

LIMITS = {"min_cohort": 3, "min_survivors": 2, "max_corrupt": 1}


def pinned(config, **changes):
    fields = ("codec", "length", "weight_max", "noise")
    return Policy(**{name: getattr(config, name) for name in fields} | LIMITS | changes)
