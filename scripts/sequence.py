"""The network over slices: `train --data DIR --out DIR`, `evaluate --data DIR --out FILE`, `export --out BUNDLE`."""

import argparse
import sys
from pathlib import Path


def main() -> None:
    """Train the networks of all folds and the shipped one, compare them with what is simpler, or write the bundle."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train a network without each fold, and one on all")
    train.add_argument("--config", type=Path, default=Path("training/configs/sequence.toml"))
    evaluate = commands.add_parser("evaluate", help="measure on the folds left out, beside what is simpler")
    bundle = commands.add_parser("export", help="write a bundle with the measured figures")
    bundle.add_argument("--results", type=Path, default=Path("docs/results/sequence.json"))
    for command, flag in ((train, "--restart"), (bundle, "--force")):
        command.add_argument(flag, action="store_true", help="replace what is there")
    for command in (train, evaluate, bundle):
        command.add_argument("--out", type=Path, required=True)
        command.add_argument("--trained" if command is bundle else "--data", type=Path, required=True)
    evaluate.add_argument("--trained", type=Path, required=True, help="the folder that train wrote")
    given = parser.parse_args()
    from app.errors import LungscopeError
    from training.sequence import artefacts, config, export, study  # Keras: not for --help

    try:
        if given.command == "train":
            artefacts.train_sequences(given.data, config.load_config(given.config), given.out, restart=given.restart)
        elif given.command == "evaluate":
            study.measure(artefacts.read_sequences(given.trained), given.data, given.out)
        else:
            results = study.read_results(given.results)
            export.export_sequence(artefacts.read_sequences(given.trained), results, given.out, force=given.force)
    except (LungscopeError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
