"""The candidate filter: `train --data DIR --out DIR`, then benchmarks/planted.py, then `export` (docs/detector.md)."""

import argparse
import sys
from pathlib import Path


def main() -> None:
    """Train the base and filters of a configuration, or write the bundle of one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train the base, unless OUT holds one, and the filters")
    train.add_argument("--config", type=Path, default=Path("training/configs/detector.toml"))
    train.add_argument("--data", type=Path, required=True)
    train.add_argument("--filters", nargs="*", help="default: all of them; none: the base only")
    train.add_argument("--restart", action="store_true", help="discard the base, the filters and their checkpoints")
    bundle = commands.add_parser("export", help="write a bundle with the figures of benchmarks/planted.py")
    bundle.add_argument("--networks", type=Path, required=True, help="the folder that train wrote")
    bundle.add_argument("--filter", default="shipped")
    bundle.add_argument("--results", type=Path, default=Path("docs/results/planted.json"))
    bundle.add_argument("--force", action="store_true", help="replace the bundle that is there")
    for command in (train, bundle):
        command.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    from app.errors import LungscopeError
    from training.detector import artefacts, config, export, report  # Keras: not for --help

    try:
        if given.command == "train":
            recipe = config.load_detector_config(given.config)
            names = list(recipe.filters) if given.filters is None else given.filters
            artefacts.train_filters(given.data, recipe, given.out, names, restart=given.restart)
        else:
            results = report.DetectorResults.model_validate_json(given.results.read_text("utf-8"))
            network, run = artefacts.read_filter(given.networks, given.filter)
            export.export_detector(network, run, results, given.out, force=given.force)
    except (LungscopeError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
