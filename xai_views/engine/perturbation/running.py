"""Running sums over masks, and the statistics computed from them; masks are not stored.

For masks M with values in [0, 1] and a score s of each masked input, six sums per pixel (M and M^2, each times 1, s - c and
(s - c)^2) give the weighted mean and scatter, their errors and the slope of the score, exactly. Sums are additive: batches,
halves and runs on several machines can be combined. The shift c, a typical score, prevents cancellation in the squares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from xai_views.errors import MethodError, nearest

SPREADS = ("mean", "sample", "sum")
#: name -> early-stopping rule.
RULES: dict[str, str] = {
    "never": "all masks are run",
    "standard error": "stop when the median standard error is below a tenth of the map's standard deviation",
    "halves": "stop when the maps of two halves of the masks have a rank correlation above 0.95",
}
ERROR_SHARE, AGREEMENT = 0.1, 0.95


@dataclass(frozen=True, eq=False)
class Running:
    """Sums over masks and scores. Immutable: adding returns a new object.

    Attributes
    ----------
    shift : float
        Shift c.
    count : int
        Number of masks n.
    total, square : float
        Sums of s - c and of its square.
    first, second : Tensor
        ``[3, *size]`` sums of M and of M^2, times (s - c) to the powers 0, 1, 2; on the CPU.
    """

    shift: float
    count: int
    total: float
    square: float
    first: torch.Tensor
    second: torch.Tensor

    @classmethod
    def empty(cls, size: tuple[int, ...], shift: float = 0.0, dtype: torch.dtype = torch.float64) -> Running:
        """Return sums over no mask.

        Parameters
        ----------
        size : tuple of int
            Size of a mask.
        shift : float
            Shift c.
        dtype : torch.dtype
            Precision of the sums. Products of one batch are computed in the precision of the masks.
        """
        nothing = torch.zeros(3, *size, dtype=dtype)
        return cls(float(shift), 0, 0.0, 0.0, nothing, nothing)

    def add(self, scores: torch.Tensor, masks: torch.Tensor) -> Running:
        """Return the sums with ``scores [B]`` of ``masks [B, *size]`` added."""
        away = scores.detach().cpu().double() - self.shift
        powers = torch.stack([torch.ones_like(away), away, away.square()]).to(masks)
        flat = masks.flatten(1)
        with torch.autocast(masks.device.type, enabled=False):
            products = powers @ flat, powers @ flat.square()
        first, second = (p.cpu().to(self.first.dtype).view_as(self.first) for p in products)
        return Running(
            self.shift,
            self.count + len(away),
            self.total + float(away.sum()),
            self.square + float(away.square().sum()),
            self.first + first,
            self.second + second,
        )

    def __add__(self, other: Running) -> Running:
        """Return the combined sums; equal to those of one run, up to rounding."""
        other = other.shifted(self.shift)
        return Running(
            self.shift,
            self.count + other.count,
            self.total + other.total,
            self.square + other.square,
            self.first + other.first,
            self.second + other.second,
        )

    def shifted(self, shift: float) -> Running:
        """Return the same sums for another shift c."""
        d = self.shift - shift
        if d == 0:
            return self

        def moved(sums: torch.Tensor) -> torch.Tensor:
            zero, one, two = sums
            return torch.stack([zero, one + d * zero, two + 2 * d * one + d * d * zero])

        return replace(
            self,
            shift=float(shift),
            total=self.total + d * self.count,
            square=self.square + 2 * d * self.total + d * d * self.count,
            first=moved(self.first),
            second=moved(self.second),
        )

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return sum(t.numel() * t.element_size() for t in (self.first, self.second))

    # -- statistics of the scores -------------------------------------------------------------------------------------------

    @property
    def mean(self) -> float:
        """Mean score."""
        return self.shift + self.total / max(self.count, 1)

    @property
    def variance(self) -> float:
        """Variance of the scores about their mean."""
        n = max(self.count, 1)
        return max(self.square / n - (self.total / n) ** 2, 0.0)

    # -- statistics of every pixel; where no mask has shown a pixel, the value over all masks ------------------------

    def _seen(self, value: torch.Tensor, otherwise: float) -> torch.Tensor:
        return torch.where(self.first[0] > 0, value, torch.full_like(value, otherwise))

    def _weight(self) -> torch.Tensor:
        return torch.where(self.first[0] > 0, self.first[0], torch.ones_like(self.first[0]))

    def _centre(self) -> torch.Tensor:
        """R - c."""
        return self._seen(self.first[1] / self._weight(), self.mean - self.shift)

    def importance(self) -> torch.Tensor:
        """Importance R: mean score weighted by the masks, sum M s / sum M."""
        return self.shift + self._centre()

    def attribution(self) -> torch.Tensor:
        """R minus the mean score: covariance of score and mask over the mean of the mask; 0 is neutral."""
        return self._centre() - (self.mean - self.shift)

    def scatter(self) -> torch.Tensor:
        """Weighted scatter V: sum M (s - R)^2."""
        return (self.first[2] - self.first[1] * self._centre()).clamp_min(0)

    def uncertainty(self, spread: str = "mean") -> torch.Tensor:
        """Uncertainty U: spread around R of the scores of masks that show a pixel.

        Parameters
        ----------
        spread : {"mean", "sample", "sum"}
            V / W with W = sum M, the weighted variance; V / (W - 1), as for repeated samples (NaN where W is 1 or less);
            V itself, which grows with the number of masks.

        Raises
        ------
        MethodError
            For an unknown spread.
        """
        if spread not in SPREADS:
            raise MethodError(f"spread {spread!r} is not known; choose {nearest(spread, SPREADS)}.")
        if spread == "sum":
            return self.scatter()
        if spread == "mean":
            return self._seen(self.scatter() / self._weight(), self.variance)
        less = self.first[0] - 1
        return self.scatter() / torch.where(less > 0, less, torch.full_like(less, float("nan")))

    def standard_error(self, centred: bool = False) -> torch.Tensor:
        """Standard error of the importance, or of the attribution (``centred``).

        The errors of the mean score and of R are correlated, so that the attribution is more certain than R. Both follow from
        the influence of single masks: M (s - R) / W, minus (s - mean) / n.
        """
        centre, weight = self._centre(), self._weight()
        own = self.second[2] - 2 * centre * self.second[1] + centre.square() * self.second[0]
        squares = own / weight.square()
        if centred:
            n = max(self.count, 1)
            squares = squares - 2 * self.scatter() / (weight * n) + self.variance / n
        return self._seen(squares.clamp_min(0).sqrt(), self.variance**0.5)

    def mask_variance(self) -> torch.Tensor:
        """Variance of the drawn masks."""
        n = max(self.count, 1)
        return (self.second[0] / n - (self.first[0] / n).square()).clamp_min(0)

    def slope(self) -> torch.Tensor:
        """Slope of the score over the mask's value: the effect of showing a pixel; 0 where no mask varied.

        The attribution is the slope times the variance of the mask over its mean; the slope is free of the masks' grid pattern.
        """
        shared = self.attribution() * self.first[0] / max(self.count, 1)
        spread = self.mask_variance()
        varied = spread > torch.finfo(spread.dtype).eps
        return torch.where(varied, shared / torch.where(varied, spread, torch.ones_like(spread)), 0.0)


@dataclass(frozen=True, eq=False)
class Halves:
    """Sums of alternating blocks of masks in two halves, which can be compared; their sum is the total.

    Attributes
    ----------
    even, odd : Running
        Sums of blocks 0, 2, ... and 1, 3, ...
    """

    even: Running
    odd: Running

    @classmethod
    def empty(cls, size: tuple[int, ...], shift: float = 0.0, dtype: torch.dtype = torch.float64) -> Halves:
        """Return two halves without masks, see :meth:`Running.empty`."""
        nothing = Running.empty(size, shift, dtype)
        return cls(nothing, nothing)

    def add(self, block: int, scores: torch.Tensor, masks: torch.Tensor) -> Halves:
        """Return the halves with scores of masks of a block added."""
        if block % 2:
            return replace(self, odd=self.odd.add(scores, masks))
        return replace(self, even=self.even.add(scores, masks))

    @property
    def whole(self) -> Running:
        """Sums over all masks."""
        return self.even + self.odd

    @property
    def count(self) -> int:
        """Number of masks."""
        return self.even.count + self.odd.count

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.even.nbytes + self.odd.nbytes

    def agreement(self) -> float:
        """Rank correlation of the importances of both halves; 0 if one of them is constant."""
        return rank_correlation(self.even.importance(), self.odd.importance())

    def settled(self, rule: str) -> bool:
        """Return whether a stopping rule is met, so that more masks would hardly change the map.

        Parameters
        ----------
        rule : str
            One of :data:`RULES`. The standard error is that of the attribution.

        Raises
        ------
        MethodError
            For an unknown rule.
        """
        if rule not in RULES:
            raise MethodError(f"stopping rule {rule!r} is not known; choose {nearest(rule, RULES)}.")
        if rule == "never" or not self.even.count or not self.odd.count:
            return False
        whole = self.whole
        if whole.variance <= torch.finfo(torch.float32).eps ** 2:  # masks have no effect on the score
            return True
        if rule == "halves":
            return self.agreement() > AGREEMENT
        error = float(whole.standard_error(centred=True).median())
        return error < ERROR_SHARE * float(whole.attribution().std(correction=0))


def rank_correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    """Spearman's rank correlation of two maps, with mean ranks for ties; 0 if a map is constant."""
    from scipy.stats import rankdata

    a, b = (rankdata(t.cpu().numpy(), axis=None) for t in (a, b))
    a, b = a - a.mean(), b - b.mean()
    length = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / length) if length > 0 else 0.0
