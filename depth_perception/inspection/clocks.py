"""The time between two clocks that saw the same turns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_STEP_S = 0.005
_BLOCKS = 8
_LEAST_STEPS = 30
_SLOW_S = 4.0
_IN_STEP_DEG_S = 0.05  # an error of either sensor that goes with the turns, and that no residual shows
_LEAST_TURNING_DEG_S = 0.35  # at 0.3, right simulated drives came out 30 to 150 ms off
_MOST_GAIN = 2.0


@dataclass(frozen=True)
class Offset:
    """Attributes:
    seconds: to be added to the other's stamps so that they fit the camera's.
    sigma_s: its standard deviation.
    correlation: of the two turning rates there.
    gain: how many times as fast the camera sees the car turn.
    gain_sigma: its standard deviation.
    steps: how many pairs of images took part.
    """

    seconds: float
    sigma_s: float
    correlation: float
    gain: float
    gain_sigma: float
    steps: int


def offset(starts: np.ndarray, ends: np.ndarray, turned: np.ndarray, other_stamps: np.ndarray, other_heading: np.ndarray, *,
           reach_s: float = 0.3, most_sigma_s: float = 0.05, least_correlation: float = 0.7) -> Offset | str:
    """Turns seen by the camera against the heading that another sensor knew -> the time between their clocks, or why it cannot be told.

    Least squares over the offset: the camera's turning rate over each pair of images is a gain times the other's in the same time,
    shifted, plus a slow drift. That is the peak of the cross-correlation of what is faster than the drift, between samples too. Its
    deviation is the larger of the curvature's, with the residuals' own correlation, and that of leaving out an eighth at a time, and
    what an error in step with the turns does on top: parallax makes one that no residual shows.

    Args:
        starts, ends: (N,) seconds, stamps of the two images of each pair. turned: (N,) radians to the left, NaN = unknown.
        other_stamps: (M,) seconds, ascending. other_heading: (M,) radians, unwrapped; NaN parts one stretch from the next.
        reach_s: the largest offset that is tried. most_sigma_s, least_correlation: what is less certain is not told.
    """
    known = np.isfinite(turned) & (ends > starts)
    starts, ends, turned = starts[known], ends[known], turned[known]
    candidates = np.arange(-reach_s, reach_s + _STEP_S / 2, _STEP_S)
    # One set of pairs for all candidates, or their residuals would not compare.
    table = np.stack([_turns(starts - c, ends - c, other_stamps, other_heading) for c in candidates])
    inside = np.isfinite(table).all(0)
    starts, ends, turned, table = starts[inside], ends[inside], turned[inside], table[:, inside]
    if len(turned) < _LEAST_STEPS:
        return f"cannot be told: only {len(turned)} pairs of images have a known turn on both sides (wanted {_LEAST_STEPS})"
    rates, others, drift = turned / (ends - starts), table / (ends - starts), _drift((starts + ends) / 2)
    weights = np.ones(len(turned))
    for _ in range(3):  # a few wrong turns of the camera must not decide
        fit = _Fit.of(rates, others, drift, weights)
        left = np.abs(fit.left(int(fit.residuals.argmin())))
        weights = 1 / (1 + (left / max(2.5 * float(np.median(left)), 1e-6)) ** 2)
    fit = _Fit.of(rates, others, drift, weights)
    best = int(fit.residuals.argmin())
    varies = np.rad2deg(fit.deviation(best))
    if varies < _LEAST_TURNING_DEG_S:
        return (f"cannot be told: the car hardly turns (what both see varies by {varies:.2f} degrees a second; "
                f"wanted {_LEAST_TURNING_DEG_S:g})")
    peak = _peak(candidates, fit.residuals)
    if peak is None:
        return f"cannot be told: no offset up to {reach_s:g} s fits best"
    seconds, curvature, least = peak
    # The curvature is what both see change, and nothing of what only one sees.
    gain = float(fit.gains[best])
    floor = np.deg2rad(_IN_STEP_DEG_S) / float(np.sqrt(curvature / 2 / weights.sum()))
    noise = least / max(float(weights.sum()) - drift.shape[1] - 2, 1.0) * _inflation(fit.left(best))
    parts = []
    for block in np.array_split(np.arange(len(turned)), _BLOCKS):
        kept = np.setdiff1d(np.arange(len(turned)), block)
        part = _peak(candidates, _Fit.of(rates[kept], others[:, kept], drift[kept], weights[kept]).residuals)
        parts.append(reach_s if part is None else part[0])
    jackknife = (_BLOCKS - 1) / _BLOCKS * ((np.array(parts) - np.mean(parts)) ** 2).sum()
    sigma = float(np.sqrt(max(2 * noise / curvature, jackknife) + floor**2))
    correlation = fit.correlation(best)
    if correlation < least_correlation or not 1 / _MOST_GAIN < gain < _MOST_GAIN:
        return f"cannot be told: the two do not see the same turns (correlation {correlation:.2f}, gain {gain:.2f})"
    if sigma > most_sigma_s:
        return (f"cannot be told: the turns leave it uncertain by {1000 * sigma:.0f} ms (standard deviation; "
                f"wanted {1000 * most_sigma_s:.0f})")
    return Offset(seconds, sigma, correlation, gain, float(np.sqrt(noise / fit.power[best])), len(turned))


@dataclass(frozen=True, eq=False)
class _Fit:
    """The camera's rates as a gain times the other's, candidate by candidate, all weighted and without their drift."""

    rates: np.ndarray
    others: np.ndarray
    power: np.ndarray
    gains: np.ndarray
    residuals: np.ndarray

    @classmethod
    def of(cls, rates: np.ndarray, others: np.ndarray, drift: np.ndarray, weights: np.ndarray) -> _Fit:
        root = np.sqrt(weights)
        Q = np.linalg.qr(drift * root[:, None])[0]
        rates, others = rates * root, others * root
        rates, others = rates - Q @ (Q.T @ rates), others - (others @ Q) @ Q.T
        power = np.maximum((others**2).sum(1), 1e-18)
        gains = others @ rates / power
        return cls(rates, others, power, gains, (rates**2).sum() - np.maximum(gains, 0) ** 2 * power)

    def left(self, candidate: int) -> np.ndarray:
        """(N,) what the fit leaves."""
        return self.rates - self.gains[candidate] * self.others[candidate]

    def correlation(self, candidate: int) -> float:
        """Of the two rates."""
        return float(self.gains[candidate] * np.sqrt(self.power[candidate] / max((self.rates**2).sum(), 1e-18)))

    def deviation(self, candidate: int) -> float:
        """Of the turning rate that both see, radians a second."""
        return float(np.sqrt(max(self.gains[candidate], 0) * self.power[candidate] / self.others.shape[1]))


def _drift(at: np.ndarray) -> np.ndarray:
    """(N,) seconds -> (N, K) hats every _SLOW_S: what varies more slowly is no turn that a clock can be set by."""
    knots = np.linspace(at.min(), at.max(), max(int((at.max() - at.min()) / _SLOW_S), 1) + 1)
    hats = np.stack([np.interp(at, knots, row) for row in np.eye(len(knots))], 1)
    return hats[:, hats.sum(0) > 0.5]


def _inflation(left: np.ndarray) -> float:
    """How many residuals count as one, by the correlation of each with the next."""
    r = float(left[1:] @ left[:-1] / max(left @ left, 1e-18))
    return (1 + max(r, 0.0)) / (1 - min(max(r, 0.0), 0.9))


def _turns(starts: np.ndarray, ends: np.ndarray, stamps: np.ndarray, heading: np.ndarray) -> np.ndarray:
    return _cubic(ends, stamps, heading) - _cubic(starts, stamps, heading)


def _cubic(at: np.ndarray, stamps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Catmull-Rom between the samples; NaN outside, beside NaN and where samples lie more than half a second apart."""
    if len(stamps) < 4:
        return np.full(len(at), np.nan)
    i = np.clip(np.searchsorted(stamps, at, side="right") - 1, 1, len(stamps) - 3)
    t0, t1, t2, t3 = (stamps[i + k] for k in (-1, 0, 1, 2))
    v0, v1, v2, v3 = (values[i + k] for k in (-1, 0, 1, 2))
    span = t2 - t1
    with np.errstate(divide="ignore", invalid="ignore"):
        s = (at - t1) / span
        m1, m2 = (v2 - v0) / (t2 - t0) * span, (v3 - v1) / (t3 - t1) * span
    out = ((2 * s**3 - 3 * s**2 + 1) * v1 + (s**3 - 2 * s**2 + s) * m1 + (-2 * s**3 + 3 * s**2) * v2 + (s**3 - s**2) * m2)
    out[(s < 0) | (s > 1) | (span > 0.5)] = np.nan
    return out


def _peak(candidates: np.ndarray, residuals: np.ndarray) -> tuple[float, float, float] | None:
    """The best offset, the curvature and the least residual, by a parabola through five candidates on either side; None at an end."""
    best, reach = int(residuals.argmin()), 5
    if not reach <= best < len(candidates) - reach:
        return None
    near = slice(best - reach, best + reach + 1)
    a, b, _ = np.polyfit(candidates[near] - candidates[best], residuals[near], 2)
    if a <= 0:
        return None
    shift = float(np.clip(-b / (2 * a), -reach * _STEP_S, reach * _STEP_S))
    return float(candidates[best]) + shift, 2 * float(a), max(float(residuals.min()), 1e-15)
