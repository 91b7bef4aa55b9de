"""Cross-validate a configuration: `scripts/evaluate.py --config … --data DIR --out DIR` writes evaluation.json."""

import argparse
from pathlib import Path

from training.artefacts import write_history
from training.config import load_config
from training.datasets import read_dataset
from training.evaluate import EVALUATION_FILE, HELD_OUT_FILE, evaluate
from training.held_out import cross_validate, load, save
from training.train import TrainedNetwork


def main() -> None:
    """Train once per fold, keep every network, and measure what they say about the fold left out."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("config", "data", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--again", action="store_true", help="recompute the figures from stored predictions")
    given = parser.parse_args()
    config, dataset = load_config(given.config), read_dataset(given.data)

    def keep(fold: int, trained: TrainedNetwork) -> None:
        folder = given.out / f"fold{fold}"
        folder.mkdir(parents=True, exist_ok=True)
        trained.network.save(folder / "network.keras")
        write_history(folder, trained.history)

    if not given.again:
        save(given.out / HELD_OUT_FILE, *cross_validate(dataset, config, keep))
    command = f"python scripts/evaluate.py --config {given.config.as_posix()} --data DIR --out DIR"
    evaluation = evaluate(*load(given.out / HELD_OUT_FILE), dataset, config, command)
    (given.out / EVALUATION_FILE).write_text(evaluation.model_dump_json(indent=2) + "\n", "utf-8")
    for name, figure in evaluation.figures.items():
        print(f"{name:36s} {figure.value:7.3f}  [{figure.low:.3f}, {figure.high:.3f}]")


if __name__ == "__main__":
    main()
