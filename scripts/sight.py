"""The network that sees axial chests: `train --data DIR --out DIR`, then benchmarks/sight.py, then `export`."""

import argparse
import sys
from pathlib import Path


def main() -> None:
    """Train the networks of the three folds and the shipped one, or write the bundle."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train those that OUT does not hold yet")
    train.add_argument("--data", type=Path, required=True)
    bundle = commands.add_parser("export", help="write a bundle with the figures of benchmarks/sight.py")
    bundle.add_argument("--networks", type=Path, required=True, help="the folder that train wrote")
    bundle.add_argument("--results", type=Path, default=Path("docs/results/sight.json"))
    bundle.add_argument("--force", action="store_true", help="replace the bundle that is there")
    for command in (train, bundle):
        command.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    from app.errors import LungscopeError
    from training.sight import export, runs  # Keras: not for --help

    try:
        if given.command == "train":
            runs.train_all(given.data, given.out)
        else:
            network = runs.trained(given.networks, runs.SHIPPED)
            export.export_view(network, export.read_results(given.results), given.out, force=given.force)
    except LungscopeError as error:
        sys.exit(f"sight: {error}")


if __name__ == "__main__":
    main()
