"""What `lungscope accept` does: a bundle on a site's own cases, the record, and a recalibrated version if asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.inference.bundle import Bundle, file_digest, load_bundle
from training.data.datasets import read_dataset
from training.data.nodules import INDETERMINATE, Dataset
from training.data.references import References
from training.data.table_rows import read_column
from training.evaluation.acceptance import accept
from training.evaluation.bundle_study import Graph, bundle_study, warnings_of, with_input
from training.evaluation.measurable import with_readers_of
from training.evaluation.study import Study
from training.evaluation.subgroups import measure_subgroups
from training.fitting.config import Config, load_config
from training.reporting import charts
from training.reporting.acceptance_record import Cases, Recalibrated, Record, inventory_of, record_of, write_record
from training.reporting.predictions_table import PREDICTIONS_TABLE, write_predictions
from training.reporting.recalibrated import recalibrate, require_new_version

CONFIG: Final = Path(__file__).parents[1] / "configs" / "default.toml"  # how figures are measured
MAX_GROUPS: Final = 12  # of a column to group by: more are hardly groups


@dataclass(frozen=True, slots=True)
class Served:
    """A bundle as it would be served: what runs it, and the site's operating point if it has one."""

    bundle: Bundle
    graph: Graph
    software: str
    runtime: str
    site_threshold: float | None


def accept_locally(
    served: Served,
    table: Path,
    folder: Path,
    *,
    recalibrated: Path | None = None,
    tested_by: str | None = None,
    by: Sequence[str] = (),
) -> tuple[Record, Path]:
    """Judge the table's nodules, write the record into `folder`, and return it with the path of record.json.

    Raises what reading the table raises, and BundleError when `recalibrated` is not free.
    """
    if recalibrated is not None:
        require_new_version(served.bundle, recalibrated)
    groups = {column: read_column(table, column, MAX_GROUPS) for column in by}
    dataset, config = read_dataset(table), load_config(CONFIG)
    config, remarks = with_readers_of(dataset, config)
    config = with_input(config, served.bundle.manifest)
    study = bundle_study(served.bundle, served.graph, dataset, config, References(), served.site_threshold)
    manifest, own = served.bundle.manifest, served.site_threshold is not None
    made = None if recalibrated is None else _recalibrated(served, study, dataset, config, recalibrated)
    record = record_of(
        inventory_of(served.bundle, served.software, served.runtime, served.site_threshold),
        _cases(table, dataset, (*warnings_of(manifest, dataset)[:-1], *dataset.remarks, *remarks)),
        accept(study, manifest, config, own_threshold=own),
        measure_subgroups(study, config, _in_order(groups, study)),
        made,
        tested_by,
    )
    path = write_record(folder, record, _pictures(study, config))
    write_predictions(folder / PREDICTIONS_TABLE, study)
    return record, path


def _in_order(groups: Mapping[str, Mapping[int, str]], study: Study) -> dict[str, NDArray[np.str_]]:
    """Values by row number as values of the study's nodules, in its order."""
    return {column: np.array([of_row[case.nodule_id] for case in study.cases]) for column, of_row in groups.items()}


def _recalibrated(served: Served, study: Study, dataset: Dataset, config: Config, folder: Path) -> Recalibrated:
    manifest = recalibrate(served.bundle, study, dataset, config, folder, "lungscope accept --recalibrate")
    parent = manifest.lineage.parent if manifest.lineage else None
    return Recalibrated(
        version=manifest.version, digest=load_bundle(folder).digest, change=parent.change if parent else ""
    )


def _cases(table: Path, dataset: Dataset, warnings: tuple[str, ...]) -> Cases:
    medians = [n.median_malignancy for n in dataset.nodules]
    return Cases(
        table=f"sha256:{file_digest(table)}",
        data=dict(dataset.digests).get("table", ""),
        nodules=len(medians),
        patients=len(dataset.patients),
        suspicious=sum(m > INDETERMINATE for m in medians),
        benign=sum(m < INDETERMINATE for m in medians),
        indeterminate=sum(m == INDETERMINATE for m in medians),
        warnings=warnings,
    )


def _pictures(study: Study, config: Config) -> list[tuple[str, bytes]]:
    drawn = (
        ("ROC over nodules", charts.roc(study, config)),
        ("ROC over patients", charts.case_roc(study, config)),
        ("Reliability (bars: 95 % interval of a share)", charts.reliability(study, config)),
    )
    return [(title, png) for title, png in drawn if png is not None]
