"""The routes of both dialects."""

from __future__ import annotations

from fastapi import APIRouter

from app.api.routes import open_inference, tensorflow_serving

router = APIRouter()
router.include_router(tensorflow_serving.router)
router.include_router(open_inference.router)
