"""The service on arithmetic models as a process of its own: python -m tests.interop.instance PORT"""

from __future__ import annotations

import sys

import uvicorn

from app.main import create_app
from app.settings import Settings
from app.telemetry import configure_logging
from tests.fakes import arithmetic_backends

if __name__ == "__main__":
    settings = Settings.load()
    configure_logging(settings.log_level)
    app = create_app(settings, backends=arithmetic_backends())
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None)
