"""Whether the service is well."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter

from ...store import StoreError
from ..envelope import AnswerCode, Envelope, failed, success
from .asking import Ask

__all__ = ["PATIENCE", "router"]

router = APIRouter(tags=["health"], strict_content_type=False)

PATIENCE = 5.0
"""Seconds that the store gets."""


@router.get("/healthz", response_model=Envelope[None], responses={503: {"model": Envelope[None]}})
async def health(ask: Ask) -> Any:
    """Whether the store answers. If not, the HTTP status is 503, for programs that look at nothing else."""
    try:
        async with asyncio.timeout(PATIENCE):
            await ask.perform(ask.service.check_health)
    except StoreError:
        return failed(AnswerCode.FAILED, "the store failed", 503)
    except TimeoutError:
        return failed(AnswerCode.FAILED, f"the store has not answered for {PATIENCE:g} seconds", 503)
    return success(None)
