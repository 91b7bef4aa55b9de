"""Keeps the decoders of pictures from writing about what they meet."""

from __future__ import annotations

import logging
import warnings

import cv2


def quiet_image_libraries() -> None:
    """Silence Pillow, which logs the tags of a picture at debug level, and OpenCV, which prints to standard error,
    where no log format and no request id apply: call once at start-up."""
    warnings.filterwarnings("ignore", module=r"PIL\b")
    for name in ("PIL", "imagecodecs"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
