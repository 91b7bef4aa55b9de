"""What the counts of a shadow amount to."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final

from app.api import schemas
from app.inference.networks import Network
from app.telemetry.versions import ShadowCounts

SUSPECTED: Final = "cancer_suspected"
NORMAL_975: Final = 1.959963984540054  # quantile of the normal distribution: 95 % lie within as many deviations


def shadow_answer(judging: Network, shadow: Network, share: float, counts: ShadowCounts) -> schemas.ShadowAnswer:
    """What is counted of `shadow` beside the version that judges; `share` is the part that is drawn."""
    compared = counts.requests.get("compared", 0)
    pairs = sorted(counts.decisions.items())
    gained = sum(count for (answered, other), count in pairs if answered != SUSPECTED == other)
    lost = sum(count for (answered, other), count in pairs if answered == SUSPECTED != other)
    return schemas.ShadowAnswer(
        judging=judging.version,
        shadow=shadow.version,
        share=share,
        status=shadow.state(),
        requests=schemas.ShadowRequests(
            compared=compared,
            not_sampled=counts.requests.get("not_sampled", 0),
            busy=counts.requests.get("busy", 0),
            failed=counts.requests.get("failed", 0),
        ),
        flips=schemas.Flips(to_suspected=proportion(gained, compared), from_suspected=proportion(lost, compared)),
        decisions=[schemas.DecisionPair(answered=one, shadow=other, count=n) for (one, other), n in pairs],
        probability_difference=_differences(counts),
    )


def proportion(count: int, of: int) -> schemas.Proportion:
    """`count` among `of`, with the score interval of Wilson (1927) for 95 %."""
    if not of:
        return schemas.Proportion(count=count, share=None, low=None, high=None)
    share, z2 = count / of, NORMAL_975**2
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = NORMAL_975 / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of**2))
    return schemas.Proportion(count=count, share=share, low=max(0.0, middle - half), high=min(1.0, middle + half))


def _differences(counts: ShadowCounts) -> schemas.Differences:
    up_to = {0.0: 0, **dict(sorted(counts.up_to.items()))}
    buckets = [
        # Probabilities lie at most 1 apart.
        schemas.DifferenceBucket(above=above, up_to=min(bound, 1.0), count=up_to[bound] - up_to[above])
        for above, bound in pairwise(up_to)
    ]
    number = max(up_to.values())
    return schemas.Differences(count=number, mean=counts.sum / number if number else None, buckets=buckets)
