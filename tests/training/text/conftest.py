"""A small set of reports written for tests; none of its sentences is of a data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.conftest import CONFIGS
from training.text.config import TaggerConfig, load_config
from training.text.reports import FILE, FOLDER

SENTENCES = {
    "en": (
        ("A mass of 41 mm in the right lung.", ["measure"]),
        ("It grows into the chest wall.", ["extension"]),
        ("No effusion.", ["omittable"]),
        ("Hilar nodes are large.", ["lymphadenopathy"]),
        ("Lesions in the liver.", ["distant"]),
    ),
    "ja": (
        ("右肺に41mmの腫瘤。", ["measure"]),
        ("胸壁に浸潤。", ["extension"]),
        ("胸水なし。", ["omittable"]),
        ("肺門の節が大きい。", ["lymphadenopathy"]),
        ("肝に病変。", ["distant"]),
    ),
}


def report(number: int, language: str, split: str) -> dict[str, Any]:
    """One report: the sentences of its language, turned by its number."""
    turned = [SENTENCES[language][(number + k) % 5] for k in range(5)]
    texts = [f"{text[:-1]} {number}{text[-1]}" for text, _ in turned]
    return {
        "id": str(number),
        "language": language,
        "split": split,
        "case_guess": f"case-{number % 2}" if split == "val" else None,
        "text": "\n".join(texts),
        "sentences": texts,
        "labels": [labels for _, labels in turned],
    }


def write_reports(folder: Path, reports: list[dict[str, Any]]) -> Path:
    """Write reports as the folder of data that readers take; returns it."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in reports)
    (folder / FOLDER / FILE).write_text(lines, "utf-8")
    return folder


def all_reports() -> list[dict[str, Any]]:
    """Six reports to learn from and four to measure on, in both languages."""
    return [report(n, language, "train" if n < 6 else "val") for language in SENTENCES for n in range(10)]


@pytest.fixture(scope="module")
def reports_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reports(tmp_path_factory.mktemp("reports"), all_reports())


@pytest.fixture(scope="module")
def recipe() -> TaggerConfig:
    """The shipped recipe with two tiny networks for a few steps."""
    config = load_config(CONFIGS / "report_tagger.toml")
    network = config.network.model_copy(update={"embedding": 4, "over_tokens": 3, "over_sentences": 3})
    learning = config.learning.model_copy(update={"epochs": 3, "batch": 6, "ema_momentum": 0.9, "compiled": False})
    spec = config.input.model_copy(update={"sentences": 6, "tokens": 12})
    changed = {"network": network, "learning": learning, "input": spec, "members": 2, "checkpoint_steps": 2}
    return config.model_copy(update=changed)
