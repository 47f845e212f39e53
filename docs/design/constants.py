"""Recompute every constant of the noise and normal samplers; exits with an error if one is off.

Run: python docs/design/constants.py. It reads the polynomials from the kernel's source.
"""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
from mpmath import mp

from veil.dp._lattice import ETA_SQUARED, EVENT_DISTANCE
from veil.noise import DiscreteGaussian, DiscreteLaplace, RoundedGaussian, Skellam, _masses
from veil.noise import _convolution as convolution

KERNEL = Path(__file__).parents[2] / "cpp/src/kernels/normal.inc.hpp"
mp.prec = 300


def real(x):
    """Convert a rational."""
    return mp.mpf(x.numerator) / x.denominator


def report(name, value, holds):
    """Print one constant; stop if it does not hold."""
    print(f"{'ok ' if holds else 'OFF'} {name}: {value}")
    if not holds:
        raise SystemExit(f"{name} does not hold")


def convolution_constants():
    """Check the smoothing parameter and what a convolution costs: noise.md, section 5."""
    eps = mp.mpf(2) ** -100
    eta_squared = mp.log(2 + 2 / eps) / (2 * mp.pi**2)
    report("eta^2", mp.nstr(eta_squared, 12), eta_squared <= real(convolution.ETA_SQUARED))
    report("eta^2 in the event", ETA_SQUARED, eta_squared <= mp.mpf(ETA_SQUARED))
    distance = eps / (1 - eps)
    report("TV of the event, log2", mp.nstr(mp.log(distance, 2), 6), distance <= EVENT_DISTANCE)
    x = mp.exp(-2 * mp.pi**2 * real(convolution.ETA_SQUARED))
    report("Poisson tail / eps", mp.nstr(2 * x / (1 - x) / eps, 8), 2 * x / (1 - x) <= eps)
    distance = real(convolution.CONVOLUTION_DISTANCE)
    report("TV per convolution, log2", mp.nstr(mp.log(distance, 2), 6), eps / (1 - eps) <= distance)


def table_sizes():
    """Check that the widest table of each distribution fits."""
    sizes = {
        "discrete Gaussian 660": (_masses.discrete_gaussian(convolution.DIRECT_VARIANCE), 8192),
        "discrete Laplace 108": (_masses.discrete_laplace(convolution.DIRECT_SCALE), 8192),
        "rounded Gaussian 10": (
            _masses.rounded_gaussian(convolution.ROUNDED_DIRECT_VARIANCE),
            128,
        ),
        "Skellam 2^20": (_masses.skellam(convolution.SKELLAM_DIRECT_VARIANCE), 16384),
    }
    for name, (bounds, columns) in sizes.items():
        report(f"magnitudes of {name}", len(bounds), len(bounds) <= columns)


def ranges():
    """Levels, largest magnitude and certificate at the ends of every accepted range."""
    cases = [
        (DiscreteGaussian, convolution.discrete_gaussian_levels, (0.5, 660, 2**17, 2**25, 2**32)),
        (RoundedGaussian, convolution.rounded_gaussian_levels, (0.05, 10, 2640, 2**32)),
        (DiscreteLaplace, convolution.discrete_laplace_levels, (2**-5, 108, 442368, 2**32)),
        (Skellam, convolution.skellam_levels, (0.25, 2**20, 2**24)),
    ]
    for kind, levels_of, parameters in cases:
        squared = kind in (DiscreteGaussian, RoundedGaussian)
        for parameter in parameters:
            exact = Fraction(parameter) ** 2 if squared else Fraction(parameter)
            levels = list(levels_of(exact))
            reach = sum(2**14 << level.shift for level in levels)
            bound = kind(parameter).tv_bound
            text = f"{len(levels)} levels, |Z| < 2^{reach.bit_length()}"
            text += f", TV < 2^{mp.nstr(mp.log(bound, 2), 5)}"
            holds = len(levels) <= 16 and reach < 2**62 and bound < 2.0**-80
            report(f"{kind.__name__}({parameter})", text, holds)


def generator_constants():
    """Check the limits that SecureGenerator states."""
    blocks = mp.mpf(2) ** 36 / 16
    distance = blocks**2 / mp.mpf(2) ** 129
    report(
        "keystream distance, log2", mp.nstr(mp.log(distance, 2), 6), distance <= mp.mpf(2) ** -65
    )
    radius = mp.sqrt(-2 * mp.log(mp.mpf(2) ** -65))
    report("largest normal", mp.nstr(radius, 6), 9.49 < radius < 9.5)
    beyond = mp.erfc(radius / mp.sqrt(2))
    report("mass beyond it", mp.nstr(beyond, 4), beyond < 3e-21)
    report("largest Laplace", mp.nstr(65 * mp.log(2), 6), 65 * mp.log(2) < 46)


def minimax(function, weight, low, high, degree):
    """Remez: the polynomial that minimises the largest weight * |function - polynomial|."""
    low, high = mp.mpf(low), mp.mpf(high)
    size = degree + 2
    nodes = [
        (low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * i / (size - 1)) for i in range(size)
    ]
    for _ in range(8):
        system, values = mp.matrix(size, size), mp.matrix(size, 1)
        for i, x in enumerate(nodes):
            for j in range(degree + 1):
                system[i, j] = x**j
            system[i, degree + 1] = (-1) ** i / weight(x)
            values[i] = function(x)
        solution = mp.lu_solve(system, values)
        coefficients = [solution[j] for j in range(degree + 1)]
        grid = [low + (high - low) * i / (60 * size) for i in range(60 * size + 1)]
        errors = [weight(x) * (function(x) - mp.polyval(coefficients[::-1], x)) for x in grid]
        extrema = []
        for i, error in enumerate(errors):
            if not extrema or mp.sign(error) != mp.sign(errors[extrema[-1]]):
                extrema.append(i)
            elif abs(error) > abs(errors[extrema[-1]]):
                extrema[-1] = i
        if len(extrema) < size:
            break
        while len(extrema) > size:
            del extrema[0 if abs(errors[extrema[0]]) < abs(errors[extrema[-1]]) else -1]
        nodes = [grid[i] for i in extrema]
    return coefficients, max(abs(error) for error in errors)


TINY = mp.mpf(2) ** -40


def log_tail(x):
    """(ln(1 + x) - x + x^2 / 2) / x^3."""
    return mp.mpf(1) / 3 - x / 4 if abs(x) < TINY else (mp.log1p(x) - x + x * x / 2) / x**3


def atanh_tail(z):
    """(2 atanh(s) / s - 2) / s^2 with s^2 = z."""
    return mp.mpf(2) / 3 if z < TINY else (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z


def sine_tail(z):
    """(sin(x) / x - 1) / x^2 with x^2 = z."""
    return -mp.mpf(1) / 6 if z < TINY else (mp.sin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z


def cosine_tail(z):
    """(cos(x) - 1 + x^2 / 2) / x^4 with x^2 = z."""
    return mp.mpf(1) / 24 if z < TINY else (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2


def polynomials():
    """Each coefficient of the kernel is the minimax polynomial's, to the last place of its type."""
    literals = [float(x) for x in re.findall(r"\d+\.\d+(?:e-?\d+)?", KERNEL.read_text())]
    half, quarter = mp.sqrt(mp.mpf(1) / 2), (mp.pi / 4) ** 2
    atanh_end = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * (1 + mp.mpf("1e-6"))

    def log_weight(x):
        return x * x if abs(x) < TINY else abs(x**3 / mp.log1p(x))

    def atanh_weight(z):
        return z / 2 if z > 0 else mp.mpf("1e-20")

    def cosine_weight(z):
        return (z * z + TINY**2) / mp.cos(mp.sqrt(z))

    def sine_weight(z):
        return TINY if z == 0 else z * mp.sqrt(z) / mp.sin(mp.sqrt(z))

    fits = [
        ("ln, float32", np.float32, -2, log_tail, log_weight, (half - 1, 1 / half - 1), 7, -27),
        ("sin, float32", np.float32, 1, sine_tail, sine_weight, (0, quarter), 2, -27),
        ("cos, float32", np.float32, 1, cosine_tail, cosine_weight, (0, quarter), 2, -33),
        ("ln, float64", np.float64, 1, atanh_tail, atanh_weight, (0, atanh_end), 7, -66),
        ("sin, float64", np.float64, 1, sine_tail, sine_weight, (0, quarter), 5, -57),
        ("cos, float64", np.float64, 1, cosine_tail, cosine_weight, (0, quarter), 5, -63),
    ]
    for name, dtype, factor, function, weight, (low, high), degree, exponent in fits:
        coefficients, error = minimax(function, weight, low, high, degree)
        there = np.array(literals, dtype)
        wanted = [dtype(float(factor * c)) for c in coefficients]
        missing = [
            c for c in wanted if not np.any(np.abs(there - abs(c)) <= 4 * np.spacing(abs(c)))
        ]
        report(f"{name}, log2 of the largest error", mp.nstr(mp.log(error, 2), 5), not missing)
        report(f"{name} is below 2^{exponent}", mp.nstr(error, 3), error < mp.mpf(2) ** exponent)


if __name__ == "__main__":
    convolution_constants()
    table_sizes()
    ranges()
    generator_constants()
    polynomials()
