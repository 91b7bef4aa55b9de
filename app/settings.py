"""The only reader of environment variables. All are optional and start with LUNGSCOPE_."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import SettingsError

REPOSITORY = Path(__file__).resolve().parents[1]
MIN_TOKEN_LENGTH = 16


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Settings(BaseSettings):
    """Typed and frozen. Each field is LUNGSCOPE_<NAME> in the environment."""

    model_config = SettingsConfigDict(env_prefix="LUNGSCOPE_", frozen=True, extra="ignore")

    models_dir: Annotated[Path, Field(description="folder of model bundles")] = REPOSITORY / "models"
    model: Annotated[str, Field(description="bundle that judges nodules")] = "nodule-classifier"
    backend: Annotated[Literal["tensorflow"], Field(description="runtime")] = "tensorflow"
    threads: Annotated[int, Field(ge=1, le=256, description="requests at work at once; default: usable cores")] = Field(
        default_factory=_usable_cores
    )
    queue_limit: Annotated[int, Field(ge=0, le=10_000, description="requests that may wait")] = 64
    max_body_mb: Annotated[int, Field(ge=1, le=2048, description="largest request body in MB")] = 64
    drain_seconds: Annotated[int, Field(ge=0, le=600, description="time to finish requests after SIGTERM")] = 30
    api_token: Annotated[SecretStr | None, Field(description="when set, /v1 needs Authorization: Bearer <it>")] = None
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="log level")] = "info"

    @classmethod
    def load(cls) -> Self:
        """Read the environment; raises SettingsError naming the variable that cannot be used."""
        try:
            settings = cls()
        except ValidationError as error:
            # Only name and complaint: the value may be a secret.
            where = "; ".join(f"LUNGSCOPE_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
            raise SettingsError(found=where, expected="usable settings", remedy="See docs/settings.md.") from None
        token = settings.api_token
        if token is not None and len(token.get_secret_value()) < MIN_TOKEN_LENGTH:
            raise SettingsError(
                found="a LUNGSCOPE_API_TOKEN that is too short to be safe",
                expected=f"at least {MIN_TOKEN_LENGTH} characters",
                remedy="Generate one: openssl rand -hex 32.",
            )
        return settings
