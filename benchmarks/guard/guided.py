"""Coverage-guided fuzzing of the readers written in Python (make fuzz-guided):

`python -m benchmarks.guard.guided TARGET [folders of inputs and options of libFuzzer]`

TARGET is `header` (a DICOM file's header), `multipart` (a form, and multipart/related) or `archive` (a zip's files).
Each must end in a result or in an error that is raised on purpose. Anything else ends the run, and libFuzzer keeps the
input; so do more than MAX_SECONDS or more than MAX_MB for one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["app", "pydicom", "python_multipart", "zipfile"]):
    from app.api.dicomweb.multipart_related import RelatedReader
    from app.api.uploads.form_parts import form_of_one
    from app.errors import InputError
    from app.imaging.archive import archive_files
    from app.imaging.chunked import ChunkedFile
    from app.imaging.dicom import DicomImage
    from app.imaging.header import quiet_pydicom
    from app.judgement.parameters import KNOWN
    from benchmarks.fuzz import sources
    from benchmarks.fuzz.archives import zipped
    from benchmarks.fuzz.bodies import BOUNDARY, form, related

MAX_SECONDS: Final = 5
MAX_MB: Final = 1500
MAX_INPUT_BYTES: Final = 8192
FORM: Final = f"multipart/form-data; boundary={BOUNDARY}"
RELATED: Final = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'


class _Nowhere:
    """Takes instances and forgets them."""

    def begin(self) -> None:
        """Nothing."""

    def write(self, data: bytes | memoryview) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


def read_header(data: bytes) -> None:
    """Parse, and ask what reading would ask but the pixels."""
    with suppress(InputError):
        image = DicomImage.parse(data)
        for frame in range(1, min(image.frames, 3) + 1):
            image.is_localizer(frame)


def read_multipart(data: bytes) -> None:
    """Read the same bytes as a form, whole, and as instances that come in two pieces."""
    with suppress(InputError):
        form_of_one(FORM, data, KNOWN)
    with suppress(InputError):
        reader = RelatedReader(RELATED, _Nowhere())
        reader.feed(data[: len(data) // 2])
        reader.feed(data[len(data) // 2 :])
        reader.finish()


def read_archive(data: bytes) -> None:
    """Unpack all of it."""
    with suppress(InputError):
        for _ in archive_files(ChunkedFile([data])):
            pass


def _headers() -> list[bytes]:
    """Files cut off soon after their pixels begin: coverage is looked for in what stands before them."""
    every = [*sources.slices().values(), *sources.enhanced().values()]
    return [file.written()[:MAX_INPUT_BYTES] for file in every]


def _bodies() -> list[bytes]:
    files = [b"small", b"\r\n--x\r\n"]
    return [
        form(files[:1], "file", [("roi", b"1,2")]).written(),
        form(files, "files").written(),
        related(files).written(),
    ]


def _archives() -> list[bytes]:
    archive = zipped([b"small", bytes(500)])
    archive.members[1].method = 8
    return [archive.written(), zipped([]).written()]


TARGETS: Final[dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]]] = {
    "header": (read_header, _headers),
    "multipart": (read_multipart, _bodies),
    "archive": (read_archive, _archives),
}


def main() -> None:
    """Write the first inputs into the first folder given, and run until a fault or until libFuzzer's options say so."""
    name, *options = sys.argv[1:]
    target, first_inputs = TARGETS[name]
    quiet_pydicom()
    corpus = Path(next((each for each in options if not each.startswith("-")), f"build/guided/{name}"))
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(first_inputs()):
        (corpus / f"first-{number}").write_bytes(data)
    own = [f"-timeout={MAX_SECONDS}", f"-rss_limit_mb={MAX_MB}", f"-max_len={MAX_INPUT_BYTES}"]
    atheris.Setup([sys.argv[0], *own, *options], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
