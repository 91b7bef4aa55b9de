"""Baseline and warning: `scripts/textbook.py --data DIR --out textbook.json` trains the textbook CNN three times."""

import argparse
import sys
from pathlib import Path


def main() -> None:
    """Train on IQ-OTH/NCCD split at random, by near-duplicate group, and with the thorax blanked; write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds iq-othnccd")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    for name in ("--epochs", "--folds-run"):
        parser.add_argument(name, type=int, default=argparse.SUPPRESS, help="default: as in experiments/textbook.py")
    given = parser.parse_args()

    from app.errors import LungscopeError
    from training.experiments.textbook import Settings, compare, read_slices  # Keras: --help is there without it

    settings = Settings(**{name: vars(given)[name] for name in ("epochs", "folds_run") if name in given})
    said = f"--epochs {settings.epochs} --folds-run {settings.folds_run}"
    command = f"python scripts/textbook.py --data DIR --out FILE {said}"
    try:
        result = compare(read_slices(given.data / "iq-othnccd"), settings, command)
    except (LungscopeError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(result.model_dump_json(indent=2) + "\n", "utf-8")
    for condition in result.conditions:
        shown = ", ".join(f"{k} {v.value:.3f} [{v.low:.3f}, {v.high:.3f}]" for k, v in condition.figures.items())
        print(f"{condition.split:8s} {'blanked' if condition.thorax_blanked else 'whole':8s} {shown}")


if __name__ == "__main__":
    main()
