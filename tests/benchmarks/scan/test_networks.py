"""No network judges what it has learned from."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from benchmarks.scan.answers import Judge
from benchmarks.scan.known import SCANS
from benchmarks.scan.networks import Panel, SeenBefore, Trial, require_unseen
from training.second_look.artefacts import LookRun
from training.second_look.config import LookConfig, load_look_config

PATIENTS = [f"P{n}" for n in range(7)]


@pytest.fixture(scope="module")
def config() -> LookConfig:
    return load_look_config(Path("training/configs/second_look.toml"))


def run_of(config: LookConfig, name: str, scans: tuple[str, ...] = ()) -> LookRun:
    return LookRun(
        name=name, config=config, filter_digest="", weights="", patients=1, samples={}, scans=scans, chest_patients=1,
        data={},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("trial", "named"),
    [
        (Trial(scans=frozenset({"lidc-0001"})), "scan lidc-0001"),
        (Trial(folds=frozenset({0})), "fold 0"),
        (Trial(parts=frozenset({1})), "part 1"),
    ],
)
def test_a_network_that_has_seen_it_is_refused(config: LookConfig, trial: Trial, named: str) -> None:
    with pytest.raises(SeenBefore) as refused:
        require_unseen(run_of(config, "fold4"), trial)
    assert named in refused.value.found


def test_its_record_counts_as_much_as_its_recipe(config: LookConfig) -> None:
    trial = Trial(scans=frozenset({"lidc-0012"}), folds=frozenset({4}), parts=frozenset({0}))
    require_unseen(run_of(config, "fold4"), trial)
    with pytest.raises(SeenBefore, match="lidc-0012"):
        require_unseen(run_of(config, "fold4", scans=("lidc-0012",)), trial)


def panel(config: LookConfig, *names: str) -> Panel:
    return Panel({name: cast(Judge, name) for name in names}, {name: run_of(config, name) for name in names})


@pytest.mark.parametrize("scan", SCANS)
def test_every_scan_has_a_judge_that_has_not_seen_it(config: LookConfig, scan: str) -> None:
    judge = panel(config, *config.networks).of_scan(scan)
    recipe = config.networks[str(judge)]
    assert scan in recipe.held_out_scans
    assert SCANS[scan].planted_fold in recipe.held_out_folds


def test_every_patient_has_a_judge_that_has_not_seen_them(config: LookConfig) -> None:
    every = panel(config, *config.networks)
    parts = [config.networks[str(every.of_patient(p, PATIENTS))].held_out_part for p in PATIENTS]
    assert parts == [0, 1, 2, 0, 1, 2, 0]


def test_the_shipped_network_alone_tests_nothing(config: LookConfig) -> None:
    alone = panel(config, "shipped")
    for scan in SCANS:
        with pytest.raises(SeenBefore):
            alone.of_scan(scan)
    with pytest.raises(SeenBefore):
        alone.of_patient("P0", PATIENTS)
