"""The free-response ROC chart of docs/results/planted.png. No figure is computed here."""

from __future__ import annotations

import io
from typing import Final

from matplotlib.figure import Figure

from training.detector.report import DetectorResults

DOTS_PER_INCH: Final = 110
COLUMNS: Final = 3


def draw_froc(results: DetectorResults) -> bytes:
    """PNG: for each band, sensitivity of planted nodules and of native patches by false positives per slice."""
    rows = -(-len(results.bands) // COLUMNS)
    figure = Figure(figsize=(4 * COLUMNS, 3 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True)
    for axis, band in zip(axes.flat, results.bands, strict=False):
        for label, figures in (("planted", band.sensitivity), ("native", band.native)):
            rates = [float(rate) for rate in figures]
            axis.plot(rates, [f.value for f in figures.values()], marker="o", markersize=3, label=label)
            axis.fill_between(rates, [f.low for f in figures.values()], [f.high for f in figures.values()], alpha=0.2)
        axis.set_title(f"{band.name} (n = {band.plantings})", fontsize=9)
        axis.set_xscale("log", base=2)
        axis.set_ylim(0, 1)
        axis.grid(alpha=0.3)
    axes[0][0].legend(loc="lower right", fontsize=8)
    figure.supxlabel("false positives per slice")
    figure.supylabel("sensitivity")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    return buffer.getvalue()
