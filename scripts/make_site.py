"""Write a table of generated nodules with its DICOM slices, to try training and acceptance on: docs/own-model.md."""

import argparse
from pathlib import Path


def main() -> None:
    """Parse arguments and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a folder: gets nodules.csv and scans/")
    parser.add_argument("--patients", type=int, default=24, help="with two nodules each")
    parser.add_argument("--seed", type=int, default=11, help="another one gives other patients")
    given = parser.parse_args()

    from phantoms.site import write_site

    table = write_site(given.out, given.patients, given.seed)
    print(f"wrote {table}: {given.patients} patients, {2 * given.patients} nodules")


if __name__ == "__main__":
    main()
