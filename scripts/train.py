"""Train on everything: `scripts/train.py --config … --data DIR --out DIR` writes what scripts/export.py needs."""

import argparse
from pathlib import Path

from training.artefacts import describe, write_artefacts
from training.config import load_config
from training.datasets import read_dataset
from training.train import train


def main() -> None:
    """Parse arguments and train. Run scripts/evaluate.py first: nothing here measures anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("config", "data", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    config, dataset = load_config(given.config), read_dataset(given.data)
    trained = train(dataset, config)
    write_artefacts(given.out, trained, describe(trained, dataset, config))
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
