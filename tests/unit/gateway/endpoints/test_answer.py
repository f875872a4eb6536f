"""Answers as events: one message is one event, whatever an upstream put into it."""

import pytest

from bifrost.gateway.endpoints.answer import event

SPACED = b'{\r\n "content":\n\n[],\r"x":"\\n\\nevent: evil\\ndata: {}"\n}'


@pytest.mark.parametrize("event_id", ["", "abc.1"])
def test_line_ends_inside_a_message_begin_no_field_and_no_event(event_id: str) -> None:
    """HTML, server-sent events: JSON may have line ends between its parts, an event has them between its fields."""
    lines = event(SPACED, event_id).split(b"\n")
    assert lines[-2:] == [b"", b""]
    fields = [line.partition(b":")[0] for line in lines[:-2]]
    assert fields == ([b"id"] if event_id else []) + [b"event", b"data"]
    assert b"\r" not in event(SPACED, event_id)
    assert lines[-3] == b'data: { "content":[],"x":"\\n\\nevent: evil\\ndata: {}"}'
