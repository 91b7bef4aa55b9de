"""The only reader of environment variables. All are optional and start with LUNGSCOPE_."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, FilePath, HttpUrl, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import SettingsError

REPOSITORY = Path(__file__).resolve().parents[1]
MIN_TOKEN_LENGTH = 16
KILOBYTE = 1024
MEGABYTE = 1024 * KILOBYTE


def usable_cores(root: Path = Path("/")) -> int:
    """Cores this process may keep busy: those it may be scheduled on, or fewer under a container's CPU quota.

    Half a core is not counted: a thread on it would be halted in every period. `root` is that of /proc and /sys.
    """
    scheduled = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([scheduled, *map(math.floor, _cpu_quotas(root))]))


def own_cores() -> tuple[int, ...]:
    """The cores this process may be scheduled on; none where a quota keeps it from using all of them."""
    scheduled = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()
    return scheduled if usable_cores() == len(scheduled) else ()


def _cpu_quotas(root: Path) -> Iterator[float]:
    """CPU quotas in cores, of this process's control group and of each above it: cgroup v2 cpu.max, v1 cpu.cfs_*."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        # Seen from inside a container the group's own path may not exist: its files then lie at the mount itself.
        for group in (mount / path.lstrip("/"), *(mount / path.lstrip("/")).parents):
            limit = _text(group / "cpu.max") or _v1_limit(group)
            quota, _, period = limit.partition(" ")
            if quota.isdecimal() and period.strip().isdecimal():
                yield int(quota) / int(period)
            if group == mount:
                break


def _v1_limit(group: Path) -> str:
    return f"{_text(group / 'cpu.cfs_quota_us').strip()} {_text(group / 'cpu.cfs_period_us').strip()}"


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except OSError:
        return ""


@contextmanager
def counts_shared_in(folder: Path) -> Iterator[None]:
    """Let prometheus_client keep counts in a folder. It reads this variable when it is first imported."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    try:
        yield
    finally:
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]


# What the shipped server adds to uvicorn, each of which it can do without (docs/serving.md).
Piece = Literal["body-buffer", "connection-passing", "early-answers", "core-pinning"]


class Settings(BaseSettings):
    """Typed and frozen. Each field is LUNGSCOPE_<NAME> in the environment."""

    model_config = SettingsConfigDict(env_prefix="LUNGSCOPE_", frozen=True, extra="ignore")

    models_dir: Annotated[Path, Field(description="folder of model bundles")] = REPOSITORY / "models"
    model: Annotated[str, Field(description="bundle that judges nodules, or its name/version")] = "nodule-classifier"
    detector: Annotated[str, Field(description="bundle that finds candidates, or its name/version")] = "nodule-detector"
    second_look: Annotated[str, Field(description="bundle that scores what the detector finds")] = "nodule-suspicion"
    view: Annotated[str, Field(description="bundle that asks whether there is a chest to be searched")] = "chest-view"
    tagger: Annotated[str, Field(description="bundle that labels the sentences of reports, if it is there")] = (
        "report-tagger"
    )
    trusted_key: Annotated[
        FilePath | None, Field(description="Ed25519 public key (PEM): only bundles signed by it are loaded")
    ] = None
    operating_point: Annotated[
        float | None, Field(gt=0, lt=1, description="probability from which cancer is suspected; default: the bundle's")
    ] = None
    backend: Annotated[Literal["auto", "openvino", "tensorflow"], Field(description="runtime")] = "auto"
    threads: Annotated[int, Field(ge=1, le=256, description="requests at work at once; default: usable cores")] = Field(
        default_factory=usable_cores
    )
    queue_limit: Annotated[int, Field(ge=0, le=10_000, description="requests that may wait")] = 64
    queue_mb: Annotated[int, Field(ge=1, description="MB that requests at work and waiting may hold")] = 256
    max_body_mb: Annotated[int, Field(ge=1, le=2048, description="largest request body in MB")] = 64
    max_study_mb: Annotated[int, Field(ge=1, le=8192, description="largest body of a series in MB")] = 1024
    max_report_kb: Annotated[int, Field(ge=1, le=1024, description="largest body of a report in kB")] = 100
    max_slices: Annotated[int, Field(ge=2, le=5000, description="most slices of a series")] = 1500
    max_series: Annotated[int, Field(ge=1, le=64, description="series in memory at once")] = 2
    study_queue_mb: Annotated[int, Field(ge=1, description="MB that series being received may hold")] = 1024
    max_header_kb: Annotated[int, Field(ge=1, le=1024, description="most headers of a request in kB")] = 64
    max_headers: Annotated[int, Field(ge=10, le=10_000, description="most headers of a request")] = 100
    max_url_kb: Annotated[int, Field(ge=1, le=64, description="longest URL in kB")] = 8
    header_seconds: Annotated[int, Field(ge=1, le=600, description="time for the headers of a request")] = 10
    idle_seconds: Annotated[int, Field(ge=1, le=3600, description="time between two requests of a connection")] = 5
    max_connections: Annotated[int, Field(ge=8, le=100_000, description="open connections of a worker")] = 1000
    max_connections_per_address: Annotated[int, Field(ge=1, le=100_000, description="those of one address")] = 500
    max_parts: Annotated[int, Field(ge=2, le=100_000, description="most parts of a multipart body")] = 5200
    min_rate_kb: Annotated[int, Field(ge=1, le=10_240, description="least kB a second of a body or an answer")] = 32
    hung_seconds: Annotated[int, Field(ge=2, le=600, description="silence after which a worker is replaced")] = 15
    upload_patience_seconds: Annotated[int, Field(ge=1, le=600, description="longest pause of an upload")] = 30
    server: Annotated[
        Literal["lungscope", "stock"],
        Field(description="`stock` is plain uvicorn: its own protocol, loop and supervisor"),
    ] = "lungscope"
    without: Annotated[
        frozenset[Piece], NoDecode, Field(description="pieces of the server to do without, between commas")
    ] = frozenset()
    drain_seconds: Annotated[int, Field(ge=0, le=600, description="time to finish requests after SIGTERM")] = 30
    api_token: Annotated[
        SecretStr | None, Field(description="when set, /v1 and /dicom-web need Authorization: Bearer <it>")
    ] = None
    spool_dir: Annotated[Path | None, Field(description="folder for what DICOMweb brings and for results")] = None
    spool_mb: Annotated[int, Field(ge=1, description="most MB of instances waiting to be judged")] = 20_480
    spool_hours: Annotated[int, Field(ge=1, le=8760, description="age at which an unjudged series is dropped")] = 24
    settle_seconds: Annotated[float, Field(ge=0, le=600, description="pause after a request with a series")] = 3
    quiet_seconds: Annotated[float, Field(ge=0, le=3600, description="pause after instances sent one by one")] = 30
    result_hours: Annotated[int, Field(ge=1, le=8760, description="age at which a result is dropped")] = 72
    retry_seconds: Annotated[float, Field(gt=0, le=3600, description="pause after a first failed delivery")] = 5
    pacs_url: Annotated[HttpUrl | None, Field(description="DICOMweb root to which results are sent")] = None
    pacs_token: Annotated[SecretStr | None, Field(description="bearer token for it")] = None
    pacs_user: Annotated[str | None, Field(description="or user")] = None
    pacs_password: Annotated[SecretStr | None, Field(description="and password")] = None
    fhir_url: Annotated[HttpUrl | None, Field(description="FHIR server to which results are sent")] = None
    fhir_token: Annotated[SecretStr | None, Field(description="bearer token for it")] = None
    fhir_user: Annotated[str | None, Field(description="or user")] = None
    fhir_password: Annotated[SecretStr | None, Field(description="and password")] = None
    ca_file: Annotated[FilePath | None, Field(description="authorities that both destinations are checked with")] = None
    verify_tls: Annotated[bool, Field(description="false takes any certificate of a destination")] = True
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="log level")] = "info"

    @field_validator("without", mode="before")
    @classmethod
    def _between_commas(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

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
        if settings.spool_dir is None and (settings.pacs_url or settings.fhir_url):
            raise SettingsError(
                found="a destination for results without LUNGSCOPE_SPOOL_DIR",
                expected="a folder in which they wait until they are delivered",
                remedy="Set LUNGSCOPE_SPOOL_DIR to a folder on a local disk.",
            )
        return settings
