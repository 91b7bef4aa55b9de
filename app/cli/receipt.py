"""`lungscope receipt verify`: is a receipt genuine, and does its image give its result again?"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from app.audit.receipts import Conditions, Receipt, digest_of, from_header
from app.cell.cells import CellLimits, decoder_of
from app.cli.exits import OK, SOME_FAILED
from app.cli.inputs import Selection, Task
from app.cli.models import verified_opinions, verified_registry
from app.errors import DecoderUnavailable, InputError
from app.imaging.read import quiet_decoders
from app.inference.registry import ModelRegistry
from app.inference.vocabulary import Language
from app.judgement.answers import answer
from app.judgement.conditions import conditions_of
from app.judgement.judge import Judge, Judgement
from app.judgement.parameters import parse_parameters, parse_series_parameters, with_unknown
from app.judgement.repetition import compare
from app.judgement.result_digest import result_bytes
from app.settings import MEGABYTE, Settings
from app.signing import VerifyingKey
from app.telemetry import Metrics

BESIDE: Final = ("language", "of")  # what a receipt says among the parameters that is none
KNOWN_RUNTIMES: Final = ("openvino", "tensorflow")


@dataclass(frozen=True, slots=True)
class Document:
    """A receipt, and the answer that it came in, if it did."""

    receipt: Receipt
    answer: Mapping[str, Any] | None


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Check the signature, and with an image judge it again; returns OK, or SOME_FAILED for what does not hold.

    Raises StartupError.
    """
    key = VerifyingKey.read(options.key)
    try:
        document = _read(options.file)
        if not _is_genuine(document, key):
            return SOME_FAILED
        if options.image is None:
            return OK
        return _judge_again(document, options.image, settings)
    except (DecoderUnavailable, InputError) as error:
        print(f"lungscope: {error}", file=sys.stderr)
        return SOME_FAILED


def _read(path: Path) -> Document:
    """The receipt in a file; raises MalformedInput."""
    text = path.read_text("utf-8", "replace").strip()
    try:
        members = json.loads(text)
    except ValueError:
        members = from_header(text.rpartition(":")[2].strip())
    if isinstance(members, dict) and "receipt" in members:
        return Document(Receipt.read(members["receipt"]), members)
    return Document(Receipt.read(members), None)


def _is_genuine(document: Document, key: VerifyingKey) -> bool:
    receipt = document.receipt
    signed = receipt.is_signed_by(key)
    print(f"signature: {'genuine' if signed else 'FALSE'}, by key {receipt.text('key')}, of {receipt.text('time')}")
    if not signed:
        return False
    if document.answer is None:
        return True
    own = digest_of(result_bytes(document.answer)) == receipt.text("result")
    print(f"answer: {'as it was signed' if own else 'NOT the one that was signed'}")
    return own


def _judge_again(document: Document, image: Path, settings: Settings) -> int:
    receipt = document.receipt
    registry = verified_registry(_as_then(receipt, settings))
    opinions = verified_opinions(settings)
    optional = () if opinions.network is None else (opinions.network,)
    bundles = (*registry.bundles, registry.view_bundle, *optional)
    models = {f"{b.manifest.name}/{b.manifest.version}": b.digest for b in bundles}
    if others := [name for name, digest in receipt.table("models").items() if models.get(name) != digest]:
        print(f"models: OTHERS than signed: {', '.join(others)}")
        return SOME_FAILED
    print("models: those that were signed")
    quiet_decoders()
    limits = CellLimits(settings.decoder_mb * MEGABYTE, settings.decoder_seconds)
    with decoder_of(settings.decoding, limits) as decoder:
        decoder.launch()
        registry.load()
        opinions.load()
        judge = Judge(registry, Metrics(), settings.max_slices, opinions, keep_digests=True, decoder=decoder)
        judgement = _judged(image, receipt, judge)
    if judgement.input_digest != receipt.text("input"):
        print("image: ANOTHER than the one that was judged")
        return SOME_FAILED
    print("image: the one that was judged")
    language: Language = "zh" if receipt.table("parameters").get("language") == "zh" else "en"
    return _compare(document, json.loads(json.dumps(answer(judgement, language, ""))), registry)


def _compare(document: Document, again: Mapping[str, Any], registry: ModelRegistry) -> int:
    receipt = document.receipt
    tolerance = registry.bundle.manifest.golden.tolerance
    comparison = compare(receipt, document.answer, again, tolerance)
    others = _other_conditions(receipt, conditions_of(registry))
    where = f"under other conditions ({', '.join(others)})" if others else "on the same processor, runtime and code"
    if comparison.verdict == "equal":
        print(f"result: equal bit for bit, {where}")
        return OK
    if comparison.verdict == "within tolerance" and others:
        print(f"result: equal within {tolerance:g}, the tolerance of the golden case, {where}")
        return OK
    print(f"result: DIFFERS, {where}")
    for difference in comparison.differences[:10]:
        print(f"  {difference}")
    return SOME_FAILED


def _other_conditions(receipt: Receipt, now: Conditions) -> list[str]:
    tables = {"code": now.code, "settings": now.settings, "runtime": now.runtime}
    return [
        name
        for table, own in tables.items()
        for name in sorted({**own, **receipt.table(table)})
        if own.get(name) != receipt.table(table).get(name)
    ]


def _as_then(receipt: Receipt, settings: Settings) -> Settings:
    """The settings with the operating point of the receipt, and its runtime where that is a name we know."""
    then = receipt.table("settings")
    update: dict[str, object] = {"operating_point": float(then["operating_point"])}
    backend = then.get("backend")
    if backend in KNOWN_RUNTIMES and settings.backend == "auto" and find_spec(backend) is not None:
        update["backend"] = backend
    return settings.model_copy(update=update)


def _judged(image: Path, receipt: Receipt, judge: Judge) -> Judgement:
    signed = receipt.table("parameters")
    texts = with_unknown({name: text for name, text in signed.items() if name not in BESIDE})
    if signed.get("of") != "series":
        return judge.slice(image.read_bytes(), parse_parameters(texts))
    found = Selection().tasks([image]) if image.is_dir() else [Task(image)]
    paths = [path for task in found for path in task.series or (task.path,)]
    return judge.files(paths, parse_series_parameters(texts), _no_progress, lambda: False)


def _no_progress(_stage: str, _done: int, _of: int) -> None:
    pass
