"""Write a bundle: `scripts/export.py --trained DIR --evaluation DIR --out models/nodule-classifier/<integer>`."""

import argparse
import sys
from pathlib import Path


def main() -> None:
    """Join the weights of scripts/train.py with the calibration and figures of scripts/evaluate.py."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trained", type=Path, required=True, help="the folder scripts/train.py wrote")
    parser.add_argument("--evaluation", type=Path, required=True, help="the folder scripts/evaluate.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="the bundle, …/<name>/<integer>")
    parser.add_argument("--force", action="store_true", help="replace the bundle that is there")
    given = parser.parse_args()
    if not given.out.name.isdecimal():
        parser.error(f"--out must end in an integer version, not {given.out.name!r}")

    from app.errors import LungscopeError
    from training.evaluation.results import read_evaluation
    from training.fitting.artefacts import read_artefacts  # Keras: --help is there without it
    from training.reporting.export import export_bundle

    try:
        weights, figures = read_artefacts(given.trained), read_evaluation(given.evaluation)
        manifest = export_bundle(weights, figures, given.out, force=given.force)
    except (LungscopeError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")
    print(f"wrote {given.out}: {manifest.name} {manifest.version}, {len(manifest.digests)} files")
    print("What was measured behind another classifier holds no more: docs/training.md, When the classifier is another")


if __name__ == "__main__":
    main()
