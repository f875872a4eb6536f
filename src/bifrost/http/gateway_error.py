"""The gateway's JSON error (contract §2), built in this one place. All members are always there."""

from typing import Any

from starlette.responses import JSONResponse

from bifrost.base.errors import DomainError
from bifrost.http import status


def body(error: DomainError, *, event_id: str, operation: str) -> dict[str, Any]:
    code, kind = status.of(error)
    return {
        "event_id": event_id,
        "type": kind,
        "is_bifrost_error": True,
        "status_code": code,
        "error": {
            "type": kind,
            "code": error.code,
            "message": error.message,
            "param": error.param,
            "event_id": event_id,
        },
        "extra_fields": {"model_requested": "", "request_type": operation},
    }


def response(error: DomainError, *, event_id: str, operation: str) -> JSONResponse:
    return JSONResponse(
        body(error, event_id=event_id, operation=operation),
        status_code=status.of(error)[0],
        headers={"Cache-Control": "no-store", **status.headers(error)},
    )
