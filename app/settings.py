"""The only reader of environment variables. All are optional and start with LUNGSCOPE_."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, FilePath, HttpUrl, IPvAnyNetwork, SecretStr, TypeAdapter, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from app.errors import SettingsError
from app.machine import usable_cores

REPOSITORY = Path(__file__).resolve().parents[1]
MIN_TOKEN_LENGTH = 16
ROOT_PATH = r"^(/[A-Za-z0-9._~-]+)+$"
# Fetch standard, CORS: a script's origin as browsers write it (RFC 6454 6.2), or any.
ScriptOrigin = Annotated[str, Field(pattern=r"^(\*|https?://[A-Za-z0-9.:\[\]-]+)$")]
FHIR_SYSTEM = r"^(https?://|urn:)\S+$"
# What a policy takes as a source of frames, and no more: a semicolon in it would begin another rule.
Origin = Annotated[str, Field(pattern=r"^https?://(\*\.)?[A-Za-z0-9.-]+(:[0-9]{1,5})?$")]
# Of the characters of an AE title (PS3.5 6.2, VR AE) all but those that stand between titles and addresses here.
TITLE = r"[!-+\--?A-\[\]-~](?:[ -+\--?A-\[\]-~]{0,14}[!-+\--?A-\[\]-~])?"
AeTitle = Annotated[str, Field(pattern=f"^{TITLE}$")]
ARCHIVE = rf"^{TITLE}@[^@\s]+:[0-9]{{1,5}}$"
KILOBYTE = 1024
MEGABYTE = 1024 * KILOBYTE


def shipped_bundles() -> Path:
    """The folder of the bundles that come with the code: in an installed wheel its own, else that of the checkout."""
    of_wheel = Path(__file__).parent / "bundles"
    return of_wheel if of_wheel.is_dir() else REPOSITORY / "models"


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

    models_dir: Annotated[Path, Field(description="folder of model bundles")] = Field(default_factory=shipped_bundles)
    model: Annotated[str, Field(description="bundle that judges nodules, or its name/version")] = "nodule-classifier"
    detector: Annotated[str, Field(description="bundle that finds candidates, or its name/version")] = "nodule-detector"
    second_look: Annotated[str, Field(description="bundle that scores what the detector finds")] = "nodule-suspicion"
    view: Annotated[str, Field(description="bundle that asks whether there is a chest to be searched")] = "chest-view"
    tagger: Annotated[str, Field(description="bundle that labels the sentences of reports, if it is there")] = (
        "report-tagger"
    )
    sequence: Annotated[str, Field(description="bundle that gives second opinions, if it is there")] = "nodule-sequence"
    canary: Annotated[
        frozenset[str], NoDecode, Field(description="name/version of bundles loaded beside, between commas")
    ] = frozenset()
    shadow: Annotated[str | None, Field(description="name/version that judges a sample without answering")] = None
    shadow_share: Annotated[float, Field(gt=0, le=1, description="of what is judged, for the shadow")] = 0.1
    versions_dir: Annotated[Path | None, Field(description="folder for the versions that an operator wants")] = None
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
    max_json_mb: Annotated[int, Field(ge=1, le=64, description="largest JSON of a request for inference in MB")] = 8
    max_patches: Annotated[int, Field(ge=1, le=4096, description="most inputs of a network in one request")] = 256
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
    decoding: Annotated[
        Literal["cell", "process"],
        Field(description="`cell` decodes what is compressed in confined processes, `process` in the server's own"),
    ] = "cell"
    decoder_mb: Annotated[int, Field(ge=64, le=8192, description="MB that a cell may take to decode one file")] = 512
    decoder_seconds: Annotated[int, Field(ge=1, le=60, description="CPU seconds that it may take")] = 4
    drain_seconds: Annotated[int, Field(ge=0, le=600, description="time to finish requests after SIGTERM")] = 30
    api_token: Annotated[
        SecretStr | None, Field(description="when set, callers need Authorization: Bearer <it>, or another key")
    ] = None
    keys_file: Annotated[FilePath | None, Field(description="names, scopes and digests of the callers' keys")] = None
    jwt_issuer: Annotated[str | None, Field(min_length=1, description="who makes tokens (iss)")] = None
    jwt_audience: Annotated[str | None, Field(min_length=1, description="for whom they must be made (aud)")] = None
    jwks: Annotated[str | None, Field(min_length=1, description="file or https address of the issuer's keys")] = None
    jwt_scope_claim: Annotated[str, Field(min_length=1, description="claim that holds the scopes")] = "scope"
    jwt_leeway_seconds: Annotated[int, Field(ge=0, le=300, description="by which the clocks may differ")] = 30
    open: Annotated[bool, Field(description="lets anybody call at an address that others reach")] = False
    caller_rate: Annotated[float, Field(ge=0, le=100_000, description="requests a second of one caller; 0: any")] = 0
    caller_burst: Annotated[int, Field(ge=1, le=100_000, description="requests at once before that counts")] = 20
    caller_share: Annotated[float, Field(gt=0, le=1, description="of the places, for one caller that is known")] = 0.75
    trusted_hosts: Annotated[
        frozenset[str], NoDecode, Field(description="names in Host that are answered, between commas")
    ] = frozenset()
    frame_hosts: Annotated[
        frozenset[Origin],
        NoDecode,
        Field(description="origins whose pages may frame the viewer, between commas"),
    ] = frozenset()
    trusted_proxies: Annotated[
        frozenset[str], NoDecode, Field(description="addresses and networks of proxies, between commas")
    ] = frozenset({"127.0.0.1", "::1"})
    root_path: Annotated[
        str | None, Field(pattern=ROOT_PATH, description="path at which a proxy shows the service; it may strip it")
    ] = None
    cors_origins: Annotated[
        frozenset[ScriptOrigin],
        NoDecode,
        Field(description="origins of pages whose scripts may call, between commas; * for any"),
    ] = frozenset()
    tls_certificate: Annotated[FilePath | None, Field(description="certificate chain (PEM) to serve https with")] = None
    tls_key: Annotated[FilePath | None, Field(description="its key, where it is not in the same file")] = None
    tls_client_ca: Annotated[
        FilePath | None, Field(description="authorities of the client certificates that are then asked for")
    ] = None
    deidentify: Annotated[bool, Field(description="results without patient and dates")] = False
    max_pictures: Annotated[int, Field(ge=1, le=100, description="most pictures (secondary captures) of a series")] = 5
    fhir_patient_system: Annotated[
        str | None, Field(pattern=FHIR_SYSTEM, description="FHIR system (URI) of the patients' numbers")
    ] = None
    fhir_accession_system: Annotated[
        str | None, Field(pattern=FHIR_SYSTEM, description="FHIR system (URI) of the accession numbers")
    ] = None
    fhir_pdf: Annotated[bool, Field(description="bundles for the FHIR server hold the case report as PDF")] = False
    spool_dir: Annotated[Path | None, Field(description="folder for what DICOMweb and jobs bring, and results")] = None
    spool_mb: Annotated[int, Field(ge=1, description="most MB of instances waiting to be judged")] = 20_480
    spool_hours: Annotated[int, Field(ge=1, le=8760, description="age at which an unjudged series is dropped")] = 24
    settle_seconds: Annotated[float, Field(ge=0, le=600, description="pause after a request with a series")] = 3
    quiet_seconds: Annotated[float, Field(ge=0, le=3600, description="pause after instances sent one by one")] = 30
    late_hours: Annotated[
        int, Field(ge=0, le=8760, description="for which a judged series is kept, for instances that come late")
    ] = 24
    report_unprocessed: Annotated[bool, Field(description="a result object also for what cannot be judged")] = True
    result_hours: Annotated[int, Field(ge=1, le=8760, description="age at which a result is dropped")] = 72
    delivered_hours: Annotated[int, Field(ge=0, le=8760, description="the same, once everybody has it")] = 24
    results_mb: Annotated[int, Field(ge=64, description="most MB of results; beyond it nothing is judged")] = 10_240
    database_url: Annotated[SecretStr | None, Field(description="PostgreSQL server for results and verdicts")] = None
    rules: Annotated[FilePath | None, Field(description="TOML file: what is judged, where results are sent")] = None
    retry_seconds: Annotated[float, Field(gt=0, le=3600, description="pause after a first failed delivery")] = 5
    pacs_url: Annotated[HttpUrl | None, Field(description="DICOMweb root to which results are sent")] = None
    pacs_token: Annotated[SecretStr | None, Field(description="bearer token for it")] = None
    pacs_user: Annotated[str | None, Field(description="or user")] = None
    pacs_password: Annotated[SecretStr | None, Field(description="and password")] = None
    fhir_url: Annotated[HttpUrl | None, Field(description="FHIR server to which results are sent")] = None
    fhir_token: Annotated[SecretStr | None, Field(description="bearer token for it")] = None
    fhir_user: Annotated[str | None, Field(description="or user")] = None
    fhir_password: Annotated[SecretStr | None, Field(description="and password")] = None
    dimse_title: Annotated[AeTitle, Field(description="AE title of this service, as SCP and as SCU")] = "LUNGSCOPE"
    dimse_callers: Annotated[
        frozenset[AeTitle], NoDecode, Field(description="AE titles that may send by C-STORE, between commas")
    ] = frozenset()
    dimse_associations: Annotated[int, Field(ge=1, le=256, description="associations at once")] = 16
    dimse_idle_seconds: Annotated[int, Field(ge=1, le=3600, description="longest pause of an association")] = 60
    deliver_dimse: Annotated[str | None, Field(pattern=ARCHIVE, description="for results: TITLE@HOST:PORT")] = None
    deliver_dimse_tls: Annotated[bool, Field(description="whether that archive is spoken to by TLS")] = False
    pull_url: Annotated[HttpUrl | None, Field(description="DICOMweb root from which /v1/pull fetches")] = None
    pull_token: Annotated[SecretStr | None, Field(description="bearer token for it")] = None
    pull_user: Annotated[str | None, Field(description="or user")] = None
    pull_password: Annotated[SecretStr | None, Field(description="and password")] = None
    pull_seconds: Annotated[int, Field(ge=1, le=86_400, description="longest time to fetch one series")] = 600
    station: Annotated[AeTitle, Field(description="code by which workitems name this service")] = "LUNGSCOPE"
    ca_file: Annotated[FilePath | None, Field(description="authorities that destinations are checked with")] = None
    verify_tls: Annotated[bool, Field(description="false takes any certificate of a destination")] = True
    feedback_dir: Annotated[Path | None, Field(description="folder for verdicts; without it none are taken")] = None
    feedback_days: Annotated[int, Field(ge=1, le=3650, description="age at which a judgement is forgotten")] = 730
    feedback_findings: Annotated[int, Field(ge=100, le=10_000_000, description="most that are remembered")] = 200_000
    on_drift: Annotated[Literal["tell", "warn", "stop"], Field(description="what follows when cases change")] = "tell"
    signing_key: Annotated[
        FilePath | None, Field(description="Ed25519 private key (PEM): signs receipts and anchors")
    ] = None
    audit_dir: Annotated[Path | None, Field(description="folder for the audit trail; without it there is none")] = None
    audit_days: Annotated[int, Field(ge=1, le=36_500, description="age at which lines of it are deleted")] = 365
    audit_file_mb: Annotated[int, Field(ge=1, le=10_240, description="size at which another file is begun")] = 64
    audit_when_full: Annotated[
        Literal["refuse", "go-on"], Field(description="what happens while it cannot be written")
    ] = "refuse"
    audit_anchors: Annotated[Path | None, Field(description="folder elsewhere for anchors of it")] = None
    audit_syslog: Annotated[str | None, Field(description="collector: udp://, tcp:// or tls://HOST:PORT")] = None
    audit_syslog_format: Annotated[
        Literal["dicom", "json"], Field(description="DICOM audit messages (ATNA), or the lines themselves")
    ] = "dicom"
    audit_syslog_certificate: Annotated[
        FilePath | None, Field(description="certificate and key (PEM) that the collector asks for")
    ] = None
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="log level")] = "info"

    @field_validator(
        *("canary", "without", "trusted_hosts", "trusted_proxies", "frame_hosts", "cors_origins", "dimse_callers"),
        mode="before",
    )
    @classmethod
    def _between_commas(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: frozenset[str]) -> frozenset[str]:
        for each in value:
            TypeAdapter(IPvAnyNetwork).validate_python(each)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the library's interface
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, and for secrets the files that LUNGSCOPE_<NAME>_FILE names."""
        return init_settings, env_settings, _SecretFiles(settings_cls)

    @property
    def guarded(self) -> bool:
        """Whether a caller must show a key, a token or a client certificate."""
        return any((self.api_token, self.keys_file, self.jwt_issuer, self.tls_client_ca))

    @property
    def database(self) -> str | None:
        """The address of the database server, with its password; None for files."""
        return self.database_url.get_secret_value() if self.database_url else None

    @property
    def spool_limits(self) -> tuple[int, float, float, float, float]:
        """What `delivery.spool.SpoolLimits` takes, in its order."""
        return self.spool_mb * MEGABYTE, self.spool_hours, self.settle_seconds, self.quiet_seconds, self.late_hours

    @classmethod
    def load(cls) -> Self:
        """Read the environment; raises SettingsError naming the variable that cannot be used."""
        try:
            settings = cls()
        except ValidationError as error:
            # Only name and complaint: the value may be a secret.
            where = "; ".join(f"LUNGSCOPE_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
            raise SettingsError(found=where, expected="usable settings", remedy="See docs/settings.md.") from None
        for is_wrong, found, expected, remedy in settings._contradictions():
            if is_wrong:
                raise SettingsError(found=found, expected=expected, remedy=remedy)
        return settings

    def _contradictions(self) -> Iterator[tuple[object, str, str, str]]:
        """What no setting shows alone: whether it is so, found, expected, remedy."""
        token = self.api_token
        yield (
            token is not None and len(token.get_secret_value()) < MIN_TOKEN_LENGTH,
            "a LUNGSCOPE_API_TOKEN that is too short to be safe",
            f"at least {MIN_TOKEN_LENGTH} characters",
            "Generate one: openssl rand -hex 32.",
        )
        yield (
            not self.spool_dir
            and (self.rules or self.pacs_url or self.fhir_url or self.deliver_dimse or self.pull_url),
            "LUNGSCOPE_RULES, LUNGSCOPE_PULL_URL, or a destination for results, without LUNGSCOPE_SPOOL_DIR",
            "a folder in which series and results wait",
            "Set LUNGSCOPE_SPOOL_DIR to a folder on a local disk.",
        )
        yield (
            self.database_url and not (self.spool_dir or self.feedback_dir),
            "LUNGSCOPE_DATABASE_URL without LUNGSCOPE_SPOOL_DIR or LUNGSCOPE_FEEDBACK_DIR",
            "a folder whose results or verdicts it is to keep",
            "Set one of them, or leave it out.",
        )
        yield (
            self.audit_dir is None and (self.audit_anchors or self.audit_syslog),
            "LUNGSCOPE_AUDIT_ANCHORS or LUNGSCOPE_AUDIT_SYSLOG without LUNGSCOPE_AUDIT_DIR",
            "the folder of the audit trail, from which both are made",
            "Set LUNGSCOPE_AUDIT_DIR to a folder on a local disk.",
        )
        of_tokens = (self.jwt_issuer, self.jwt_audience, self.jwks)
        yield (
            any(of_tokens) and not all(of_tokens),
            "only some of LUNGSCOPE_JWT_ISSUER, LUNGSCOPE_JWT_AUDIENCE and LUNGSCOPE_JWKS",
            "all three: who makes tokens, for whom, and the keys to check them with",
            "Set the others, or none.",
        )
        yield (
            self.tls_certificate is None and (self.tls_key or self.tls_client_ca),
            "LUNGSCOPE_TLS_KEY or LUNGSCOPE_TLS_CLIENT_CA without LUNGSCOPE_TLS_CERTIFICATE",
            "the certificate that the service shows",
            "Set it, or leave TLS to a proxy.",
        )


class _SecretFiles(PydanticBaseSettingsSource):
    """Secrets from files, as container engines hand them over: LUNGSCOPE_API_TOKEN_FILE for LUNGSCOPE_API_TOKEN."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The text of the file without the line end; raises SettingsError for one that cannot be read, and for a secret
        that is set as well."""
        name = f"LUNGSCOPE_{field_name.upper()}"
        path = os.environ.get(f"{name}_FILE") if field.annotation == SecretStr | None else None
        if not path:
            return None, field_name, False
        if os.environ.get(name):
            raise SettingsError(found=f"both {name} and {name}_FILE", expected="one of them", remedy="Leave one out.")
        try:
            return Path(path).read_text("utf-8").rstrip("\r\n"), field_name, False
        except (OSError, UnicodeError) as error:
            raise SettingsError(
                found=f"{name}_FILE, which cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}",
                expected="a file with the secret",
                remedy="Let the service's user read it.",
            ) from None

    def __call__(self) -> dict[str, Any]:
        """All secrets that have a file."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}
