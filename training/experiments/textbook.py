"""What the textbook whole-image CNN learns on IQ-OTH/NCCD: a baseline, and a demonstration of leakage.

Labels there are per case, patients are not identified and neighbouring slices are near-duplicates (alyasriy &
AL-Huseiny 2023, doi 10.17632/bhmdr45bh2.4). The same network is therefore trained three times: split at random, split
by near-duplicate group, and split by group with the thorax blanked out. Whatever the last one still knows
is not the lung.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal  # keras and sklearn are untyped

import cv2
import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from tqdm import tqdm

from app.inference.bundle import Interval
from training.data.nodules import DatasetMissing
from training.evaluation import metrics
from training.evaluation.metrics import Flags, Floats, Indices

SIZE_PX = 224
# Rows of every image from just below its top edge to the top of the table: one strip for all, so that no outline stays.
THORAX_ROWS = (0.08, 0.80)
THRESHOLD = 0.5  # textbooks call cancer at one half
PREDICT_BATCH = 64
RESAMPLES = 1000
TABLE_FILE = "slices.csv"

Split = Literal["random", "grouped"]
Images = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """`images` uint8 (N, 224, 224) grey values; `cancer` and near-duplicate `group` (N,) of each."""

    images: Images
    cancer: Flags
    group: NDArray[np.str_]

    def __post_init__(self) -> None:
        if not len(self.images) == len(self.cancer) == len(self.group):
            raise ValueError(f"{len(self.images)} images, {len(self.cancer)} labels, {len(self.group)} groups")


class Settings(BaseModel):
    """How long and how often the network is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = 3
    folds: int = 5
    folds_run: int = 2
    batch: int = 16
    learning_rate: float = 3e-4
    seed: int = 20261123


class Condition(BaseModel):
    """One way to split and to show the images, and what came of it. Intervals resample near-duplicate groups."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: Split
    thorax_blanked: bool
    judged: int
    groups_on_both_sides: int
    figures: dict[str, Interval]


class TextbookResult(BaseModel):
    """`textbook.json`: the same network under three conditions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str
    statement: str
    settings: Settings
    slices: int
    groups: int
    cancer_share: float
    parameters: int
    conditions: tuple[Condition, ...]


Judge = Callable[[Images, Flags, Images, Settings], Floats]
CONDITIONS: tuple[tuple[Split, bool], ...] = (("random", False), ("grouped", False), ("grouped", True))
STATEMENT = (
    "{run} of {folds} folds, {epochs} epochs each; slices with a drop_reason left out; the same network, images and "
    "seed in all conditions. `thorax_blanked` sets rows {low:.0%} to {high:.0%} of every image to 0, so that "
    "the lungs and the outline of the body are gone and table, air and reconstruction circle stay."
)


def read_slices(folder: Path) -> Slices:
    """Read `slices.csv` and its images, without those that carry a drop_reason; raises DatasetMissing."""
    if not (folder / TABLE_FILE).is_file():
        raise DatasetMissing(
            found=f"no {TABLE_FILE} in {folder}",
            expected="the iq-othnccd folder with its images and slices.csv",
            remedy="Point --data at the folder that holds iq-othnccd.",
        )
    with (folder / TABLE_FILE).open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if not row["drop_reason"]]
    images = [cv2.imread(str(folder / row["path"]), cv2.IMREAD_GRAYSCALE) for row in rows]
    if missing := [row["path"] for row, image in zip(rows, images, strict=True) if image is None]:
        raise DatasetMissing(
            found=f"{missing[0]} unreadable ({len(missing)} in all)",
            expected="every image that slices.csv names",
            remedy="Copy the folder again.",
        )
    fitting = [cv2.resize(i, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA) for i in images if i is not None]
    return Slices(
        np.stack(fitting).astype(np.uint8),
        np.array([row["cancer"] == "1" for row in rows]),
        np.array([row["group"] for row in rows]),
    )


def blanked(images: Images) -> Images:
    """The same images with the thorax's rows set to 0."""
    first, last = (round(share * images.shape[1]) for share in THORAX_ROWS)
    out = images.copy()
    out[:, first:last] = 0
    return out


def build_textbook_network(settings: Settings) -> Any:
    """Convolutions of 32, 64 and 128 3x3 kernels, each with 2x2 max-pooling, dense 512, sigmoid."""
    keras.utils.set_random_seed(settings.seed)
    model = keras.Sequential([keras.Input((SIZE_PX, SIZE_PX, 3)), layers.Rescaling(1 / 255)])
    for kernels in (32, 64, 128):
        model.add(layers.Conv2D(kernels, 3, activation="relu"))
        model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(512, activation="relu"))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(keras.optimizers.Adam(settings.learning_rate), "binary_crossentropy", jit_compile=False)
    return model


def train_and_judge(images: Images, cancer: Flags, others: Images, settings: Settings) -> Floats:
    """Fit a new network on `images` and give the probability (M,) of cancer of `others`."""
    model, rng = build_textbook_network(settings), np.random.default_rng(settings.seed)
    steps = settings.epochs * -(-len(images) // settings.batch)
    with tqdm(total=steps, desc="train", unit="step", dynamic_ncols=True, mininterval=2, leave=False) as bar:
        for _ in range(settings.epochs):
            order = rng.permutation(len(images))
            for chosen in np.split(order, range(settings.batch, len(order), settings.batch)):
                loss = model.train_on_batch(_three(images[chosen]), cancer[chosen, None].astype(np.float32))
                bar.set_postfix(loss=f"{float(loss):.3f}", refresh=False)
                bar.update()
    parts = np.split(others, range(PREDICT_BATCH, len(others), PREDICT_BATCH))
    said = [np.asarray(model(_three(part), training=False)).ravel() for part in parts]
    return np.concatenate(said).astype(np.float64)


def compare(slices: Slices, settings: Settings, command: str, judge: Judge = train_and_judge) -> TextbookResult:
    """Train and judge under every condition."""
    low, high = THORAX_ROWS
    return TextbookResult(
        command=command,
        statement=STATEMENT.format(
            run=settings.folds_run, folds=settings.folds, epochs=settings.epochs, low=low, high=high
        ),
        settings=settings,
        slices=len(slices.images),
        groups=len(set(slices.group.tolist())),
        cancer_share=float(slices.cancer.mean()),
        parameters=int(build_textbook_network(settings).count_params()) if judge is train_and_judge else 0,
        conditions=tuple(_condition(slices, split, blank, settings, judge) for split, blank in CONDITIONS),
    )


def splits(slices: Slices, split: Split, settings: Settings) -> Iterator[tuple[Indices, Indices]]:
    """(inside, outside) indices of the folds that are run; stratified, and by group unless `split` is random."""
    kind = StratifiedGroupKFold if split == "grouped" else StratifiedKFold
    folds = kind(settings.folds, shuffle=True, random_state=settings.seed)
    found = folds.split(slices.images, slices.cancer, slices.group if split == "grouped" else None)
    for number, (inside, outside) in enumerate(found):
        if number < settings.folds_run:
            yield inside, outside


def _condition(slices: Slices, split: Split, blank: bool, settings: Settings, judge: Judge) -> Condition:
    images = blanked(slices.images) if blank else slices.images
    probability, judged, shared = [], [], 0
    for inside, outside in splits(slices, split, settings):
        probability.append(judge(images[inside], slices.cancer[inside], images[outside], settings))
        judged.append(outside)
        shared += len(set(slices.group[inside].tolist()) & set(slices.group[outside].tolist()))
    chosen = np.concatenate(judged)
    return Condition(
        split=split,
        thorax_blanked=blank,
        judged=len(chosen),
        groups_on_both_sides=shared,
        figures=_figures(slices.cancer[chosen], np.concatenate(probability), slices.group[chosen].tolist(), settings),
    )


def _figures(cancer: Flags, probability: Floats, groups: Sequence[str], settings: Settings) -> dict[str, Interval]:
    called = probability >= THRESHOLD
    table: dict[str, metrics.Metric] = {
        "auc": lambda i: metrics.auc(cancer[i], probability[i]),
        "accuracy": lambda i: metrics.share((called == cancer)[i]),
        "balanced_accuracy": lambda i: (
            (metrics.sensitivity(cancer[i], called[i]) + metrics.specificity(cancer[i], called[i])) / 2
        ),
    }
    return {name: metrics.bootstrap(metric, groups, RESAMPLES, settings.seed) for name, metric in table.items()}


def _three(images: Images) -> NDArray[np.float32]:
    """Grey (N, 224, 224) as the three equal channels that a network for photographs takes."""
    return np.repeat(images[..., None], 3, axis=-1).astype(np.float32)
