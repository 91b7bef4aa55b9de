"""Which of the servers a test is about."""

from __future__ import annotations

import pytest

OURS = pytest.mark.parametrize("server", ["lungscope"], indirect=True)
