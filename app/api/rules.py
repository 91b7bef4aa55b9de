"""The file of rules: which series are judged, what is written of them, and where it goes."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FilePath, HttpUrl, ValidationError, model_validator

from app.errors import SettingsError
from app.inference.vocabulary import Language
from app.judgement.orders import PARTS, Identifier
from app.judgement.selection import SeriesRules
from app.reports.result import Part
from app.security.hosts import is_loopback
from app.settings import ARCHIVE

TAKEN: Final = ("results",)  # a lock of that name is the database's
WORDS: Final = {  # for pydantic's, by the type of its error
    "extra_forbidden": "no such key",
    "missing": "is missing",
    "path_not_file": "no such file",
}
MLLP: Final = r"^mllps?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}$"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ResultRules(_Strict):
    """How much is written: at most so many pictures, and findings that leave the decision open from this score on."""

    pictures: Annotated[int | None, Field(ge=1, le=100)] = None
    show_from: float | None = None


class _Destination(_Strict):
    """`retry_seconds` is the pause after a first failure; LUNGSCOPE_RETRY_SECONDS where there is none."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
    retry_seconds: Annotated[float | None, Field(gt=0, le=3600)] = None


class _Server(_Destination):
    url: HttpUrl
    token_file: FilePath | None = None
    user: str | None = None
    password_file: FilePath | None = None


class StowRule(_Server):
    """A DICOMweb archive."""

    kind: Literal["stow"]
    objects: frozenset[Part] = frozenset(PARTS)
    language: Language = "en"


class DimseRule(_Destination):
    """An archive that takes C-STORE."""

    kind: Literal["dimse"]
    archive: Annotated[str, Field(pattern=ARCHIVE)]
    tls: bool = False
    objects: frozenset[Part] = frozenset(PARTS)
    language: Language = "en"


class FhirRule(_Server):
    """A FHIR server."""

    kind: Literal["fhir"]


class WebhookRule(_Destination):
    """A receiver of signed JSON; by http only on this machine, because nothing else hides the content on its way."""

    kind: Literal["webhook"]
    url: HttpUrl
    secret_file: FilePath
    identifiers: frozenset[Identifier] = frozenset()
    language: Language = "en"

    @model_validator(mode="after")
    def _is_hidden(self) -> Self:
        host = (self.url.host or "").strip("[]")
        if self.url.scheme != "https" and host != "localhost" and not is_loopback(host):
            raise ValueError("a webhook needs https, or an address of this machine")
        return self


class Hl7Rule(_Destination):
    """A receiver of HL7 v2 over MLLP; `mllps` is MLLP within TLS."""

    kind: Literal["hl7"]
    url: Annotated[str, Field(pattern=MLLP)]
    sending_facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    language: Language = "en"
    link: str | None = None


DestinationRule = Annotated[StowRule | DimseRule | FhirRule | WebhookRule | Hl7Rule, Field(discriminator="kind")]


class Rules(_Strict):
    """All rules. Without `series` every series is judged."""

    series: SeriesRules | None = None
    results: ResultRules = ResultRules()
    destination: tuple[DestinationRule, ...] = ()

    @model_validator(mode="after")
    def _have_names_of_their_own(self) -> Self:
        names = [*TAKEN, *(each.name for each in self.destination)]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"names that are taken: {', '.join(doubled)}")
        return self


def read_rules(path: Path) -> Rules:
    """The rules in a file; raises SettingsError, which names what is wrong and never its value."""
    try:
        return Rules.model_validate(tomllib.loads(path.read_text("utf-8")))
    except ValidationError as error:
        faults = (f"{_place(each['loc'])}: {WORDS.get(each['type'], each['msg'])}" for each in error.errors())
        raise _unusable(path, "; ".join(faults)) from None
    except tomllib.TOMLDecodeError as error:
        raise _unusable(path, f"no TOML: {error}") from None
    except (OSError, UnicodeError) as error:
        raise _unusable(path, f"not readable: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part + 1) if isinstance(part, int) else part for part in location) or "the whole"


def _unusable(path: Path, why: str) -> SettingsError:
    return SettingsError(
        found=f"rules in {path} that cannot be used: {why}",
        expected="tables [series], [results] and [[destination]]",
        remedy="See docs/pacs.md#rules.",
    )
