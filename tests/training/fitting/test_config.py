"""Layers of configuration files."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.training.conftest import CONFIGS
from training.fitting.config import load_config


def layered(folder: Path, text: str) -> Path:
    file = folder / "own.toml"
    file.write_text(f'extends = "{(CONFIGS / "default.toml").as_posix()}"\n{text}', "utf-8")
    return file


def test_a_layer_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    base = load_config(CONFIGS / "default.toml")
    text = 'name = "own"\n[optimiser]\nsteps = 100\n[optimiser.loss_weights]\nmask = 2.0\n'
    own = load_config(layered(tmp_path, text))
    assert (own.name, own.optimiser.steps, own.optimiser.loss_weights["mask"]) == ("own", 100, 2.0)
    assert own.optimiser.loss_weights["traits"] == base.optimiser.loss_weights["traits"]
    assert own.optimiser.learning_rate == base.optimiser.learning_rate
    assert own.augment == base.augment


def test_layers_are_found_beside_their_file(tmp_path: Path) -> None:
    layered(tmp_path, "seed = 1\n")
    (tmp_path / "top.toml").write_text('extends = "own.toml"\n[network]\nchannels = [1, 2, 3, 4]\n', "utf-8")
    top = load_config(tmp_path / "top.toml")
    assert (top.seed, top.network.channels) == (1, (1, 2, 3, 4))


def test_an_unknown_setting_in_a_layer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="magic"):
        load_config(layered(tmp_path, "[run]\nmagic = 1\n"))


def test_a_circle_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('extends = "b.toml"\n', "utf-8")
    (tmp_path / "b.toml").write_text('extends = "a.toml"\n', "utf-8")
    with pytest.raises(ValueError, match=r"a\.toml -> b\.toml -> a\.toml"):
        load_config(tmp_path / "a.toml")


def test_a_missing_layer_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('extends = "absent.toml"\n', "utf-8")
    with pytest.raises(FileNotFoundError, match="absent"):
        load_config(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[optimiser]\nsteps = 40\n", "warmup_steps must be smaller"),
        ("[input]\nsize_px = 60\n", "multiple of 8, not 60"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path: Path, text: str, named: str) -> None:
    assert load_config(CONFIGS / "default.toml").optimiser.warmup_steps == 40
    with pytest.raises(ValidationError, match=named):
        load_config(layered(tmp_path, text))
