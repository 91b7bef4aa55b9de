"""The log of a run."""

from __future__ import annotations

from pathlib import Path

from training.fitting.history import LEARNING_RATE, LOG_FILE, SPEED, learning_summary, write_log

ROWS = [{"loss": float(20 - k), LEARNING_RATE: 0.1, SPEED: 9.0} for k in range(20)]


def test_the_summary_is_of_the_last_tenth() -> None:
    assert learning_summary(ROWS) == {"loss": 1.5}
    assert learning_summary(ROWS[:3]) == {"loss": 18.0}


def test_the_log_has_a_line_for_each_step(tmp_path: Path) -> None:
    write_log(tmp_path, ROWS)
    lines = (tmp_path / LOG_FILE).read_text("utf-8").splitlines()
    assert lines[0] == "step,loss,learning_rate,images_per_s"
    assert lines[-1] == "19,1,0.1,9"
    assert len(lines) == 21
