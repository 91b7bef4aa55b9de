"""The words and colours of the legend can be read by everybody."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from fontTools.ttLib import TTFont

from app.comparison import words as words_of_verdicts
from app.explain import captions
from app.explain.canvas import MIN_WIDTH_PX, font_bytes, text_width, wrapped
from app.explain.figures import axes_words, millimetres, percent, series_hash
from app.explain.legend import append_legend, finding_line, headline
from app.explain.palette import AGAINST, FOR, blend
from app.imaging.ct import QualityNote
from app.inference import finding_words, reason_words, vocabulary
from app.inference.model import Model
from app.inference.prediction import NEUTRAL_EVIDENCE, Prediction, Series
from app.reports import comparison_words, page_words
from benchmarks.font import TABLES, signs, words
from tests.explain.planted import plant, point_at

DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
)
NOT_IN_NOTO = {"✕"}  # of a pattern of text, never written


def test_font_has_every_character_that_may_be_drawn() -> None:
    known = TTFont(BytesIO(font_bytes())).getBestCmap()
    missing = {sign for text in words() for sign in text if ord(sign) not in known}
    assert not missing, "cut the font again: python -m benchmarks.font"
    assert {sign for sign in signs() if ord(sign) not in known} <= NOT_IN_NOTO
    assert ord("龘") not in known  # what it lacks is noticed


def test_every_table_of_words_is_in_both_languages_and_in_the_font() -> None:
    """What a module of words declares is what the font is cut for."""
    modules = (captions, finding_words, reason_words, vocabulary, page_words, comparison_words, words_of_verdicts)
    for module in modules:
        for name, table in vars(module).items():
            if name.endswith(("_WORDS", "_NAMES", "CAPTIONS")):
                assert table in TABLES or table is vocabulary.TRAIT_WORDS or table is finding_words.SLICE_WORDS, name
    for table in TABLES:
        for code, each in table.items():
            assert each.keys() == {"en", "zh"}, code
            assert all(text.strip() for text in each.values()), code


@pytest.mark.parametrize(
    ("probability", "text"), [(0.0, "<1 %"), (0.004, "<1 %"), (0.87, "87 %"), (0.996, ">99 %"), (1.0, ">99 %")]
)
def test_percentages_never_claim_certainty(probability: float, text: str) -> None:
    assert percent(probability) == text


def test_lengths_on_an_assumed_spacing_are_marked(model: Model) -> None:
    prediction = point_at(plant(), model)
    assert millimetres(8.43, prediction) == "8.4 mm"
    rough = replace(prediction, quality=(QualityNote("spacing_assumed", "warning", "…"),))
    assert millimetres(8.43, rough) == "~8.4 mm"


def test_the_decision_of_a_series_is_not_taken_for_that_of_its_slice(model: Model) -> None:
    prediction = point_at(plant(), model)
    assert headline(prediction, "en") == "Suspicious for lung cancer, 80 %"
    of_series = replace(prediction, series=Series(5, 2.5, None, None, ()))
    assert headline(of_series, "en") == "Whole series: Suspicious for lung cancer, 80 %"
    assert headline(of_series, "zh") == "整个序列: 肺癌(疑似)，80 %"


def test_a_finding_is_said_in_one_line(model: Model) -> None:
    prediction = point_at(plant(), model)
    (finding,) = prediction.findings
    assert finding.size is not None
    size = axes_words(finding.size, prediction)
    said = finding_line(replace(finding, suspicion="low"), prediction, "en")
    assert said.startswith(f"Finding 1: probability of malignancy 80 %, {size}, mean ")
    assert said.endswith(", side not told, not counted")
    unjudged = replace(finding, probability=None, size=None)
    assert finding_line(unjudged, prediction, "zh") == "所见 1: 未判读，左右未定"


def test_words_are_broken_between_words_and_before_no_punctuation() -> None:
    width = text_width("Suspicious nodules may", 13)
    assert wrapped("Suspicious nodules may be missed", 13, width) == ["Suspicious nodules may", "be missed"]
    lines = wrapped("部分肺无气体，该处未判读", 13, text_width("部分肺无气体", 13))
    assert lines == ["部分肺无气", "体，该处未判", "读"]
    assert wrapped("unbreakable", 13, 1.0) == ["unbreakable"]


def test_what_is_withheld_and_what_to_bear_in_mind_stand_below(model: Model) -> None:
    prediction = replace(
        point_at(plant(), model), quality=(QualityNote("nodules_may_be_missed", "warning", "…", bars_normal=True),)
    )
    picture = np.zeros((10, MIN_WIDTH_PX, 3), np.uint8)

    def rows(each: Prediction) -> int:
        return len(append_legend(picture, each, each.findings, model="m", language="en"))

    bare = replace(prediction, quality=())
    assert rows(prediction) > rows(bare)
    withheld = replace(bare, decision="indeterminate", reasons=("near_operating_point",))
    assert rows(withheld) > rows(bare)


def test_a_series_is_told_by_a_hash_that_says_nothing_of_it() -> None:
    assert series_hash("1.2.3") != series_hash("1.2.4")
    assert series_hash(None) is None
    told = series_hash("1.2.3")
    assert told is not None
    assert len(told) == 8


def lightness(
    rgb: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """CIE L* of sRGB values 0-255."""
    linear = np.where(rgb / 255 <= 0.04045, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return np.asarray(np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance))


@pytest.mark.parametrize("grey", [0, 40, 110])
def test_stronger_evidence_looks_stronger(grey: int) -> None:
    values = np.linspace(0, 1, 101, dtype=np.float32)[None]
    rgb = blend(np.full(values.shape, grey, np.uint8), values)[0].astype(np.float64)
    distance = np.linalg.norm(rgb - grey, axis=1)
    middle = 50
    assert (np.diff(distance[middle:]) >= 0).all()
    assert (np.diff(distance[: middle + 1]) <= 0).all()
    assert distance[middle] == 0
    assert (np.diff(lightness(rgb[middle:])) >= -0.2).all()  # towards suspicion it also grows lighter


def test_both_directions_differ_without_red_or_green() -> None:
    """Under deuteranopia (Machado 2009) the two hues stay apart in blue against yellow and in lightness."""
    deuteranopia = np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    )
    seen = np.array([FOR, AGAINST]) @ deuteranopia.T
    assert np.linalg.norm(seen[0] - seen[1]) > 150
    assert abs(np.subtract(*lightness(np.clip(seen, 0, 255)))) > 20


def test_neutral_evidence_is_transparent() -> None:
    grey = np.arange(256, dtype=np.uint8)[None]
    rgb = blend(grey, np.full(grey.shape, NEUTRAL_EVIDENCE, np.float32))
    assert (rgb == grey[..., None]).all()
