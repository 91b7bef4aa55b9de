"""What a run says about the targets: arithmetic and words, nothing is measured here."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.serving.arrivals import OK, REFUSED, Tally
from benchmarks.serving.closed import Load
from benchmarks.serving.plan import COMPARED_AT
from benchmarks.serving.results import Results
from benchmarks.serving.rivals import NAIVE, PeerResult

BEGIN, END = "<!-- figures: make bench -->", "<!-- end of figures -->"


@dataclass(frozen=True, slots=True)
class Target:
    """A figure beside its bound; `reached` is None where nothing was measured."""

    name: str
    bound: float
    at_most: bool
    reached: float | None
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the bound holds; None where nothing was measured."""
        if self.reached is None:
            return None
        return self.reached <= self.bound if self.at_most else self.reached >= self.bound

    @property
    def asked(self) -> str:
        """The bound in words."""
        return f"{'≤' if self.at_most else '≥'} {self.bound:g}{self.unit}"


def targets(found: Results) -> list[Target]:
    """Those of the issue that a run can judge, in its order."""
    rivals = {peer.name: lead_on(peer) for peer in found.peers if peer.pairs and not peer.name.endswith("form")}
    return [
        Target("server CPU per request / in-process loop's", 1.3, True, cpu_ratio(found)),
        Target("throughput / in-process loop's", 0.75, False, throughput_ratio(found)),
        Target("throughput / best peer's", 1.5, False, min(rivals.values(), default=None)),
        Target("throughput / naive FastAPI + TensorFlow's", 3, False, rivals.get(NAIVE)),
        Target("form / raw body, DICOM", 0.8, False, form_ratio(found)),
        Target("p99 at 70 % of peak / unloaded median", 3, True, statistics.median(tails(found))),
        Target("goodput at 2x peak / peak", 0.8, False, statistics.median(goodputs(found))),
        Target("p99 of the 503 at 2x peak", 100, True, _refused_p99(found), " ms"),
        Target(
            _crowd_name(found), 0.9, False, statistics.median(o.crowd.goodput / o.crowd_peak for o in found.open_loop)
        ),
        Target("p99 of one caller beside a series / alone", 2, True, _beside(found)),
        Target("exec to ready, OpenVINO", 3, True, statistics.median(found.starts.ready_s), " s"),
        Target("resident memory of a worker", 350, True, max(found.starts.resident_mb, default=None), " MB"),
        Target("throughput lost to evidence on every answer", 10, True, explain_cost(found), " %"),
        Target("in-process time of outline, traits and evidence", 10, True, parts_cost(found), " %"),
    ]


def at(loads: tuple[Load, ...], clients: int = COMPARED_AT) -> Load:
    """The one at a number of clients."""
    return next(load for load in loads if load.clients == clients)


def rate_of(peer: PeerResult) -> float:
    """A peer's throughput at the clients of the comparison."""
    return at(peer.loads).rate


def lead_on(peer: PeerResult) -> float:
    """The service's throughput by a peer's, the median over pairs."""
    return statistics.median(service / rate for rate, service in peer.pairs)


def loop_rate(found: Results) -> float:
    """Slices a second of the in-process loop: the median of the rounds."""
    return statistics.median(r.loop.rate for r in found.rounds)


def throughput_ratio(found: Results) -> float:
    """Of service and loop, the median over pairs: the machine's speed may drift between rounds."""
    return statistics.median(r.service.rate / r.loop.rate for r in found.rounds)


def cpu_ratio(found: Results) -> float:
    """Processor time of a request, the service's by the loop's, the median over pairs."""
    return statistics.median(r.service.cpu_ms / r.loop.cpu_ms for r in found.rounds)


def own_cpu_ratio(found: Results) -> float:
    """As `cpu_ratio`, by the loop on the service's own backend."""
    return statistics.median(r.service.cpu_ms / r.own_loop.cpu_ms for r in found.rounds)


def own_throughput_ratio(found: Results) -> float:
    """As `throughput_ratio`, by the loop on the service's own backend."""
    return statistics.median(r.service.rate / r.own_loop.rate for r in found.rounds)


def tails(found: Results) -> list[float]:
    """P99 at the fixed rate by the unloaded median, a round each."""
    return [_p99(o.steady) / o.unloaded.p50_ms for o in found.open_loop]


def bare_tails(found: Results) -> list[float]:
    """As `tails`, of the bare server."""
    return [_p99(b.steady) / b.unloaded.p50_ms for b in found.bare]


def goodputs(found: Results) -> list[float]:
    """Goodput beyond the peak by the peak, a round each."""
    return [o.overload.goodput / o.overload_peak for o in found.open_loop]


def form_ratio(found: Results) -> float:
    """Throughput of forms by that of raw bodies, the median over pairs."""
    return statistics.median(form / raw for raw, form in found.form_pairs)


def stock_ratios(found: Results) -> tuple[float, float]:
    """Throughput and processor time under plain uvicorn by those of the service, the medians over pairs."""
    pairs = found.stock_pairs
    throughput = statistics.median(stock.rate / ours.rate for ours, stock in pairs)
    return throughput, statistics.median(stock.cpu_ms / ours.cpu_ms for ours, stock in pairs)


def explain_cost(found: Results) -> float:
    """Per cent of throughput lost when every answer carries its evidence map, the median over pairs."""
    return 100 * (1 - statistics.median(explained / plain for plain, explained in found.explaining.pairs))


def parts_cost(found: Results) -> float:
    """Per cent that outline, traits and evidence are of a whole prediction, in process."""
    return 100 * (found.explaining.outline_and_traits_ms + found.explaining.evidence_ms) / found.explaining.whole_ms


def _p99(tally: Tally) -> float:
    return tally.latency_ms.get(OK, {}).get("p99", float("inf"))


def _refused_p99(found: Results) -> float | None:
    refused = [o.overload.latency_ms[REFUSED]["p99"] for o in found.open_loop if REFUSED in o.overload.latency_ms]
    return statistics.median(refused) if refused else None


def _crowd_name(found: Results) -> str:
    return f"goodput of {found.open_loop[0].crowd_clients} clients that honour Retry-After / peak"


def _beside(found: Results) -> float | None:
    """The median over rounds, of which none may have had a series that failed."""
    return statistics.median(beside_ratios(found)) if all(b.valid for b in found.beside_series) else None


def beside_ratios(found: Results) -> list[float]:
    """P99 of a caller beside series by that alone, a round each."""
    return [b.beside.p99_ms / b.alone.p99_ms for b in found.beside_series]


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def number(value: float | None, unit: str = "") -> str:
    """Three significant digits, a dash for None."""
    return "–" if value is None else f"{value:.3g}{unit}" if abs(value) < 1000 else f"{value:.0f}{unit}"


def targets_table(found: Results) -> str:
    """Each target beside what was reached."""
    words: dict[bool | None, str] = {True: "met", False: "**missed**", None: "not measured"}
    rows = [(t.name, t.asked, number(t.reached, t.unit), words[t.met]) for t in targets(found)]
    return table(("target", "asked", "reached", ""), rows)


def rates_table(found: Results) -> str:
    """Ratios and absolute figures of everybody at the clients of the comparison, the fastest first."""
    rows = [
        (peer.name, number(rate_of(peer) / loop_rate(found)), *_cells(at(peer.loads)), _led(peer))
        for peer in sorted((p for p in found.peers if p.loads), key=lambda p: -rate_of(p))
    ]
    own = [r.own_loop for r in found.rounds]
    loops = [
        ("in-process loop, OpenVINO", loop_rate(found), statistics.median(r.loop.cpu_ms for r in found.rounds)),
        (
            "the same, OpenVINO as the service runs it",
            statistics.median(lap.rate for lap in own),
            statistics.median(lap.cpu_ms for lap in own),
        ),
        ("in-process loop, TensorFlow", found.tensorflow_loop.rate, found.tensorflow_loop.cpu_ms),
    ]
    ceiling = [
        (name, number(rate / loop_rate(found)), number(rate), number(cpu), "–", "–", "–", "no HTTP, a process per core")
        for name, rate, cpu in loops
    ]
    ours = [
        (
            f"Lungscope, {kind}",
            number(at(loads).rate / loop_rate(found)),
            *_cells(at(loads)),
            f"{found.workers} workers",
        )
        for kind, loads in found.ours.items()
    ]
    silent = [(p.name, *["–"] * 6, f"did not run: {_one_line(p.error)}") for p in found.peers if not p.loads]
    head = ("", "of the loop", "a second", "server CPU ms", "wrk CPU ms", "p50 ms", "p99 ms", "how")
    return table(head, [*ceiling, *ours, *rows, *silent])


def _led(peer: PeerResult) -> str:
    return f"{peer.settings}; Lungscope in turn with it {number(lead_on(peer))} times as many"


def _cells(load: Load) -> tuple[str, ...]:
    values = (load.rate, load.cpu_ms, load.generator_cpu_ms, load.p50_ms, load.p99_ms)
    failed = f" ({load.failed} failed)" if load.failed else ""
    first, *rest = map(number, values)
    return (first + failed, *rest)


def clients_table(found: Results) -> str:
    """Every body of ours and every peer at each number of clients."""
    everybody = [(f"Lungscope, {kind}", loads) for kind, loads in found.ours.items()]
    everybody += [(peer.name, peer.loads) for peer in found.peers if peer.loads]
    rows = [(name, str(load.clients), *_cells(load)) for name, loads in everybody for load in loads]
    return table(("", "clients", "a second", "server CPU ms", "wrk CPU ms", "p50 ms", "p99 ms"), rows)


def open_loop_table(found: Results) -> str:
    """What came back at fixed rates and of the crowd, round by round."""
    loads = found.open_loop
    runs = [
        *((f"{load.steady_rate:.0f} a second (70 % of peak)", load.steady) for load in loads),
        *((f"{load.overload_rate:.0f} a second (2x peak)", load.overload) for load in loads),
        *((f"{load.crowd_clients} clients that honour Retry-After", load.crowd) for load in loads),
        *((f"bare server, {bare.steady_rate:.0f} a second (70 % of its peak)", bare.steady) for bare in found.bare),
    ]
    good, refused = ("good a second", "p50 ms", "p99 ms"), ("503 a second", "p99 of 503 ms")
    head = ("", *good, *refused, "broken", "unsent", "late p99 ms", "stolen %")
    return table(head, [(name, *_tally_cells(tally)) for name, tally in runs])


def _tally_cells(tally: Tally) -> Iterator[str]:
    good, refused = tally.latency_ms.get(OK, {}), tally.latency_ms.get(REFUSED, {})
    yield number(tally.goodput)
    yield from (number(good.get(quantile)) for quantile in ("p50", "p99"))
    yield number(tally.answers.get(REFUSED, 0) / tally.seconds)
    yield number(refused.get("p99"))
    yield str(sum(n for status, n in tally.answers.items() if status not in (OK, REFUSED)))
    yield str(tally.unsent)
    yield number(tally.late_ms.get("p99"))
    yield number(100 * tally.stolen)


def summary(found: Results) -> str:
    """Markdown of everything, for the terminal and docs/benchmarks.md."""
    proof = found.proof
    own = f"{proof.open_loop.goodput:.0f} a second at {1e3 * proof.open_loop.cpu_s / _answers(proof.open_loop):.2f} ms"
    parts: list[str] = [
        "Machine: " + ", ".join(f"{name} {value}" for name, value in found.machine.items()) + ".",
        f"Sent: {found.slice_sent}. The run took {found.seconds:.0f} s"
        + (", shortened: --quick." if found.quick else "."),
        targets_table(found),
        f"### At {COMPARED_AT} clients",
        rates_table(found),
        "### By clients",
        clients_table(found),
        "### Fixed rates, and a crowd",
        open_loop_table(found),
        f"By the loop on OpenVINO as the service runs it: server CPU {number(own_cpu_ratio(found))}, throughput "
        f"{number(own_throughput_ratio(found))}.",
        _stock_text(found),
        _tails_text(found),
        _memory_text(found),
        f"Against a server that does nothing, wrk reaches "
        f"{proof.wrk.rate:.0f} a second at {proof.wrk.generator_cpu_ms:.2f} ms of processor a request, the open-loop "
        f"generator {own}; both include that server's own work on the same cores.",
        _spread_text(found),
        f"One caller's p99 beside a series by that alone, round by round: {_each(beside_ratios(found))}.",
        _explaining_text(found),
        f"Ready after {', '.join(f'{s:.2f}' for s in found.starts.ready_s)} s; resident "
        f"{', '.join(f'{mb:.0f}' for mb in found.starts.resident_mb)} MB.",
    ]
    if found.real_slice:
        figures = ", ".join(f"{name} {number(value)}" for name, value in found.real_slice.items())
        parts.append(f"On a slice of LIDC-IDRI-0012: {figures}.")
    if found.peer_versions:
        parts.append("Peers: " + ", ".join(f"{name} {version}" for name, version in found.peer_versions.items()) + ".")
    return "\n\n".join(parts)


def _stock_text(found: Results) -> str:
    throughput, cpu = stock_ratios(found)
    return (
        f"Under plain uvicorn (`LUNGSCOPE_SERVER=stock`), by the service in turn with it: throughput "
        f"{number(throughput)}, server CPU {number(cpu)}."
    )


def _tails_text(found: Results) -> str:
    unloaded = number(statistics.median([o.unloaded.p50_ms for o in found.open_loop]), " ms")
    bare = number(statistics.median([b.unloaded.p50_ms for b in found.bare]), " ms")
    return (
        f"Unloaded median {unloaded}; p99 at 70 % of peak by it, round by round: {_each(tails(found))}. The bare "
        f"server's {bare}; {_each(bare_tails(found))}. Goodput at 2x peak: {_each(goodputs(found))}."
    )


def _memory_text(found: Results) -> str:
    pace, spells = found.memory_pace, found.memory_pace.spells_ms
    longest = (
        f", the longest {number(max(spells), ' ms')}, together {100 * pace.share:.2g} % of the time" if spells else ""
    )
    return (
        f"Just before the fixed rates, with the service idle, the memory was slow on all cores {len(spells)} times in "
        f"{pace.seconds:.0f} s{longest}."
    )


def _each(values: Sequence[float]) -> str:
    return ", ".join(map(number, values))


def _spread_text(found: Results) -> str:
    cpu = [r.service.cpu_ms / r.loop.cpu_ms for r in found.rounds]
    rates = [r.service.rate / r.loop.rate for r in found.rounds]
    (_, cpu_low, cpu_high), (_, low, high) = middle_half(cpu), middle_half(rates)
    return (
        f"The middle half of the {len(cpu)} rounds lies within {number(cpu_low)} and {number(cpu_high)} for server "
        f"CPU, {number(low)} and {number(high)} for throughput."
    )


def middle_half(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, first and third quartile; of one value, that."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    first, median, third = statistics.quantiles(values, n=4, method="inclusive")
    return median, first, third


def _explaining_text(found: Results) -> str:
    e = found.explaining
    pairs = ", ".join(f"{explained / plain:.3f}" for plain, explained in e.pairs)
    return (
        f"Evidence on every answer: throughput by that without, pair by pair: {pairs}. In process a prediction takes "
        f"{e.whole_ms:.2f} ms, of which outline and traits {e.outline_and_traits_ms:.3f} and "
        f"evidence {e.evidence_ms:.3f}."
    )


def load_text(load: Load) -> str:
    """A median with its p99."""
    return f"{load.p50_ms:.2f} ms (p99 {load.p99_ms:.2f})"


def _answers(tally: Tally) -> int:
    return max(1, sum(tally.answers.values()))


def _one_line(text: str) -> str:
    return " ".join(text.replace("|", "/").split())[:200]


def filled(page: str, figures: str, mark: str = BEGIN) -> str:
    """A page with its part between `mark` and END replaced; raises ValueError without them."""
    before, begin, rest = page.partition(mark)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {mark} and {END}")
    return f"{before}{mark}\n\n{figures}\n\n{END}{after}"
