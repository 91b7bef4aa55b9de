"""Everything one run found, as it is written to docs/results/serving.json."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.serving.arrivals import Tally
from benchmarks.serving.ceiling import Lap
from benchmarks.serving.closed import Load
from benchmarks.serving.memory_pace import MemoryPace
from benchmarks.serving.rivals import PeerResult


@dataclass(frozen=True, slots=True)
class Proof:
    """That the generators are not the limit: what each reaches against a server that does nothing."""

    wrk: Load
    open_loop: Tally


@dataclass(frozen=True, slots=True)
class Round:
    """The plain loop, the same on the service's own OpenVINO backend, and the service, one after the other: raw DICOM
    at the clients of the comparison."""

    loop: Lap
    own_loop: Lap
    service: Load


@dataclass(frozen=True, slots=True)
class Starts:
    """Seconds from exec to ready, one a start, and megabytes of each process after load, largest first."""

    ready_s: tuple[float, ...]
    resident_mb: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Bare:
    """A round of the plain loop behind a socket: its peak, one client, and a fixed rate that is the same share of its
    peak."""

    peak: float
    unloaded: Load
    steady_rate: float
    steady: Tally


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """A round of fixed rates: `unloaded` is one client, closed; the rates are those asked for, a second; a peak is the
    mean of a closed loop's just before and just after. `crowd` are ten times the clients."""

    unloaded: Load
    steady_rate: float
    steady: Tally
    overload_peak: float
    overload_rate: float
    overload: Tally
    crowd_peak: float
    crowd_clients: int
    crowd: Tally


@dataclass(frozen=True, slots=True)
class BesideSeries:
    """A round of one caller of single slices alone and while `series` of `slices` each are judged one after the other;
    `valid` when all of them were."""

    slices: int
    series: int
    alone: Load
    beside: Load
    valid: bool


@dataclass(frozen=True, slots=True)
class Explaining:
    """Requests a second without and with `explain=true`, a pair a round; and ms of one slice in process: all of it,
    its outline and traits, its evidence map."""

    pairs: tuple[tuple[float, float], ...]
    whole_ms: float
    outline_and_traits_ms: float
    evidence_ms: float


@dataclass(frozen=True, slots=True)
class Results:
    """One run of the benchmark. `form_pairs` are requests a second as raw body and as form, `stock_pairs` the service
    and the same under plain uvicorn, a pair a round."""

    machine: dict[str, str]
    quick: bool
    seconds: float
    slice_sent: str
    digests: dict[str, str]
    workers: int
    proof: Proof
    rounds: tuple[Round, ...]
    tensorflow_loop: Lap
    ours: dict[str, tuple[Load, ...]]
    form_pairs: tuple[tuple[float, float], ...]
    stock_pairs: tuple[tuple[Load, Load], ...]
    real_slice: dict[str, float] | None
    peers: tuple[PeerResult, ...]
    peer_versions: dict[str, str]
    starts: Starts
    open_loop: tuple[OpenLoop, ...]
    bare: tuple[Bare, ...]
    memory_pace: MemoryPace
    beside_series: tuple[BesideSeries, ...]
    explaining: Explaining
