"""Write app/web/example-slice.dcm, the generated CT slice that the documentation's examples send."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from phantoms.slices import EXAMPLE_NODULE, example_slice  # noqa: E402  # found by the line above

OUTPUT = REPOSITORY / "app" / "web" / "example-slice.dcm"


def main() -> None:
    """Write the file and say where its nodule is."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    data = example_slice()
    OUTPUT.write_bytes(data)
    column, row = EXAMPLE_NODULE.centre_px
    print(f"{OUTPUT.relative_to(REPOSITORY)}: {len(data)} bytes, nodule at column,row {column:g},{row:g}")


if __name__ == "__main__":
    main()
