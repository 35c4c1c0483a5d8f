"""Arms compared: absolute and relative lift from moments of units, for all metrics, segments and looks at once.

    value      R = sum y / sum d, a ratio of totals clustered by unit (delta method; Deng et al. 2018, KDD)
    adjusted   D = R_t - R_c - theta (z_t - z_c), z: what the units brought along (CUPED; Deng et al. 2013, WSDM)
    lift       every m whose contrast D - m |R_c| is not excluded: Fieller's interval, so that a lift and a margin
               tested against it always agree

theta is pooled over the arms within them, so that it does not depend on the effect. The control's value under a lift
is the unadjusted one. A quantile of any kind gives an interval: Student's t for one fixed look, a boundary of a
sequential design, or that of a confidence sequence.
"""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from onlineeval_dagster.experiments.moments import FIRST, Arms, D, Floats, UnitMoments, Y

TOO_FEW_UNITS = "too few units in an arm"
NO_ROWS = "no answer that counts in an arm"
NO_SPREAD = "all values are equal"
TOO_FEW_RARE = "too few of the rarer outcome in an arm"
NEAR_ZERO = "the control's value is too close to nothing for a relative lift"
NEEDED_RARE = 5
_TINY = 1e-10  # of the largest: a covariate that another one explains


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Columns of shape (…, treatments), each treatment against the control.

    value, control  values of both arms, not adjusted by covariates
    difference      adjusted by the covariates, where there are any
    of_treatment    variance of the treatment's part of the difference
    own, mixed, plain  of the control: variance of its part, covariance of that with its plain value, variance of that
    degrees         Welch's, of the difference
    units, control_units  units with the metric's moments
    removed         share of the variance that covariates and strata took out
    reason          why there are no numbers (they are NaN then), or None
    """

    value: Floats
    control: Floats
    difference: Floats
    of_treatment: Floats
    own: Floats
    mixed: Floats
    plain: Floats
    degrees: Floats
    units: Floats
    control_units: Floats
    removed: Floats
    reason: NDArray[np.object_]

    def beside(self, other: Self) -> Self:
        """Both, one after the other on the first axis."""
        return type(self)(
            **{one.name: np.concatenate([getattr(self, one.name), getattr(other, one.name)]) for one in fields(self)}
        )

    def with_first(self, other: Self) -> Self:
        """`other`, which has the second axis no more, in the first place of that axis."""
        return type(self)(
            **{
                one.name: np.concatenate([getattr(other, one.name)[:, None], getattr(self, one.name)[:, 1:]], axis=1)
                for one in fields(self)
            }
        )

    @property
    def answered(self) -> NDArray[np.bool_]:
        return ~self.reason.astype(np.bool_)

    @property
    def error(self) -> Floats:
        """Standard error of the difference."""
        return np.sqrt(self.of_treatment + self.own)

    @property
    def lift(self) -> Floats:
        """Relative to the control's size: .05 is five percent more."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.difference / np.abs(self.control)

    @property
    def lift_error(self) -> Floats:
        """Of the lift, by the delta method; for priors and shrinkage, where an interval is not what is asked for."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.contrast_error(self.lift) / np.abs(self.control)

    def contrast_error(self, margin: Floats | float) -> Floats:
        """Standard error of D - margin |R_c|."""
        signed = margin * np.sign(self.control)
        return np.sqrt(np.maximum(self.of_treatment + self.own + 2 * signed * self.mixed + signed**2 * self.plain, 0))

    def z(self, margin: Floats | float = 0.0) -> Floats:
        """How many standard errors the lift lies above `margin`."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return (self.difference - margin * np.abs(self.control)) / self.contrast_error(margin)

    def p_value(self) -> Floats:
        """Two-sided, for one fixed look, of no difference."""
        return np.asarray(2 * stdtr(self.degrees, -np.abs(self.z())), dtype=np.float64)

    def quantile(self, alpha: Floats | float) -> Floats:
        """Student's t, two-sided."""
        return np.asarray(stdtrit(self.degrees, 1 - np.asarray(alpha) / 2), dtype=np.float64)

    def limits(self, quantile: Floats | float) -> tuple[Floats, Floats]:
        """Of the difference."""
        half = quantile * self.error
        return self.difference - half, self.difference + half

    def lift_limits(self, quantile: Floats | float) -> tuple[Floats, Floats]:
        """Of the lift (Fieller 1954); NaN where the control cannot be told from nothing, and no lift is bounded."""
        size, signed = np.abs(self.control), np.sign(self.control) * self.mixed
        square = np.square(quantile)
        a = size**2 - square * self.plain
        b = self.difference * size + square * signed
        c = self.difference**2 - square * (self.of_treatment + self.own)
        with np.errstate(divide="ignore", invalid="ignore"):
            root = np.sqrt(np.maximum(b**2 - a * c, 0))
            low, high = (b - root) / a, (b + root) / a
        return np.where(a > 0, low, np.nan), np.where(a > 0, high, np.nan)


def compare(
    moments: UnitMoments | Arms, *, control: int = 0, needed: int = 2, is_rate: NDArray[np.bool_] | bool = False
) -> Comparison:
    """Each other arm against arm `control`; adjusted by every covariate that the moments have.

    needed   units an arm, below which there is no number
    is_rate  broadcast over the leading axes: then the rarer outcome needs five effective answers in each arm
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        arms = moments.arms if isinstance(moments, UnitMoments) else moments
        return _compare(arms, control, needed, np.asarray(is_rate))


def _compare(arms: Arms, control: int, needed: int, is_rate: NDArray[np.bool_]) -> Comparison:
    units, means, spread = arms.units, arms.means, arms.covariances
    ratio = means[..., Y] / means[..., D]
    plain = np.zeros_like(means)
    plain[..., Y], plain[..., D] = 1 / means[..., D], -ratio / means[..., D]
    theta = _theta(units, plain, spread)
    own = plain.copy()
    own[..., FIRST:] = -theta[..., None, :]
    others = [arm for arm in range(units.shape[-1]) if arm != control]
    adjusted = ratio + _dot(own[..., FIRST:], means[..., FIRST:])
    variance = _form(own, spread, own) / units
    raw = _form(plain, spread, plain) / units
    alone = _form(plain, arms.whole, plain) / units
    mixed = _form(own, spread, plain) / units
    at = (..., [control])
    part, base = variance[..., others], variance[at]
    total = part + base
    common = _common(arms.shared, own, plain, others, control)
    degrees = total**2 / (part**2 / (units[..., others] - 1) + base**2 / (units[at] - 1))
    reason = _reasons(arms, ratio, alone, needed, is_rate)
    whys = _first_reason(reason[..., others], reason[at])
    answered = ~whys.astype(np.bool_)

    def known(column: Floats) -> Floats:
        return np.where(answered, np.broadcast_to(column, answered.shape), np.nan)

    return Comparison(
        value=known(ratio[..., others]),
        control=known(ratio[at]),
        difference=known(adjusted[..., others] - adjusted[at]),
        of_treatment=known(part),
        own=known(base + common[0]),
        mixed=known(mixed[at] - common[1]),
        plain=known(raw[at] + common[2]),
        degrees=known(degrees),
        units=units[..., others],
        control_units=np.broadcast_to(units[at], answered.shape),
        removed=known(1 - (total + common[0]) / (alone[..., others] + alone[at])),
        reason=whys,
    )


def _common(
    shared: Floats | None, own: Floats, plain: Floats, others: list[int], control: int
) -> tuple[Floats, Floats, Floats] | tuple[float, float, float]:
    """By what the arms have in common: variance of the difference, its covariance with the control's plain value, and
    the variance of that.
    """
    if shared is None:
        return 0.0, 0.0, 0.0
    here, there, base = own[..., others, :], own[..., [control], :], plain[..., [control], :]
    both, crossed = shared[..., others, others, :, :], shared[..., others, control, :, :]
    of_control = shared[..., [control], [control], :, :]
    varies = _form(here, both, here) - 2 * _form(here, crossed, there) + _form(there, of_control, there)
    with_plain = _form(here, crossed, base) - _form(there, of_control, base)
    return varies, with_plain, _form(base, of_control, base)


def _theta(units: Floats, plain: Floats, spread: Floats) -> Floats:
    """(…, covariates): regression within the arms, pooled; 0 for a covariate that does not vary."""
    weight = np.where(units > 1, units - 1, 0)[..., None, None]
    inside = np.where(weight > 0, np.nan_to_num(spread), 0.0)
    square = (weight * inside[..., FIRST:, FIRST:]).sum(axis=-3)
    cross = np.nan_to_num(np.einsum("...i,...ij->...j", np.nan_to_num(plain), inside)[..., FIRST:])
    cross = (weight[..., 0] * cross).sum(axis=-2)
    scale = np.sqrt(np.maximum(np.einsum("...ii->...i", square), 0))
    inverse = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1), 0)
    if square.shape[-1] == 0:
        return cross
    solved = np.linalg.pinv(square * inverse[..., :, None] * inverse[..., None, :], rcond=_TINY, hermitian=True)
    return np.einsum("...ij,...j->...i", solved, cross * inverse) * inverse


def _reasons(arms: Arms, ratio: Floats, raw: Floats, needed: int, is_rate: NDArray[np.bool_]) -> NDArray[np.object_]:
    """(…, arms): why an arm has no number, or None. The first that holds of: no units, no rows, no spread, too rare."""
    found = np.full(ratio.shape, None, dtype=object)
    rate = np.broadcast_to(is_rate[..., None] if is_rate.ndim else is_rate, ratio.shape)
    effective = np.where(raw > 0, ratio * (1 - ratio) / np.where(raw > 0, raw, 1), 0.0)
    rarer = effective * np.minimum(ratio, 1 - ratio)
    found[rate & ~(rarer >= NEEDED_RARE)] = TOO_FEW_RARE
    found[~(raw > 0) & ~rate] = NO_SPREAD
    found[~(arms.means[..., D] > 0)] = NO_ROWS
    found[arms.units < max(needed, 2)] = TOO_FEW_UNITS
    return found


def _first_reason(first: NDArray[np.object_], second: NDArray[np.object_]) -> NDArray[np.object_]:
    return np.where(first.astype(np.bool_), first, np.broadcast_to(second, first.shape))


def _form(left: Floats, spread: Floats, right: Floats) -> Floats:
    return np.einsum("...i,...ij,...j->...", left, spread, right)


def _dot(left: Floats, right: Floats) -> Floats:
    return np.einsum("...i,...i->...", left, right) if left.shape[-1] else np.zeros(left.shape[:-1])
