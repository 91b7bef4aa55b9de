"""Reads what a client knows of the patient, for the guidelines."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import InvalidParameter
from app.guidelines.case import Context, KnownCancer, Purpose, Sex, Smoking

NAME: Final = "context"  # a part of a form, or an option: an address is logged by whatever it passes
EXAMPLE: Final = '{"age_years": 62, "sex": "male", "smoking": "former", "purpose": "screening"}'


class ContextIn(BaseModel):
    """What is known of the patient, as JSON; every field may be left out or null."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    age_years: Annotated[int, Field(ge=0, le=120)] | None = None
    sex: Sex | None = None
    smoking: Annotated[Smoking | None, Field(description="cigarettes")] = None
    family_history: Annotated[bool | None, Field(description="of lung cancer")] = None
    known_cancer: Annotated[
        KnownCancer | None,
        Field(description="past: outside the chest, more than five years ago; recent: any other"),
    ] = None
    emphysema: Annotated[bool | None, Field(description="seen on CT")] = None
    immunosuppressed: bool | None = None
    purpose: Annotated[Purpose | None, Field(description="why the scan was made")] = None
    nodules: Annotated[
        int | None,
        Field(ge=1, le=100, description="how many there are in the lungs, where the image does not show all"),
    ] = None
    upper_lobe: Annotated[bool | None, Field(description="whether the nodule lies in an upper lobe")] = None


def parse_context(text: str) -> Context:
    """The context in a JSON text; raises InvalidParameter, which repeats nothing of it."""
    try:
        given = ContextIn.model_validate_json(text)
    except ValidationError as error:
        wrong = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
        named = sorted(wrong & set(ContextIn.model_fields))
        raise InvalidParameter(
            found=f"{NAME} with an unusable {', '.join(named)}"
            if named
            else f"{NAME} that is no object of known fields",
            expected=f"JSON with some of {', '.join(ContextIn.model_fields)}, for example {EXAMPLE}",
            remedy=f"Correct {NAME}.",
        ) from None
    return Context(**given.model_dump())
