"""Whether an audit trail is as it was written; if not, where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from app.audit.anchors import Anchor
from app.audit.chain import chains_in, files_of, lines_of
from app.audit.line import ORIGIN, Line, NotALine

BACKWARDS_S: Final = 1.0  # a clock may be corrected by less without a note (`app.audit.chain.STEP_S`)
MAX_FAULTS: Final = 1000  # of a chain: more say nothing more


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where: the chain, the file, the line of the file from 1."""

    chain: str
    file: str
    line: int
    what: str

    def __str__(self) -> str:
        place = f"{self.chain}/{self.file}:{self.line}" if self.file else self.chain
        return f"{place}: {self.what}"


@dataclass(slots=True)
class ChainReport:
    """What was found in one chain: its lines, its end, faults, and remarks that are none."""

    chain: str
    count: int = 0
    head: str = ORIGIN
    last_time: str = ""
    lines: int = 0
    faults: list[Fault] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def verify(folder: Path, anchors: Iterable[Anchor] = ()) -> list[ChainReport]:
    """Read every chain of a folder, and compare it with anchors. Raises OSError."""
    by_chain: dict[str, list[Anchor]] = {}
    for anchor in anchors:
        by_chain.setdefault(anchor.chain, []).append(anchor)
    reports = [_Reading(path, by_chain.pop(path.name, [])).report() for path in chains_in(folder)]
    for name, missing in sorted(by_chain.items()):
        most = max(anchor.count for anchor in missing)
        gone = Fault(name, "", 0, f"the chain is gone; an anchor says that it had {most} lines")
        reports.append(ChainReport(name, faults=[gone]))
    return reports


class _Reading:
    """One chain, read from its first line to its last."""

    def __init__(self, path: Path, anchors: list[Anchor]) -> None:
        self._path = path
        self._report = ChainReport(path.name)
        self._anchors = anchors
        self._heads = {anchor.count: set[str]() for anchor in anchors}
        for anchor in anchors:
            self._heads[anchor.count].add(anchor.head)
        self._top: Line | None = None
        self._first: tuple[Line, str] | None = None
        self._missing: dict[int, Fault] = {}  # numbers of lines that were not where they belong
        self._expired: dict[int, str] = {}
        self._anchored = 0
        self._unreadable = False

    def report(self) -> ChainReport:
        """What was found."""
        files = files_of(self._path)
        for file in files:
            for number, raw in enumerate(lines_of(file), start=1):
                self._take(file.name, number, raw, last_file=file == files[-1])
        self._check_beginning()
        self._check_anchors()
        if self._top is not None:
            self._report.count, self._report.head = self._top.seq, self._top.hash
            self._report.last_time = self._top.time
        return self._report

    def _take(self, file: str, number: int, raw: bytes, *, last_file: bool) -> None:
        if not raw.endswith(b"\n"):
            if last_file:
                self._report.remarks.append(f"{file}:{number}: the end of a write that was cut short")
            else:
                self._fault(file, number, "it is cut short")
            return
        self._report.lines += 1
        try:
            line = Line.read(raw)
        except NotALine as error:
            self._fault(file, number, str(error))
            self._unreadable = True
            return
        if self._top is None:
            self._first = (line, file)
            self._top = line
        elif line.seq <= self._top.seq:
            self._misplaced(file, number, line)
            return
        else:
            self._check_place(file, number, line, self._top)
            self._check_time(file, number, line, self._top)
            self._top = line
        self._unreadable = False
        self._note(file, number, line)

    def _check_place(self, file: str, number: int, line: Line, before: Line) -> None:
        missing = range(before.seq + 1, line.seq)
        # A line that cannot be read is a fault of its own, and not missing.
        if missing and not (self._unreadable and len(missing) == 1):
            named = f"line {missing[0]}" if len(missing) == 1 else f"lines {missing[0]} to {missing[-1]}"
            fault = self._fault(file, number, f"{named} of the chain should stand before it: cut out")
            self._missing |= dict.fromkeys(missing[:MAX_FAULTS], fault)
        elif not missing and line.previous != before.hash:
            what = f"it follows another line {before.seq} than the one before it: that was replaced, or this"
            self._fault(file, number, what)

    def _misplaced(self, file: str, number: int, line: Line) -> None:
        cut = self._missing.pop(line.seq, None)
        if cut is None:
            self._fault(file, number, f"line {line.seq} of the chain stands here once more")
            return
        if cut not in self._missing.values() and cut in self._report.faults:
            self._report.faults.remove(cut)
        self._fault(file, number, f"line {line.seq} of the chain stands here, behind line {self._top_seq}: reordered")
        self._note(file, number, line)

    def _check_time(self, file: str, number: int, line: Line, before: Line) -> None:
        back_s = before.moment() - line.moment()
        if back_s > BACKWARDS_S and "clock_step_s" not in line.members:
            self._fault(
                file, number, f"its time is {back_s:.0f} s before that of the line before, and no clock was set"
            )

    def _note(self, file: str, number: int, line: Line) -> None:
        if line.members.get("operation") == "expire_trail":
            details = line.members.get("details", {})
            self._expired[details.get("through_seq", 0)] = details.get("through_hash", "")
        heads = self._heads.pop(line.seq, None)
        if heads is None:
            return
        if heads != {line.hash}:
            what = f"it is not the line {line.seq} that an anchor names: written anew after line {self._anchored}"
            self._fault(file, number, what)
        else:
            self._anchored = line.seq

    def _check_beginning(self) -> None:
        if self._first is None:
            return
        line, file = self._first
        known = ORIGIN if line.seq == 1 else self._expired.get(line.seq - 1)
        if line.previous == known:
            if line.seq > 1:
                self._report.remarks.append(f"lines before {line.seq} were deleted after their time")
        elif known is None:
            self._fault(file, 1, f"the {line.seq - 1} lines before it are gone, and no line says that they were old")
        else:
            self._fault(file, 1, f"it follows another line {line.seq - 1} than the one that was deleted")

    def _check_anchors(self) -> None:
        gone_through = 0 if self._first is None else self._first[0].seq - 1
        for count in sorted(self._heads):
            if gone_through < count <= self._top_seq:
                continue  # its line is missing or unreadable, as is said above
            if count > self._top_seq:
                when = max(anchor.time for anchor in self._anchors if anchor.count == count)
                what = f"it ends with line {self._top_seq}; at {when} it had {count}: its end was cut off"
                self._report.faults.append(Fault(self._path.name, "", 0, what))

    @property
    def _top_seq(self) -> int:
        return 0 if self._top is None else self._top.seq

    def _fault(self, file: str, number: int, what: str) -> Fault:
        fault = Fault(self._path.name, file, number, what)
        if len(self._report.faults) < MAX_FAULTS:
            self._report.faults.append(fault)
        return fault


def matching_lines(folder: Path, wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Time and bytes of every line that holds one of these texts as a whole JSON string, in the order of time."""
    marks = [f'"{text}"'.encode() for text in wanted]
    found: list[tuple[str, bytes]] = []
    for chain in chains_in(folder):
        for file in files_of(chain):
            matching = (raw for raw in lines_of(file) if any(mark in raw for mark in marks))
            found.extend((_time_of(raw), raw.rstrip(b"\n")) for raw in matching)
    yield from sorted(found)


def _time_of(raw: bytes) -> str:
    try:
        return Line.read(raw).time
    except NotALine:
        return ""
