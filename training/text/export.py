"""Writes the report tagger's bundle: SavedModel, vocabulary, manifest, golden case and card."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final  # keras and tensorflow are untyped

import numpy as np

from app.inference.bundle import (
    GoldenCase,
    Interval,
    TrainingData,
)
from app.text.tagger import (
    OUTPUT,
    VOCABULARY_FILE,
    TaggerLabel,
    TaggerManifest,
    TaggerPerformance,
    TextContract,
    vocabulary_text,
)
from app.text.tokens import encode, numbers_of
from training.data.nodules import DatasetMalformed
from training.reporting.bundles import (
    Identity,
    golden_case,
    identity_of,
    load_signature,
    save_signature,
    write_bundle,
)
from training.text.artefacts import TaggerRun, TrainedTagger
from training.text.card import write_tagger_card
from training.text.fit import mean_probability
from training.text.reports import LABELS, LANGUAGES
from training.text.study import TaggerResults, weights_digest

INTENDED_USE: Final = (
    "Research on reading chest CT reports of lung cancer before treatment: it says which TNM descriptor a sentence "
    "bears on. Not a medical device; no staging, diagnosis or treatment decision may rest on it."
)
SOURCE: Final = (
    "RadNLP 2024 dataset, Nakamura et al., RadNLP organisers (NTCIR-18), https://huggingface.co/datasets/RadNLP/"
    "RadNLP2024_main_task and RadNLP2024_sub_task; joined into one file, line ends trimmed, case_guess added"
)
INPUT: Final = "ids"
LICENCE: Final = "CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)"
MEANINGS: Final = {
    "omittable": TaggerLabel(
        name="omittable", meaning="nothing but negative findings, or nothing to do with the stage", axis=None
    ),
    "measure": TaggerLabel(name="measure", meaning="size of the primary tumour", axis="T"),
    "extension": TaggerLabel(name="extension", meaning="spread of the primary tumour", axis="T"),
    "atelectasis": TaggerLabel(name="atelectasis", meaning="atelectasis or obstructive pneumonia", axis="T"),
    "satellite": TaggerLabel(
        name="satellite", meaning="malignant lesions in the lung apart from the primary tumour", axis="T"
    ),
    "lymphadenopathy": TaggerLabel(name="lymphadenopathy", meaning="regional lymph nodes", axis="N"),
    "pleural": TaggerLabel(name="pleural", meaning="pleural or pericardial effusion or dissemination", axis="M"),
    "distant": TaggerLabel(name="distant", meaning="distant metastasis", axis="M"),
}
# Written for this purpose; in both languages, so that every part of the vocabulary is heard.
GOLDEN: Final = (
    "A mass of 34 mm with spiculated margins is seen in the right upper lobe.",
    "It invades the chest wall.",
    "Hilar lymph nodes are enlarged.",
    "No pleural effusion.",
    "右上葉に34mmの腫瘤を認めます。",
    "胸水は認めません。",
)


def export_tagger(
    trained: TrainedTagger, results: TaggerResults, folder: Path, *, force: bool = False
) -> TaggerManifest:
    """`write_bundle` of the tagger. Raises DatasetMalformed when `results` were measured with other weights."""
    if results.weights != (found := weights_digest(trained.members)):
        raise DatasetMalformed(
            found=f"figures of weights {results.weights}",
            expected=f"those of the trained tagger, {found}",
            remedy="Run scripts/report_tagger.py evaluate on these weights first.",
        )

    def fill(part: Path) -> TaggerManifest:
        save_graph(trained, part)
        (part / VOCABULARY_FILE).write_text(vocabulary_text(trained.run.vocabulary), "utf-8")
        return _manifest(trained, results, _golden(part, trained.run), identity_of(folder, part))

    return write_bundle(folder, fill, lambda path, manifest: write_tagger_card(path, manifest, results), force=force)


def save_graph(trained: TrainedTagger, folder: Path) -> None:
    """Write the SavedModel; OpenVINO reads its loops over tokens too."""

    def labels(ids: Any) -> dict[str, Any]:
        return {OUTPUT: mean_probability(trained.members, ids)}

    save_signature(folder, labels, (*trained.run.config.input.shape, 1), INPUT, *trained.members)


def _manifest(trained: TrainedTagger, results: TaggerResults, golden: GoldenCase, identity: Identity) -> TaggerManifest:
    config, run = trained.run.config, trained.run
    weights = sum(network.count_params() for network in trained.members)
    return TaggerManifest(
        **identity,
        description=(
            f"{_of_members(config.members)} an embedding, a bidirectional GRU over the tokens of a sentence (English "
            f"words, Japanese characters) and one over the sentences; {weights:,} parameters. labels are "
            "probabilities, not calibrated."
        ),
        intended_use=INTENDED_USE,
        input=TextContract(sentences=config.input.sentences, tokens=config.input.tokens),
        outputs=(OUTPUT,),
        languages=LANGUAGES,
        labels=tuple(MEANINGS[label] for label in LABELS),
        threshold=config.threshold,
        training_data=(_training_data(run),),
        performance=TaggerPerformance(
            command=results.command,
            protocol=results.protocol,
            reports=sum(each.reports for each in results.languages.values()),
            cases=results.cases,
            figures=_figures(results),
        ),
        golden=golden,
    )


def _of_members(count: int) -> str:
    return "One network:" if count == 1 else f"The mean of {count} networks, each"


def _training_data(run: TaggerRun) -> TrainingData:
    return TrainingData(
        source=SOURCE,
        licence=LICENCE,
        patients=None,
        items=run.reports,
        digest=run.data,
        split="the official split train, about 12 CTs; val, 6 other CTs, only measures",
    )


def _figures(results: TaggerResults) -> dict[str, Interval]:
    return {
        f"{language}_{who}_{name}": figure
        for language, measured in results.languages.items()
        for who, figures in (("tagger", measured.tagger), ("baseline", measured.baseline))
        for name, figure in figures.items()
    }


def _golden(folder: Path, run: TaggerRun) -> GoldenCase:
    ids = encode(GOLDEN, numbers_of(run.vocabulary), run.config.input.shape)
    said = load_signature(folder, INPUT)(ids[None])
    return golden_case(
        "sentences written for this purpose (training/text/export.py), as token numbers",
        ids[..., 0].astype(np.int16),
        said,
    )
