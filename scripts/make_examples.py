"""Write the answers that the docs pages show, as the shipped service gives them, and the series they offer, if absent.

Run it again when the models, the words or the shape of answers have changed: tests/test_examples.py says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from benchmarks.serving.examples import ANSWERS_FILE, REQUESTS, WEB  # noqa: E402  # found by the line above
from benchmarks.serving.service import Service  # noqa: E402
from phantoms.series import SLICES, slice_file, zipped  # noqa: E402


def main() -> None:
    """Start the service, ask twice (the first answer's times are those of a start), write the second."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    series = WEB / "example-series.zip"
    if not series.exists():
        series.write_bytes(zipped([slice_file(n) for n in range(SLICES)]))
    service = Service()
    service.wait_until_ready()
    for _ in range(2):
        answers = {name: request.answer(service.url("")) for name, request in REQUESTS.items()}
    service.process.terminate()
    service.end()
    ANSWERS_FILE.write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"{ANSWERS_FILE.relative_to(REPOSITORY)}: {', '.join(answers)}")


if __name__ == "__main__":
    main()
