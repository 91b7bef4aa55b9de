"""How often a bundle says of a patch that it is like nothing it learned from: named strangers, and nodules.

python -m benchmarks.strangers DATA --bundle models/nodule-classifier/1 --out docs/results/strangers.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.inference.bundle import find_bundle, load_bundle
from app.inference.conformal import soft_diameter_mm
from app.inference.decision import decide
from app.inference.model import AUTO, Model, create_backend
from benchmarks.proportions import exact_share
from benchmarks.serving.report import filled
from benchmarks.stranger_pictures import Shown, strangers

COMMAND: Final = "make strangers"
PROTOCOL: Final = (
    "Each patch through the bundle as served. Strange: the embedding lies beyond the manifest's threshold. No nodule: "
    "`nodule` lies below its own. Rejected: either. Called: not rejected, and answered with cancer_suspected. Only the "
    "patch is looked at: of a whole image the service asks more before (view, scale, place). Nodules are of the "
    "training data; what is accepted of nodules never seen is in the manifest. Intervals are exact, 95 %, as if "
    "patches were independent: those of one slice are not."
)
BEGIN: Final = "<!-- figures: make strangers -->"
AT_ONCE: Final = 256
SHARES: Final = ("strange", "no_nodule", "rejected", "called")


def judged(shown: Sequence[Shown], model: Model) -> dict[str, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Flags (N,) by what is said of each patch."""
    parts = [_said(shown[k : k + AT_ONCE], model) for k in range(0, len(shown), AT_ONCE)]
    return {name: np.concatenate([part[name] for part in parts]) for name in SHARES}


def _said(shown: Sequence[Shown], model: Model) -> dict[str, np.ndarray[Any, np.dtype[np.bool_]]]:
    outputs, manifest = model.backend.run(np.stack([s.hu for s in shown])[..., None]), model.manifest
    strange = model.distance(outputs["embedding"]) > manifest.out_of_distribution.threshold
    no_nodule = outputs["nodule"].reshape(-1) < manifest.nodule_threshold
    sizes_mm = soft_diameter_mm(outputs["mask"], manifest.input.spacing_mm)
    pairs = zip(outputs["malignancy"].reshape(-1).tolist(), sizes_mm.tolist(), strict=True)
    decisions = np.array([decide(p, size, manifest.conformal, model.threshold)[0] for p, size in pairs])
    rejected = strange | no_nodule
    called = (decisions == "cancer_suspected") & ~rejected
    return dict(zip(SHARES, (strange, no_nodule, rejected, called), strict=True))


def figures(shown: Sequence[Shown], said: Mapping[str, np.ndarray[Any, np.dtype[np.bool_]]]) -> list[dict[str, Any]]:
    """A row for each group, in the order in which they come."""
    rows = []
    groups = np.array([s.group for s in shown])
    for group in dict.fromkeys(groups.tolist()):
        inside = groups == group
        row: dict[str, Any] = {
            "group": group,
            "of": len({s.owner for s in shown if s.group == group}),
            "patches": int(inside.sum()),
        }
        for name in SHARES:
            found = exact_share(int(said[name][inside].sum()), int(inside.sum()))
            row[name] = [round(v, 3) for v in (found.value, found.low, found.high)]
        rows.append(row)
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = ["| shown | patients or images | patches | strange | no nodule | rejected | called |", "|---" * 7 + "|"]
    for row in rows:
        shares = (f"{row[k][0]:.2f} ({row[k][1]:.2f} to {row[k][2]:.2f})" for k in SHARES)
        lines.append(f"| {row['group']} | {row['of']} | {row['patches']} | {' | '.join(shares)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--bundle", type=Path, default=None, help="the newest of models/nodule-classifier by default")
    parser.add_argument("--out", type=Path, default=Path("docs/results/strangers.json"))
    parser.add_argument("--page", type=Path, help="Markdown file whose figures are replaced")
    given = parser.parse_args()
    path = given.bundle or find_bundle(Path("models"), "nodule-classifier")
    model = Model.load(load_bundle(path), create_backend(AUTO, 1))
    shown = list(strangers(given.data, model.patch_spec))
    manifest = model.manifest
    results = {
        "command": COMMAND,
        "protocol": PROTOCOL,
        "model": {"name": manifest.name, "version": manifest.version, "digest": model.bundle.digest},
        "nodules_never_seen_accepted": manifest.out_of_distribution.accepted,
        "strangers": figures(shown, judged(shown, model)),
    }
    given.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if given.page is not None:
        head = f"{PROTOCOL} Bundle: {manifest.name} {manifest.version}."
        text = f"{head}\n\n{table(results['strangers'])}"  # type: ignore[arg-type]  # JSON holds anything
        given.page.write_text(filled(given.page.read_text("utf-8"), text, BEGIN), "utf-8")


if __name__ == "__main__":
    main()
