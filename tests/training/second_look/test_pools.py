"""A network's training set holds nothing that it must not see, and labels follow every reader's votes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.imaging.ct import Orientation, SliceSource
from app.imaging.patches import PatchSpec
from app.imaging.volume import CTVolume
from training.data.datasets import read_dataset
from training.data.nodules import Dataset
from training.data.scans import Scan
from training.second_look.chest import ChestSlice, patient_parts
from training.second_look.config import LesionConfig, LookConfig, LookScanConfig, NetworkConfig
from training.second_look.false_findings import FalseFinding
from training.second_look.pools import Sources, TrainingSet, training_set
from training.second_look.samples import Label, Place, Sample, Section

SPEC = PatchSpec(32, 0.78)
SCANS = ("seen", "unseen")
PARTS = 2


def ask(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.zeros(len(hu), np.float32)


def scan(name: str) -> Scan:
    volume = CTVolume(
        hu=np.zeros((20, 40, 40), np.int16),
        spacing_mm=(2.0, 1.0, 1.0),
        orientation=Orientation((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
        positions_mm=tuple((0.0, 0.0, 2.0 * k) for k in range(20)),
        sources=(SliceSource("array", 40, 40),) * 20,
    )
    return Scan(name, volume, np.zeros((0, 4)))


def chest_slice(number: int) -> ChestSlice:
    samples = (Sample(Place(np.zeros((40, 40), np.float32), (1.0, 1.0), (20.0, 20.0)), Label(0.0, 0.0)),)
    return ChestSlice(f"{number}.dcm", f"C{number}", number % PARTS, "chest", "", (), samples)


@pytest.fixture(scope="module")
def config(recipe: LookConfig) -> LookConfig:
    lesion = LesionConfig(centre_mm=(20.0, 20.0, 20.0), diameter_mm=10.0)
    scans = {name: LookScanConfig(folder=name, lesions=(lesion,)) for name in SCANS}
    return recipe.model_copy(update={"scans": scans})


@pytest.fixture(scope="module")
def sources(generated_data: Path) -> Sources:
    found = {name: (FalseFinding((10.0, 12.0, 5.0), 1.0, 2.0),) for name in SCANS}
    slices = tuple(map(chest_slice, range(4)))
    return Sources(read_dataset(generated_data), {name: scan(name) for name in SCANS}, found, slices)


def seen_by(network: NetworkConfig, sources: Sources, config: LookConfig) -> TrainingSet:
    return training_set(sources, network, config, ask, SPEC)


def test_nothing_held_out_is_among_the_samples(sources: Sources, config: LookConfig) -> None:
    seen = seen_by(NetworkConfig(held_out_folds=(1,), held_out_scans=("unseen",), held_out_part=0), sources, config)
    hidden: list[Section] = [n.hu for n in sources.dataset.nodules if n.fold == 1]
    hidden += [sources.scans["unseen"].volume.hu]
    hidden += [s.negatives[0].place.section for s in sources.chest_slices if s.part == 0]
    sections = [s.place.section for pool in seen.pools.values() for s in pool]
    assert not [1 for array in hidden for section in sections if np.shares_memory(array, section)]
    assert seen.scans == ("seen",)
    assert seen.chest_patients == {"C1", "C3"}
    assert {n.fold for n in seen.dataset.nodules} == {0}
    assert {c.fold for c in seen.dataset.candidates} <= {0}


def test_what_is_not_held_out_is_there(sources: Sources, config: LookConfig) -> None:
    seen = seen_by(NetworkConfig(), sources, config)
    assert len(seen.pools["suspicious"]) + len(seen.pools["other_nodules"]) == len(sources.dataset.nodules)
    assert len(seen.pools["scan_blobs"]) == len(SCANS) * 3
    assert {s.label for s in seen.pools["scan_lesions"]} == {Label(1.0, 1.0)}
    assert len(seen.pools["chest_blobs"]) == 4


def test_readers_decide_and_a_median_of_3_teaches_no_suspicion(sources: Sources, config: LookConfig) -> None:
    one, two, three, *_ = sources.dataset.nodules
    ratings = ((one, (5, 4, 4)), (two, (1, 2, 1)), (three, (3, 3, 4)))
    given = Sources(Dataset(tuple(replace(n, malignancy=given) for n, given in ratings), ()), {}, {}, ())
    seen = seen_by(NetworkConfig(), given, config.model_copy(update={"scans": {}}))
    assert [s.label for s in seen.pools["suspicious"]] == [Label(1.0, 1.0)]
    assert [s.label for s in seen.pools["other_nodules"]] == [Label(0.0, 1.0), Label(0.0, 1.0, 0.0)]


def test_patients_are_dealt_out_in_turn() -> None:
    assert patient_parts(["b", "a", "c", "a"], 2) == {"a": 0, "b": 1, "c": 0}


def test_testers_saw_neither_scan_nor_planted_nodules(recipe: LookConfig) -> None:
    scans = {"x": LookScanConfig(folder="x", planted_folds=(1,))}
    networks = {
        "folds": NetworkConfig(held_out_folds=(1,)),
        "both": NetworkConfig(held_out_folds=(0, 1), held_out_scans=("x",), held_out_part=0),
    }
    config = recipe.model_copy(update={"scans": scans, "networks": networks})
    assert config.tester("x") == "both"
    assert config.part_tester(0) == "both"
    with pytest.raises(ValueError, match="part 1"):
        config.part_tester(1)
