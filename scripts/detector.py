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
    bundle = commands.add_parser("export", help="write a bundle with the figures of benchmarks/planted.py")
    bundle.add_argument("--networks", type=Path, required=True, help="the folder that train wrote")
    bundle.add_argument("--filter", default="shipped")
    bundle.add_argument("--results", type=Path, default=Path("docs/results/planted.json"))
    for command, flag in ((train, "--restart"), (bundle, "--force")):
        command.add_argument("--out", type=Path, required=True)
        command.add_argument(flag, action="store_true", help="replace what is there")
    given = parser.parse_args()
    from app.errors import LungscopeError
    from training.detector import artefacts, config, export, report  # Keras: not for --help

    try:
        if given.command == "train":
            recipe = config.load_detector_config(given.config)
            artefacts.train_filters(given.data, recipe, given.out, given.filters, restart=given.restart)
        else:
            results = report.DetectorResults.model_validate_json(given.results.read_text("utf-8"))
            network, run = artefacts.read_filter(given.networks, given.filter)
            export.export_detector(network, run, results, given.out, force=given.force)
    except (LungscopeError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
