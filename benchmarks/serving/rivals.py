"""The peers: how each is started, asked and measured. One that does not start is reported with what it said."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from app.imaging.patches import PatchSpec
from benchmarks.serving.closed import Load, drive
from benchmarks.serving.plan import COMPARED_AT, Plan
from benchmarks.serving.processes import LOGS, REPOSITORY, NotStarted, Server, without_folders
from benchmarks.serving.service import free_port
from benchmarks.serving.slices import Body, Slice, form, raw

ENVIRONMENTS: Final = REPOSITORY / "build" / "peers"
PATIENCE_S: Final = 120
WARM_UP_S: Final = 4.0  # the first worker answers while the others still load
# Ray asks for a token of its own even on the loopback; none reports its use to anybody.
VARIABLES: Final = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "BENTOML_DO_NOT_TRACK": "True",
}
AGREEMENT: Final = 1e-3  # of malignancy, between the peers and the model as it is
INFER: Final = "/v2/models/nodule-classifier/infer"


@dataclass(frozen=True, slots=True)
class Job:
    """What all peers are given: cores to use, the slice and the patch to cut from it."""

    cores: int
    ct_slice: Slice
    patch: PatchSpec


@dataclass(frozen=True, slots=True)
class Peer:
    """`environment` is a folder of build/peers, `module` one of `benchmarks.serving.peers`; a module with a colon is a
    BentoML service. `body` writes its request. A `variant` is another way to run a peer that is measured anyway."""

    name: str
    environment: str
    module: str
    body: Callable[[Slice], Body]
    settings: str
    variant: bool = False

    def command(self, port: int, job: Job) -> list[str]:
        """What starts it."""
        binaries = ENVIRONMENTS / self.environment / "bin"
        column, row = job.ct_slice.roi_px
        size, spacing = job.patch.size_px, job.patch.spacing_mm
        module = f"benchmarks.serving.peers.{self.module}"
        if ":" in self.module:
            given = {"cores": job.cores, "column": column, "row": row, "size_px": size, "spacing_mm": spacing}
            arguments = [text for name, value in given.items() for text in ("--arg", f"{name}={value}")]
            command = [str(binaries / "bentoml"), "serve", module, "--host", "127.0.0.1", "--port", str(port)]
            return [*command, *arguments]
        command = [str(binaries / "python"), "-m", module, "--port", str(port), "--cores", str(job.cores)]
        return [*command, "--roi", str(column), str(row), "--patch", str(size), str(spacing)]


@dataclass(frozen=True, slots=True)
class PeerResult:
    """What was measured of a peer, or why there is nothing. `pairs` are its requests a second and those of the service
    just after, at the clients of the comparison."""

    name: str
    settings: str
    ready_s: float | None = None
    loads: tuple[Load, ...] = ()
    pairs: tuple[tuple[float, float], ...] = ()
    error: str = ""


def _raw(ct_slice: Slice) -> Body:
    return replace(raw(ct_slice.dicom, "application/dicom", {}), path="/predict")


def _form(ct_slice: Slice) -> Body:
    return form(ct_slice.dicom, {}, "/form")


def _base64(ct_slice: Slice) -> Body:
    text = base64.b64encode(ct_slice.dicom).decode()
    files = {"name": "files", "shape": [1, 1], "datatype": "BYTES", "data": [text]}
    content = json.dumps({"inputs": [files | {"parameters": {"content_type": "base64"}}]}).encode()
    return Body(content, "application/json", INFER)


def _binary(ct_slice: Slice) -> Body:
    """The binary tensor data extension: a JSON header, then each element after its length, little endian."""
    element = len(ct_slice.dicom).to_bytes(4, "little") + ct_slice.dicom
    files = {"name": "files", "shape": [1, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(element)}}
    header = json.dumps({"inputs": [files]}).encode()
    length = f"Inference-Header-Content-Length: {len(header)}"
    return Body(header + element, "application/octet-stream", INFER, (length,))


NAIVE: Final = "FastAPI + TensorFlow, naive"
PEERS: Final = (
    Peer(NAIVE, "naive", "fastapi_naive", _raw, "one process, inference in the coroutine, as tutorials write it"),
    Peer(f"{NAIVE}, form", "naive", "fastapi_naive", _form, "the same with UploadFile", variant=True),
    Peer("FastAPI + TensorFlow, workers", "naive", "fastapi_workers", _raw, "a worker per core, thread pool"),
    Peer("LitServe", "litserve", "litserve_batched", _raw, "worker and API server per core, batches of 32 within 1 ms"),
    Peer("BentoML, workers", "bentoml", "bentoml_batched:Workers", _raw, "a worker per core", variant=True),
    Peer("BentoML, batching", "bentoml", "bentoml_batched:Batched", _raw, "a worker per core, adaptive batches of 32"),
    Peer("Ray Serve", "ray", "ray_batched", _raw, "a replica per core, batches of 32, no wait"),
    Peer("MLServer", "mlserver", "mlserver_batched", _base64, "parallel worker per core, batches of 32, base64"),
    Peer("Triton", "triton", "triton_python", _binary, "PyTriton: instance per core, batches of 32, binary tensors"),
)


def measure_peers(job: Job, malignancy: float, plan: Plan, service: Callable[[], float]) -> Iterator[PeerResult]:
    """Each peer in turn, the others not running; `service` gives a rate of the service, which stands idle meanwhile."""
    for peer in PEERS:
        if peer.variant and not plan.variants:
            continue
        try:
            yield _measure(peer, job, malignancy, plan, service)
        except (NotStarted, OSError) as error:
            yield PeerResult(peer.name, peer.settings, error=without_folders(str(error)))


def _measure(peer: Peer, job: Job, malignancy: float, plan: Plan, service: Callable[[], float]) -> PeerResult:
    port = free_port()
    log = LOGS / f"{peer.module.replace(':', '-')}.log"
    body = peer.body(job.ct_slice)
    with Server(peer.command(port, job), port, log, {**VARIABLES, "PYTHONPATH": str(REPOSITORY)}) as server:
        ready_s, answer = server.wait_for(body, PATIENCE_S)
        said = malignancy_of(answer)
        if said is None or abs(said - malignancy) > AGREEMENT:
            raise NotStarted(f"it answers {said} where the model says {malignancy}")
        drive(server, body, max(plan.peer_clients), WARM_UP_S)
        loads = tuple(drive(server, body, n, plan.peer_s) for n in plan.peer_clients)
        pairs = tuple((_turn(server, body, plan.round_s), service()) for _ in range(plan.peer_rounds))
        return PeerResult(peer.name, peer.settings, ready_s, loads, pairs)


def _turn(server: Server, body: Body, seconds: float) -> float:
    load = drive(server, body, COMPARED_AT, seconds)
    server.settle()
    return load.rate


def malignancy_of(answer: bytes) -> float | None:
    """The malignancy in a peer's JSON: a number by that name, or the V2 protocol's tensor."""
    content = json.loads(answer)
    for output in content.get("outputs", []):
        if output["name"] == "malignancy":
            return float(np.ravel(output["data"])[0])
    found = content.get("malignancy")
    return None if found is None else float(found)


def versions() -> dict[str, str]:
    """Package versions of each environment, of what a peer consists of."""
    wanted = re.compile(
        r"^(fastapi|uvicorn|litserve|bentoml|ray|mlserver|nvidia_pytriton|tensorflow_cpu)-([^-]+)\.dist-info$"
    )
    found: dict[str, str] = {}
    for environment in sorted({peer.environment for peer in PEERS}):
        for path in sorted(Path(ENVIRONMENTS / environment).glob("lib/*/site-packages/*.dist-info")):
            if match := wanted.match(path.name):
                found[f"{environment}: {match[1]}"] = match[2]
    return found
