"""The candidate filter: `train --data DIR --out DIR`, then benchmarks/planted.py, then `export` (docs/detector.md)."""

import argparse
from pathlib import Path

from training.detector.artefacts import read_filter, train_filters
from training.detector.config import load_detector_config
from training.detector.export import export_detector
from training.detector.report import DetectorResults

CONFIG = Path("training/configs/detector.toml")


def main() -> None:
    """Train the base and filters of a configuration, or write the bundle of one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train the base, unless OUT holds one, and the filters")
    train.add_argument("--config", type=Path, default=CONFIG)
    train.add_argument("--data", type=Path, required=True)
    train.add_argument("--filters", nargs="*", help="default: all of them; none: the base only")
    train.add_argument("--restart", action="store_true", help="discard the base, the filters and their checkpoints")
    export = commands.add_parser("export", help="write a bundle with the figures of benchmarks/planted.py")
    export.add_argument("--networks", type=Path, required=True, help="the folder that train wrote")
    export.add_argument("--filter", default="shipped")
    export.add_argument("--results", type=Path, default=Path("docs/results/planted.json"))
    for command in (train, export):
        command.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if given.command == "train":
        config = load_detector_config(given.config)
        names = given.filters if given.filters is not None else list(config.filters)
        train_filters(given.data, config, given.out, names, restart=given.restart)
    else:
        results = DetectorResults.model_validate_json(given.results.read_text("utf-8"))
        export_detector(*read_filter(given.networks, given.filter), results, given.out)


if __name__ == "__main__":
    main()
