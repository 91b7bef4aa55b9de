"""How fast the network trains: `python benchmarks/training_speed.py [--config FILE] [--python torch=/path/to/python]`

Every backend trains on the same generated batches in a process of its own. Rounds alternate between the backends, so
that whatever else the machine does meets them alike; medians and their ratio to the first backend are printed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter

BACKENDS = ("tensorflow", "torch")
CONFIG = Path(__file__).parents[1] / "training" / "configs" / "default.toml"
ROUNDS, STEPS, WARM_UP_STEPS = 3, 8, 3


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def serve_rounds(config_file: Path, steps: int) -> None:
    """A trainer that times `steps` steps whenever a line arrives, and prints images per second."""
    import numpy as np

    from training.fitting.batches import Batch
    from training.fitting.config import load_config
    from training.fitting.device import prepare_device
    from training.fitting.train import fitting_model, step_once

    config = load_config(config_file)
    rng, count, size = np.random.default_rng(config.seed), config.batch.size, config.input.size_px
    shapes = {"malignancy": (1,), "nodule": (1,), "traits": (7,), "mask": (size, size, 1)}
    targets = {name: rng.random((count, *shape), np.float32) for name, shape in shapes.items()}
    hu = rng.normal(-500, 300, (count, size, size, 1)).astype(np.float32)
    batch = Batch(hu, targets, {name: np.ones(count, np.float32) for name in targets})
    prepare_device()
    model = fitting_model(config)
    for _ in range(WARM_UP_STEPS):
        step_once(model, batch)
    say("ready")
    for _line in sys.stdin:
        started = perf_counter()
        for _ in range(steps):
            step_once(model, batch)
        say(f"{count * steps / (perf_counter() - started):.2f}")


def start(backend: str, python: str, given: argparse.Namespace) -> subprocess.Popen[str]:
    command = ["env", f"KERAS_BACKEND={backend}", f"PYTHONPATH={CONFIG.parents[2]}", python, __file__]
    command += ["--config", str(given.config), "--steps", str(given.steps), "--serve"]
    trainer = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    if trainer.stdout is None or trainer.stdout.readline().strip() != "ready":
        sys.exit(f"{backend} does not start under {python}: give --python {backend}=PATH")
    return trainer


def timed_round(trainer: subprocess.Popen[str]) -> float:
    if trainer.stdin is None or trainer.stdout is None:
        raise ValueError("a trainer is spoken to through pipes")
    trainer.stdin.write("\n")
    trainer.stdin.flush()
    return float(trainer.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--backends", nargs="+", default=BACKENDS)
    parser.add_argument("--python", action="append", default=[], help="BACKEND=INTERPRETER, where it is another's")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each round")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve_rounds(given.config, given.steps)
        return
    pythons = dict(pair.split("=", 1) for pair in given.python)
    trainers = {backend: start(backend, pythons.get(backend, sys.executable), given) for backend in given.backends}
    speeds: dict[str, list[float]] = {backend: [] for backend in trainers}
    for _ in range(given.rounds):
        for backend, trainer in trainers.items():
            speeds[backend].append(timed_round(trainer))
    for trainer in trainers.values():
        trainer.communicate()
    first = given.backends[0]
    for backend, found in speeds.items():
        ratios = [one / other for one, other in zip(found, speeds[first], strict=True)]
        say(
            f"{backend:12s} {statistics.median(found):8.1f} images/s ({min(found):.1f}-{max(found):.1f}), "
            f"{statistics.median(ratios):.2f} of {first}"
        )


if __name__ == "__main__":
    main()
