"""How long everything is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Plan:
    """Seconds, and how often: `rounds` of in-process loops and service alternate, so that drift meets both alike, as do
    `form_rounds` of raw body and form, and `peer_rounds` of each peer and the service. Fixed rates come in
    `arrival_rounds`, before which the memory's pace is watched for `memory_s`; a caller alone and beside series in
    `beside_rounds`; `variants` of peers are measured too."""

    rounds: int
    round_s: float
    form_rounds: int
    load_s: float
    peer_s: float
    peer_rounds: int
    peer_clients: tuple[int, ...]
    variants: bool
    arrival_rounds: int
    arrivals_s: float
    memory_s: float
    beside_rounds: int
    beside_s: float
    explain_rounds: int
    starts: int


CLIENTS: Final = (1, 16, 64)
COMPARED_AT: Final = 16  # the clients at which the ratios are stated
FULL: Final = Plan(
    rounds=24,
    round_s=1,
    form_rounds=10,
    load_s=5,
    peer_s=4,
    peer_rounds=10,
    peer_clients=(1, 16, 64),
    variants=True,
    arrival_rounds=7,
    arrivals_s=8,
    memory_s=20,
    beside_rounds=5,
    beside_s=6,
    explain_rounds=4,
    starts=3,
)
QUICK: Final = Plan(
    rounds=3,
    round_s=1,
    form_rounds=2,
    load_s=1,
    peer_s=1,
    peer_rounds=1,
    peer_clients=(16,),
    variants=False,
    arrival_rounds=1,
    arrivals_s=4,
    memory_s=4,
    beside_rounds=1,
    beside_s=4,
    explain_rounds=1,
    starts=1,
)
