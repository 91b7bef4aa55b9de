"""The tables of docs/scan.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from benchmarks.proportions import in_words
from benchmarks.scan import agreement, chest_slices, curves, planted_series
from benchmarks.scan.answers import Answer
from benchmarks.scan.chest_slices import ChestRow
from benchmarks.scan.false_alarms import FalseAlarms, WholeSeries, decisions
from benchmarks.scan.planted_series import SeriesPlanting
from benchmarks.scan.planted_slices import MASSES_MM, SlicePlanting
from benchmarks.scan.reformats import Cut
from benchmarks.scan.results import ScanResults
from training.data.nodules import INDETERMINATE

BEGIN, END = "<!-- figures: make scan -->", "<!-- end of figures -->"
SERIES_SCORES: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8)
VERDICTS: Final = ("suspected", "open", "shown", "normal", "rejected", "nothing")
WAYS: Final = (("roi", "by_slice"), ("roi", "by_series"), ("by_slice", "by_series"))


def page_of(page: str, text: str) -> str:
    """A page with its part between the marks replaced; raises ValueError without them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def tables(found: ScanResults, before: ScanResults | None) -> str:
    """Every part that was run, in Markdown; `before` stands beside it where it was measured too."""
    parts: list[str] = []
    earlier = before.false_alarms if before else None
    if found.chest_slices is not None:
        parts += ["### Chest slices", _chest_counts(found.chest_slices, before.chest_slices if before else None)]
        parts += [_chest(found.chest_slices)]
    if found.false_alarms is not None:
        parts += ["### Where nothing is", _slices(found.false_alarms, earlier)]
        parts += [_series_parts(found.false_alarms), _whole(found.false_alarms, earlier)]
        parts += [_known(found.false_alarms)]
    if found.planted_series is not None:
        parts += ["### Planted through series", _planted_series(found)]
    if found.planted_slices is not None:
        parts += ["### Planted on slices", _planted_slices(found), _curve(found)]
    if found.agreement is not None:
        parts += ["### Agreement of roi, slice and series", _agreement(found.agreement)]
    if found.reformats is not None:
        parts += ["### Other planes, scales and parts", _cuts(found.reformats.cuts), _cases(found)]
    return "\n\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _said(answer: Answer) -> str:
    reasons = ", ".join(answer.reasons)
    return f"{answer.decision} ({reasons})" if reasons else answer.decision


def _chest(rows: Sequence[ChestRow]) -> str:
    pictures = {row.file: row for row in rows if row.source == "picture"}
    marks = {True: "yes", False: "**no**", None: ""}
    lines = [
        (r.file[:4], r.region, r.reading, r.network, _said(r.answer), _said(pictures[r.file].answer),
         len(r.answer.findings), "yes" if r.near else "", marks[r.as_asked], marks[pictures[r.file].as_asked])
        for r in rows if r.source == "dicom"
    ]  # fmt: skip
    head = ("slice", "region", "reading", "network", "as DICOM", "as picture", "findings", "near the point", "as asked",
            "picture as asked")  # fmt: skip
    return _table(head, lines)


def _chest_counts(rows: Sequence[ChestRow], before: Sequence[ChestRow] | None) -> str:
    asked: tuple[tuple[str, str, Callable[[ChestRow], bool], Callable[[ChestRow], bool]], ...] = (
        ("mass or part-solid nodule: found, or indeterminate", "all", lambda r: r.kind == "lesion", _as_asked),
        ("consolidation or diffuse disease: never normal", "all", lambda r: r.kind == "opaque", _as_asked),
        ("abdomen, pelvis, neck: rejected", "all", lambda r: r.kind == "elsewhere", _as_asked),
        ("chest with an empty reading: suspected", f"≤ {chest_slices.MOST_ALARMS}", lambda r: r.kind == "plain",
         lambda r: r.answer.decision == "cancer_suspected"),
        ("chest with an empty reading: indeterminate", "", lambda r: r.kind == "plain",
         lambda r: r.answer.decision == "indeterminate"),
        ("lung base, on the side, emphysema, calcified pleura: suspected", "none outside the lung",
         lambda r: r.kind == "other", lambda r: r.answer.decision == "cancer_suspected"),
    )  # fmt: skip
    lines = []
    for name, bound, chosen, counted in asked:
        figures = [_of(rows, source, chosen, counted) for source in ("dicom", "picture")]
        figures.append(_of(before, "dicom", chosen, counted) if before else "")
        lines.append((name, bound, *figures))
    return _table(("rows", "asked", "as DICOM", "as picture", "as DICOM before"), lines)


def _as_asked(row: ChestRow) -> bool:
    return bool(row.as_asked)


def _of(
    rows: Sequence[ChestRow], source: str, chosen: Callable[[ChestRow], bool], counted: Callable[[ChestRow], bool]
) -> str:
    some = [row for row in rows if row.source == source and chosen(row)]
    return f"{sum(map(counted, some))} of {len(some)}"


def _slices(found: FalseAlarms, before: FalseAlarms | None) -> str:
    scans = list(dict.fromkeys(alarm.scan for alarm in found.slices))
    lines = []
    for name, chosen in (*((scan, [scan]) for scan in scans), ("all", scans)):
        answers = [a.answer for a in found.slices if a.scan in chosen]
        said = decisions(answers)
        others = ", ".join(
            f"{n} {what}" for what, n in sorted(said.items()) if what not in ("cancer_suspected", "normal")
        )
        earlier = [a.answer for a in before.slices if a.scan in chosen] if before else []
        was = in_words(decisions(earlier)["cancer_suspected"], len(earlier))
        judged = sum(a.decision != "rejected" for a in answers)
        suspected = said["cancer_suspected"]
        shares = in_words(suspected, len(answers)), in_words(suspected, judged), was
        lines.append((name, *shares, said["normal"], others))
    head = ("slices without lesion", "suspected (95 %)", "of those judged", "of all, before", "normal", "others")
    return _table(head, lines)


def _series_parts(found: FalseAlarms) -> str:
    lines = [
        (p.scan, f"{p.first} to {p.last}", _said(p.answer), len(p.answer.findings),
         sum(f.suspicion == "suspected" for f in p.answer.findings))
        for p in found.parts
    ]  # fmt: skip
    return _table(("part without lesion", "slices", "as a series", "findings", "suspected"), lines)


def _whole(found: FalseAlarms, before: FalseAlarms | None) -> str:
    earlier = {s.scan: s for s in before.series} if before else {}
    head = ("whole scan", "decision", "known lesions found", "suspected", "other findings", "suspected",
            "highest score", "marked by fewer", "other findings before", "suspected before")  # fmt: skip
    return _table(head, [_whole_row(series, earlier.get(series.scan)) for series in found.series])


def _whole_row(series: WholeSeries, earlier: WholeSeries | None) -> Sequence[object]:
    lesions = series.lesions
    was = (earlier.others, earlier.other_suspected) if earlier else ("", "")
    found = (sum(lesion.listed for lesion in lesions), sum(lesion.suspected for lesion in lesions))
    return (series.scan, _said(series.answer), f"{found[0]} of {len(lesions)}", found[1], series.others,
            series.other_suspected, _score(series.best_other), series.marked, *was)  # fmt: skip


def _known(found: FalseAlarms) -> str:
    lines = [
        (series.scan, f"{k.diameter_mm:.0f}", k.readers or "", "yes" if k.listed else "**no**",
         "yes" if k.suspected else "", _score(k.score))
        for series in found.series for k in series.lesions
    ]  # fmt: skip
    return _table(("known lesion of", "mm", "readers", "listed", "suspected", "score"), lines)


def _score(score: float | None) -> str:
    return "" if score is None else f"{score:.1f}"


def _planted_series(results: ScanResults) -> str:
    parts = results.planted_series or ()
    plantings = [p for part in parts for p in part.plantings]
    lines = []
    for low, high in planted_series.BANDS_MM:
        for setting in ("free", "wall"):
            some = [p for p in plantings if p.setting == setting and low <= p.diameter_mm < high]
            if some:
                enlarged = sum(p.enlarged > 1 for p in some)
                lines.append((f"{low:g} to {high:g} mm", setting, len(some), enlarged, *_listed(some)))
    target = [p for p in plantings if planted_series.is_target(p)]
    lines.append(("suspicious solid, 6 mm and more", "as scanned", len(target), 0, *_listed(target)))
    left_out = "; ".join(f"{p.scan}: {p.series} series, left out {_counts(p.left_out)}" for p in parts)
    found = _table(("diameter", "where", "plantings", "enlarged", "listed", "suspected"), lines)
    return f"{found}\n\n{left_out}.\n\n{_series_curve(plantings, target)}"


def _series_curve(plantings: Sequence[SeriesPlanting], target: Sequence[SeriesPlanting]) -> str:
    """How many reach a score, whatever the classifier says of them."""
    groups = {
        "suspicious solid, 6 mm and more": target,
        "20 mm and more, free": [p for p in plantings if p.diameter_mm >= 20 and p.setting == "free"],
        "20 mm and more, wall": [p for p in plantings if p.diameter_mm >= 20 and p.setting == "wall"],
        "benign": [p for p in plantings if p.enlarged == 1 and p.median_rating < INDETERMINATE],
    }
    lines = [(f"{score:g}", *(_reached(group, score) for group in groups.values())) for score in SERIES_SCORES]
    return _table(("reach the score", *groups), lines)


def _reached(plantings: Sequence[SeriesPlanting], score: float) -> str:
    return f"{sum(p.score is not None and p.score >= score for p in plantings)} of {len(plantings)}"


def _listed(plantings: Sequence[SeriesPlanting]) -> tuple[str, str]:
    of = len(plantings)
    return in_words(sum(p.listed for p in plantings), of), in_words(sum(p.suspected for p in plantings), of)


def _planted_slices(results: ScanResults) -> str:
    plantings = [p for part in results.planted_slices or () for p in part.plantings]
    lines = [_slice_row(name, [p for p in plantings if kind(p)]) for name, kind in curves.KINDS.items()]
    targets = [p for p in plantings if curves.is_target(p)]
    scans = dict.fromkeys(p.scan for p in targets)
    lines += [_slice_row(f"the first, in {scan}", [p for p in targets if p.scan == scan]) for scan in scans]
    masses = [p for p in plantings if p.kind == "mass"]
    lines += [
        _slice_row(f"masses of {mm:g} mm", [p for p in masses if abs(p.diameter_mm - mm) < 1]) for mm in MASSES_MM
    ]
    head = ("planted on a slice", "plantings", "listed", "suspected", "slice suspected", "indeterminate", "normal")
    return _table(head, lines)


def _slice_row(name: str, some: Sequence[SlicePlanting]) -> Sequence[object]:
    said = Counter(p.decision for p in some)
    counts = [said[decision] for decision in ("cancer_suspected", "indeterminate", "normal")]
    return (name, len(some), sum(p.listed for p in some), in_words(sum(p.suspected for p in some), len(some)), *counts)


def _curve(results: ScanResults) -> str:
    kinds = list(curves.KINDS)
    points = [
        (f"{p.false_alarms:.3f}", f"{p.score:.2f}", *(f"{p.sensitivity[kind]:.2f}" for kind in kinds))
        for p in results.curve or ()
    ]
    others = [
        (o.scan, f"{o.score:.2f}", f"{o.false_alarms:.3f} of {o.slices}", f"{o.sensitivity:.2f} of {o.plantings}")
        for o in results.by_others or ()
    ]
    own = _table(("scan", "score chosen by the others for 0.05", "false alarms", kinds[0]), others)
    return f"{_table(('slices without lesion suspected', 'score', *kinds), points)}\n\n{own}"


def _agreement(places: Sequence[agreement.PlaceSaid]) -> str:
    sources = Counter[str](p.source for p in places)
    opposed = Counter(pair for p in places for pair in p.contradictions)
    some = sum(bool(p.contradictions) for p in places)
    words = f"{len(places)} places ({_counts(sources)}). Contradicted at {some}: {_counts(opposed) or 'none'}."
    return "\n\n".join([words, *(_crossed(places, one, other) for one, other in WAYS)])


def _crossed(places: Sequence[agreement.PlaceSaid], one: str, other: str) -> str:
    counts = agreement.table(places, one, other)
    rows = [v for v in VERDICTS if any(counts[v, w] for w in VERDICTS)]
    columns = [w for w in VERDICTS if any(counts[v, w] for v in VERDICTS)]
    head = (f"{one} \\ {other}".replace("by_", ""), *columns)
    return _table(head, [(v, *(counts[v, w] for w in columns)) for v in rows])


def _cuts(cuts: Sequence[Cut]) -> str:
    lines = []
    for plane in dict.fromkeys(c.plane for c in cuts):
        for form in dict.fromkeys(c.form for c in cuts):
            some = [c for c in cuts if (c.plane, c.form) == (plane, form)]
            said = Counter(c.decision or "refused" for c in some)
            reasons = Counter(r for c in some if c.decision == "rejected" for r in c.reasons)
            lines.append((plane, form, len(some), *(said[d] for d in ("rejected", "indeterminate", "cancer_suspected",
                          "normal")), _counts(reasons)))  # fmt: skip
    head = ("plane", "form", "cuts", "rejected", "indeterminate", "suspected", "normal", "rejected for")
    return _table(head, lines)


def _cases(results: ScanResults) -> str:
    cases = results.reformats.cases if results.reformats else ()
    lines = [(c.case, c.what, c.decision or "refused", ", ".join(c.reasons), ", ".join(c.warnings)) for c in cases]
    return _table(("changed", "sent as", "decision", "reasons", "said beside it"), lines)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {what}" for what, n in counts.items())
