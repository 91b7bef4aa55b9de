"""`lungscope accept`: a local acceptance test of a bundle on a site's own labelled cases, with a record of it."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from app import __version__
from app.cli.exits import CANNOT_START, OK, SOME_FAILED
from app.errors import InputError, SettingsError
from app.inference.backends import Outputs
from app.inference.bundle import MANIFEST_FILE, Interval, load_bundle
from app.inference.model import Model, create_backend
from app.inference.signatures import require_private_key, require_signed, sign
from app.settings import Settings

NEEDED = ("keras", "sklearn", "matplotlib")


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Test and record; returns OK when accepted, SOME_FAILED when not; raises StartupError."""
    _require_training()
    if options.key is not None:
        require_private_key(options.key)
    require_signed(options.bundle, settings.trusted_key)
    model = Model.load(load_bundle(options.bundle), create_backend(settings.backend, settings.threads))
    try:
        return _test(options, settings, model)
    except InputError as error:
        print(f"lungscope: {error}", file=sys.stderr)
        return CANNOT_START


def _test(options: argparse.Namespace, settings: Settings, model: Model) -> int:
    from training.reporting.acceptance import Served, accept_locally  # Keras: no other command needs it

    def graph(hu: NDArray[np.float32]) -> Outputs:
        return model.backend.run(hu[..., None])

    served = Served(model.bundle, graph, f"lungscope {__version__}", model.backend.name, settings.operating_point)
    record, path = accept_locally(
        served,
        options.data,
        options.out,
        recalibrated=options.recalibrate,
        tested_by=options.tested_by,
        by=options.by or (),
    )
    if options.key is not None:
        print(f"signed {sign(path, options.key)}")
        if options.recalibrate is not None:
            print(f"signed {sign(options.recalibrate / MANIFEST_FILE, options.key)}")
    for check in record.acceptance.checks:
        print(f"{check.verdict:14s} {check.name:28s} {_said(check.found):24s} claim: {check.claim}")
    print(f"{record.acceptance.decision}: {record.inventory.name}/{record.inventory.version} {record.inventory.digest}")
    print(f"record in {options.out}; test again by {record.test_again_by}")
    return OK if record.acceptance.decision == "accepted" else SOME_FAILED


def _said(figure: Interval | None) -> str:
    if figure is None:
        return "not measured"
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def _require_training() -> None:
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise SettingsError(
            found=f"no {', '.join(missing)}",
            expected="what measures: the train extra",
            remedy="Install it: pip install 'lungscope[train]'.",
        )
