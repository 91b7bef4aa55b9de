"""Measure a recipe by cross-validation (--config) or a finished bundle (--bundle) on DATA; OUT gets report.html."""

import argparse
import sys
from pathlib import Path


def main() -> None:
    """Parse arguments, measure, and print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("training/configs/default.toml"))
    parser.add_argument("--bundle", type=Path, help="judge by this bundle instead of cross-validating")
    for name in ("data", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--again", action="store_true", help="recompute the figures from stored predictions")
    parser.add_argument("--restart", action="store_true", help="discard what OUT holds instead of going on from it")
    given = parser.parse_args()

    from app.errors import LungscopeError
    from training.data.datasets import read_dataset
    from training.data.references import read_references
    from training.fitting.config import load_config
    from training.reporting.assessment import assess_bundle, assess_recipe  # Keras: not for --help
    from training.reporting.report import summary

    what = f"--bundle {given.bundle}" if given.bundle else f"--config {given.config}"
    said = f"python scripts/evaluate.py {what} --data DIR --out DIR"
    try:
        config, references = load_config(given.config), read_references(given.data)
        work = (read_dataset(given.data, {} if given.bundle else config.scans), config, references, given.out, said)
        if given.bundle:
            print(summary(assess_bundle(given.bundle, *work)))
        else:
            print(summary(assess_recipe(*work, again=given.again, restart=given.restart)))
    except (LungscopeError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
