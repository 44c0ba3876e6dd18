"""How persistent a series is: a slow part that decays by a constant rate, plus noise without
memory.

An autoregression alone misses what many features are, a slow level under daily noise: its lag-1
autocorrelation is small and its memory long. With a share s of slow variance and decay φ the
autocorrelation at lag k is s·φᵏ; s = 1 is the first-order autoregression, s = 0 white noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hybridnb.gates.evidence import Floats

LEAST = 3.0  # standard errors of white noise above which there is memory at all
LAGS = 60  # a quarter of sessions
DECAYS = tuple(1.0 - 1.0 / span for span in np.geomspace(1.2, 400.0, 48))


@dataclass(frozen=True, slots=True)
class Memory:
    """`share` of the variance in the slow part, and its `decay` a row, both in [0, 1)."""

    share: float = 0.0
    decay: float = 0.0

    @property
    def rho(self) -> float:
        """Autocorrelation at lag 1."""
        return self.share * self.decay

    @property
    def inflation(self) -> float:
        """Variance of a long mean over that of independent rows: 1 + 2·s·φ/(1 − φ)."""
        return 1.0 + 2.0 * self.rho / (1.0 - self.decay)

    def draw(self, rows: int, rng: np.random.Generator) -> Floats:
        """A stationary Gaussian series of this memory, mean 0 and variance 1, shape (rows,)."""
        from scipy.signal import lfilter

        noise = rng.standard_normal(rows)
        if self.share == 0.0:
            return noise
        slow = rng.standard_normal(rows)
        slow[1:] *= math.sqrt(1.0 - self.decay**2)  # the first value is stationary as drawn
        slow = lfilter([1.0], [1.0, -self.decay], slow)
        return np.asarray(
            math.sqrt(self.share) * slow + math.sqrt(1.0 - self.share) * noise, np.float64
        )


def memory(values: Floats) -> Memory:
    """The memory of a series, by least squares on its autocorrelations.

    Parameters
    ----------
    values : ndarray, shape (n,)
        In time order, without NaN, at least 30.

    Returns
    -------
    Memory
        None at all where neither the first autocorrelation nor the mean of the first twenty is
        above three standard errors of white noise, or the series is constant.
    """
    n = len(values)
    found = autocorrelations(values, min(LAGS, n // 5))
    first = found[: min(20, len(found))]
    if found[0] * math.sqrt(n) < LEAST and first.mean() * math.sqrt(n * len(first)) < LEAST:
        return Memory()
    powers: Floats = np.array(DECAYS, np.float64)[:, None] ** np.arange(1.0, len(found) + 1.0)
    fitted = _fit(found, powers)
    for _ in range(2):
        # Taking off the sample's own mean lowers every autocovariance by the mean's variance;
        # ratios of sums lower the decay by 2φ/n on top (Marriott & Pope, 1954).
        lost = min(fitted.inflation / n, 0.5)
        fitted = _fit((found + lost) / (1.0 + lost), powers)
    decay = min(fitted.decay + 2.0 * fitted.decay / n, DECAYS[-1])
    return Memory(fitted.share, decay)


def autocorrelations(values: Floats, lags: int) -> Floats:
    """Autocorrelations at lags 1 to `lags`; zeros for a constant series."""
    centred = values - values.mean()
    total = float(centred @ centred)
    if total == 0.0:
        return np.zeros(lags)
    power = np.abs(np.fft.rfft(centred, 2 * len(values))) ** 2  # twice as long: nothing wraps
    return np.asarray(np.fft.irfft(power)[1 : lags + 1] / total, np.float64)


def _fit(found: Floats, powers: Floats) -> Memory:
    """The decay, and its best share within [0, 1], that miss the autocorrelations least."""
    along = powers @ found
    shares = np.clip(along / (powers**2).sum(axis=1), 0.0, 1.0)
    missed = shares * (shares * (powers**2).sum(axis=1) - 2.0 * along)
    best = int(missed.argmin())
    return Memory(float(shares[best]), DECAYS[best])
