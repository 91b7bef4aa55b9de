"""Train on everything: `scripts/train.py --config … --data DIR --out DIR` writes what scripts/export.py needs.

Killed and started again, it goes on from its last checkpoint and ends with the same weights. KERAS_BACKEND=torch,
jax or tensorflow chooses what computes.
"""

import argparse
import sys
from pathlib import Path


def main() -> None:
    """Parse arguments and train. Run scripts/evaluate.py first: nothing here measures anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("config", "data", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--restart", action="store_true", help="discard what OUT holds instead of going on from it")
    given = parser.parse_args()

    from app.errors import LungscopeError
    from training.data.datasets import read_dataset
    from training.fitting.artefacts import describe, write_artefacts  # Keras: --help is there without it
    from training.fitting.config import load_config
    from training.fitting.device import prepare_device
    from training.fitting.train import train

    print(f"training with {prepare_device()}")
    try:
        config = load_config(given.config)
        dataset = read_dataset(given.data, config.scans)
        trained = train(dataset, config, folder=given.out, restart=given.restart)
    except (LungscopeError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")
    write_artefacts(given.out, trained, describe(trained, dataset, config))
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
