"""A threshold that follows the network: the future work of the paper's last section, as a small controller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from dormancy.errors import UsageError
from dormancy.metrics import FloatArray

__all__ = ["AdaptiveTau"]


@final
@dataclass(frozen=True)
class AdaptiveTau:
    """Keep the recycled share of the neurons near `target`.

    At every turn tau moves by `rate` of the way towards the score below which exactly that share of the neurons lies,
    and stays within `low`..`high`. It starts at `tau`. A share that is silent altogether (score 0) is always recycled:
    no threshold can keep it from being so.
    """

    target: float
    tau: float = 0.1
    rate: float = 0.5
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.target <= 1 or not 0 < self.rate <= 1 or not 0 <= self.low <= self.tau <= self.high:
            raise UsageError(
                "an adaptive tau needs a target within 0..1, a rate above 0 up to 1, and 0 <= low <= tau <= high"
            )

    def follow(self, tau: float, scores: FloatArray) -> float:
        """Return the next threshold, given the present one and the scores of all neurons that may be recycled.

        >>> AdaptiveTau(target=0.5, rate=1.0).follow(0.1, np.array([0.2, 0.4, 1.4, 2.0]))
        0.4
        """
        finite = np.sort(scores[np.isfinite(scores)])
        if not finite.size:
            return tau
        k = round(self.target * finite.size)
        goal = finite[k - 1] if k > 0 else np.nextafter(finite[0], -1.0)
        return float(np.clip((1 - self.rate) * tau + self.rate * goal, self.low, self.high))
