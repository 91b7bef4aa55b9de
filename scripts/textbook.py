"""Baseline and warning: `scripts/textbook.py --data DIR --out textbook.json` trains the textbook CNN three times."""

import argparse
from pathlib import Path

from training.experiments.textbook import Settings, compare, read_slices


def main() -> None:
    """Train on IQ-OTH/NCCD split at random, by near-duplicate group, and with the thorax blanked; write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds iq-othnccd")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    for name in ("epochs", "folds_run"):
        default = Settings.model_fields[name].default
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help=f"default {default}")
    given = parser.parse_args()
    settings = Settings(epochs=given.epochs, folds_run=given.folds_run)
    command = f"python scripts/textbook.py --data DIR --out FILE --epochs {given.epochs} --folds-run {given.folds_run}"
    result = compare(read_slices(given.data / "iq-othnccd"), settings, command)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(result.model_dump_json(indent=2) + "\n", "utf-8")
    for condition in result.conditions:
        shown = ", ".join(f"{k} {v.value:.3f} [{v.low:.3f}, {v.high:.3f}]" for k, v in condition.figures.items())
        print(f"{condition.split:8s} {'blanked' if condition.thorax_blanked else 'whole':8s} {shown}")


if __name__ == "__main__":
    main()
