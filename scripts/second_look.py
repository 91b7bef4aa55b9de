"""The second look: `train --data DIR --out DIR`, then benchmarks/second_look.py, then `export` (docs/detector.md)."""

import argparse
import sys
from pathlib import Path


def main() -> None:
    """Train the networks of a configuration, or write the bundle of one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train the networks")
    train.add_argument("--config", type=Path, default=Path("training/configs/second_look.toml"))
    train.add_argument("--data", type=Path, required=True)
    train.add_argument("--filter", type=Path, default=Path("models/nodule-detector/1"))
    train.add_argument("--networks", nargs="*", help="default: all of them")
    bundle = commands.add_parser("export", help="write a bundle with the figures of benchmarks/second_look.py")
    bundle.add_argument("--networks", type=Path, required=True, help="the folder that train wrote")
    bundle.add_argument("--results", type=Path, default=Path("docs/results/second_look.json"))
    for command, flag in ((train, "--restart"), (bundle, "--force")):
        command.add_argument("--out", type=Path, required=True)
        command.add_argument(flag, action="store_true", help="replace what is there")
    given = parser.parse_args()
    from app.errors import LungscopeError
    from training.second_look import artefacts, config, export, report  # Keras: not for --help

    try:
        if given.command == "train":
            recipe = config.load_look_config(given.config)
            artefacts.train_networks(given.data, recipe, given.filter, given.out, given.networks, restart=given.restart)
        else:
            results = report.LookResults.model_validate_json(given.results.read_text("utf-8"))
            network, run = artefacts.read_network(given.networks, "shipped")
            export.export_second_look(network, run, results, given.out, force=given.force)
    except (LungscopeError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
