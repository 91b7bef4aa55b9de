"""What decides the weights of a run: its recipe, its data, its code and its numeric library."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path

import keras
import numpy as np
from pydantic import BaseModel

from app.imaging import patches
from training.data.nodules import Candidate, Dataset, FalseFinding, Nodule, Votes
from training.fitting.config import Config

Facts = dict[str, str]
RECIPE = {"seed", "input", "network", "batch", "augment", "optimiser", "scans"}
CODE = ("architectures", "averaging", "batches", "samples", "train")
ABSENT = "nothing"


def run_facts(dataset: Dataset, config: Config) -> Facts:
    """Everything that two runs must share to reach the same weights on one machine, by name."""
    return {
        **recipe_facts(config, RECIPE),
        "data": data_digest(dataset),
        **code_facts([*(Path(__file__).with_name(f"{name}.py") for name in CODE), Path(patches.__file__)]),
    }


def recipe_facts(config: BaseModel, recipe: set[str]) -> Facts:
    """The settings of `config` under the names in `recipe`, one by one, and what computes them."""
    settings = _flat("", config.model_dump(mode="json", include=recipe))
    return settings | {"backend": f"{keras.backend.backend()}, Keras {keras.__version__}"}


def differences(there: Facts, here: Facts) -> tuple[str, ...]:
    """`name: value there, value here` for each fact that is not the same."""
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    return tuple(f"{n}: {there.get(n, ABSENT)} there, {here.get(n, ABSENT)} here" for n in names)


def data_digest(dataset: Dataset) -> str:
    """sha256 of every sample's pixels, outline and labels, in order: names of files do not matter."""
    digest = hashlib.sha256()
    for samples in (dataset.nodules, dataset.candidates, dataset.false_findings):
        digest.update(b"|")
        for part in _contents(samples):
            digest.update(part)
    return f"sha256:{digest.hexdigest()[:16]}"


def code_digest(file: Path) -> str:
    """sha256 of a module's statements; comments, docstrings and layout do not matter."""
    tree = ast.parse(file.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return f"sha256:{hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]}"


def code_facts(files: Iterable[Path]) -> Facts:
    """`code_digest` of each module, by its room and name."""
    return {f"code of {file.parent.name}/{file.name}": code_digest(file) for file in files}


def _contents(samples: Sequence[Nodule | Candidate | FalseFinding | Votes]) -> Iterable[bytes]:
    for sample in samples:
        for field in fields(sample):
            value = getattr(sample, field.name)
            if isinstance(value, Votes):
                yield from _contents([value])
            else:
                yield value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()


def _flat(prefix: str, value: object) -> Facts:
    if isinstance(value, dict):
        return {k: v for name, part in value.items() for k, v in _flat(f"{prefix}.{name}".lstrip("."), part).items()}
    return {prefix: json.dumps(value)}
