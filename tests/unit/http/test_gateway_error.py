"""The gateway's JSON error."""

import json

from bifrost.base import errors
from bifrost.http import gateway_error


def test_all_members_are_there_and_an_empty_string_where_nothing_applies() -> None:
    """Contract §2, the whole body."""
    assert gateway_error.body(errors.NotFound("There is nothing."), event_id="evt_1", operation="unknown") == {
        "event_id": "evt_1",
        "type": "not_found_error",
        "is_bifrost_error": True,
        "status_code": 404,
        "error": {
            "type": "not_found_error",
            "code": "not_found",
            "message": "There is nothing.",
            "param": "",
            "event_id": "evt_1",
        },
        "extra_fields": {"model_requested": "", "request_type": "unknown"},
    }


def test_the_answer_has_the_status_of_its_body_and_is_never_stored() -> None:
    """Contract §2."""
    answer = gateway_error.response(
        errors.Invalid("No.", code="invalid_target", param="resource"), event_id="evt_1", operation="oauth_authorize"
    )
    body = json.loads(bytes(answer.body))
    assert answer.status_code == body["status_code"] == 400
    assert (body["error"]["code"], body["error"]["param"]) == ("invalid_target", "resource")
    assert answer.headers["cache-control"] == "no-store"


def test_a_storage_that_does_not_answer_says_when_to_come_back() -> None:
    """Contract §2: 503 with Retry-After."""
    answer = gateway_error.response(errors.Unavailable("Later."), event_id="evt_1", operation="x")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
