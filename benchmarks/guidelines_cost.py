"""What side, lobe, emphysema and all guidelines cost beside judging a series: processor time, in process.

python -m benchmarks.guidelines_cost FOLDER
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from app.cli.models import verified_registry
from app.guidelines.register import GUIDELINES
from app.imaging.emphysema import share_below_950
from app.imaging.lung_frame import lung_frame
from app.imaging.read import quiet_decoders
from app.imaging.volume import CTVolume
from app.imaging.volume_lungs import segment_volume
from app.judgement.answers import answer
from app.judgement.judge import Judge
from app.judgement.parameters import parse_series_parameters
from app.settings import Settings
from app.telemetry import Metrics

CONTEXT = '{"age_years": 62, "sex": "male", "smoking": "former"}'


def seconds(work: Callable[[], object]) -> float:
    """Processor time of this process."""
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    """Judge a series once, then do what was added again, and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    paths = sorted(parser.parse_args().folder.rglob("*.dcm"))
    quiet_decoders()
    registry = verified_registry(Settings())
    registry.load()
    judge = Judge(registry, Metrics(), max_slices=2000)
    asked = parse_series_parameters({"guidelines": ",".join(GUIDELINES), "context": CONTEXT})
    started = time.process_time()
    judgement = judge.files(paths, asked, lambda *_: None, lambda: False)
    judged = time.process_time() - started
    volume = judgement.image
    if not isinstance(volume, CTVolume):
        raise TypeError("a series is judged")
    lungs = segment_volume(volume)
    parts = {
        "side and height": seconds(lambda: lung_frame(volume, lungs, whole=True)),
        "share below -950 HU": seconds(lambda: share_below_950(volume, lungs)),
        "guidelines, and the answer": seconds(lambda: answer(judgement, "en", "")),
    }
    findings = len(judgement.prediction.findings)
    lines = [f"{len(volume)} slices, {findings} findings: judged in {judged:.2f} s of the processor"]
    lines += [f"{name}: {spent * 1000:.1f} ms, {spent / judged:.2%}" for name, spent in parts.items()]
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
