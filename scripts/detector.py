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
    export = commands.add_parser("export", help="write a bundle with the figures of benchmarks/planted.py")
    export.add_argument("--networks", type=Path, required=True, help="the folder that train wrote")
    export.add_argument("--filter", default="shipped")
    export.add_argument("--results", type=Path, default=Path("docs/results/planted.json"))
    for command in (train, export):
        command.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    from app.errors import LungscopeError
    from training import detector_artefacts, detector_config, detector_export, detector_report  # Keras: not for --help

    try:
        if given.command == "train":
            config = detector_config.load_detector_config(given.config)
            wanted = list(config.filters) if given.filters is None else given.filters
            detector_artefacts.train_filters(given.data, config, given.out, wanted)
        else:
            results = detector_report.DetectorResults.model_validate_json(given.results.read_text("utf-8"))
            chosen = detector_artefacts.read_filter(given.networks, given.filter)
            detector_export.export_detector(*chosen, results, given.out)
    except (LungscopeError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
