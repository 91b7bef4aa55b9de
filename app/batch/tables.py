"""The tables of a batch as Parquet: a folder each, with part files that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from app.batch.index import Outcome
from app.judgement.finding_rows import OF_PLACE, OF_SIZE, TRAITS
from app.private_files import private_folder, private_opener, sync

TEXT: Final = pa.string()
TEXTS: Final = pa.list_(pa.string())
COUNT: Final = pa.int32()
NUMBER: Final = pa.float64()
IDENTITY: Final = [("number", pa.int64()), ("series", TEXT)]
COUNTED: Final = ("finding", "slice", "slices")
WORDS: Final = ("suspicion", "side", "third", "attenuation")
SERIES: Final = pa.schema(
    [
        *IDENTITY,
        ("study", TEXT),
        ("source", TEXT),
        ("decision", TEXT),
        ("probability", NUMBER),
        ("operating_point", NUMBER),
        ("scan_score", NUMBER),
        ("findings", COUNT),
        ("reasons", TEXTS),
        ("quality", TEXTS),
        ("slices", COUNT),
        ("slice_spacing_mm", NUMBER),
        ("rows", COUNT),
        ("columns", COUNT),
        ("row_spacing_mm", NUMBER),
        ("column_spacing_mm", NUMBER),
        ("classifier", TEXT),
        ("detector", TEXT),
        ("second_look", TEXT),
    ]
)
FINDINGS: Final = pa.schema(
    [
        *IDENTITY,
        ("study", TEXT),
        ("instance", TEXT),
        *(
            (name, COUNT if name in COUNTED else TEXT if name in WORDS else NUMBER)
            for name in (*OF_PLACE, *OF_SIZE, *TRAITS)
        ),
    ]
)
FAILURES: Final = pa.schema([*IDENTITY, ("source", TEXT), ("error_code", TEXT), ("error", TEXT)])
TABLES: Final = {"findings": FINDINGS, "failures": FAILURES, "series": SERIES}


def write_part(folder: Path, number: int, outcomes: Sequence[Outcome]) -> None:
    """Write one part of every table, over what is there of it; raises OSError.

    The same outcomes give the same bytes, so that a part which was written in half of the tables is written again.
    """
    rows = {
        "series": [outcome["series"] for outcome in outcomes if "series" in outcome],
        "findings": [row for outcome in outcomes for row in outcome.get("findings", ())],
        "failures": [outcome["failure"] for outcome in outcomes if "failure" in outcome],
    }
    for name, schema in TABLES.items():
        own = table_folder(folder, name)
        private_folder(own)
        unfinished = own / f".part-{number:06d}.parquet"  # readers of a folder pass over names with a dot
        with open(unfinished, "wb", opener=private_opener) as file:
            pq.write_table(pa.Table.from_pylist(rows[name], schema), file, compression="zstd")
        sync(unfinished)
        unfinished.rename(own / unfinished.name.removeprefix("."))
        sync(own)


def table_folder(folder: Path, name: str) -> Path:
    """Where the parts of a table lie."""
    return folder / f"{name}.parquet"
