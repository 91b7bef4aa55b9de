"""The chart of docs/results/serving.png. No figure is computed here."""

from __future__ import annotations

import io
import statistics
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.serving.plan import COMPARED_AT
from benchmarks.serving.report import at, loop_rate, number, rate_of
from benchmarks.serving.results import Results

DOTS_PER_INCH: Final = 110
OURS, OTHERS, CEILING = "#1f6f8b", "#b0b7bc", "#e0a030"
Bar = tuple[str, float, float, str]


def draw(found: Results) -> bytes:
    """PNG: throughput and processor time of a request of everybody, the fastest first."""
    bars = sorted(_bars(found), key=lambda bar: bar[1])
    figure = Figure(figsize=(11, 0.4 * len(bars) + 1.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _panel(left, bars, [bar[1] for bar in bars], f"answers a second, {COMPARED_AT} clients")
    _panel(right, bars, [bar[2] for bar in bars], "server CPU, ms an answer")
    cores, processor = found.machine["cores"], found.machine["processor"]
    figure.suptitle(f"One CT slice with its roi, {cores} cores of {processor}", fontsize=10)
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return written.getvalue()


def _bars(found: Results) -> list[Bar]:
    loop_cpu = statistics.median(r.loop.cpu_ms for r in found.rounds)
    loops = [
        ("in-process loop, OpenVINO", loop_rate(found), loop_cpu, CEILING),
        ("in-process loop, TensorFlow", found.tensorflow_loop.rate, found.tensorflow_loop.cpu_ms, CEILING),
    ]
    ours = [(f"Lungscope, {kind}", at(loads).rate, at(loads).cpu_ms, OURS) for kind, loads in found.ours.items()]
    peers = [(peer.name, rate_of(peer), at(peer.loads).cpu_ms, OTHERS) for peer in found.peers if peer.loads]
    return [*loops, *ours, *peers]


def _panel(axes: Axes, bars: list[Bar], values: list[float], title: str) -> None:
    drawn = axes.barh([bar[0] for bar in bars], values, color=[bar[3] for bar in bars])
    axes.bar_label(drawn, [number(value) for value in values], padding=3, fontsize=8)
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
