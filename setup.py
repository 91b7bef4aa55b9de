"""Puts the bundles of `models/` into the wheel, as `app/bundles`: what is installed from it can serve at once."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithBundles(build_py):
    """Copies them beside the modules; where they lie elsewhere, as in the container image, there are none to copy."""

    def run(self) -> None:
        """Build; an editable installation finds them in the checkout."""
        super().run()
        if Path("models").is_dir() and not self.editable_mode:
            shutil.copytree("models", Path(self.build_lib, "app", "bundles"), dirs_exist_ok=True)


setup(cmdclass={"build_py": WithBundles})
