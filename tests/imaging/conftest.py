"""What every imaging test needs: decoders as quiet as the service makes them."""

from __future__ import annotations

import pytest

from app.imaging.read import quiet_decoders


@pytest.fixture(autouse=True)
def _quiet() -> None:
    quiet_decoders()
