"""The management API's operations on virtual keys."""

from bifrost.governance.endpoints.virtual_keys import (
    KeyAnswer,
    KeyChangesBody,
    KeysAnswer,
    KeysQuery,
    NewKeyBody,
    VirtualKeyEndpoints,
)
from bifrost.http.api import Api


def key_operations(api: Api, keys: VirtualKeyEndpoints) -> None:
    many, one = "/api/governance/virtual-keys", "/api/governance/virtual-keys/{id}"
    api.route(
        many,
        keys.index,
        "GET",
        operation="virtual_keys_list",
        summary="List virtual keys",
        takes=KeysQuery,
        gives=KeysAnswer,
    )
    api.route(
        many,
        keys.create,
        "POST",
        operation="virtual_key_create",
        summary="Make a virtual key; its value is told this once",
        takes=NewKeyBody,
        gives=KeyAnswer,
        status=201,
    )
    api.route(one, keys.show, "GET", operation="virtual_key_show", summary="Show a virtual key", gives=KeyAnswer)
    api.route(
        one,
        keys.change,
        "PUT",
        operation="virtual_key_change",
        summary="Change what is sent of a virtual key",
        takes=KeyChangesBody,
        gives=KeyAnswer,
    )
    api.route(
        one,
        keys.delete,
        "DELETE",
        operation="virtual_key_delete",
        summary="Delete a virtual key with its grants and connected accounts",
    )
    api.route(
        f"{one}/rotate",
        keys.rotate,
        "POST",
        operation="virtual_key_rotate",
        summary="Give a virtual key a new value, told this once; what hangs on the key stays",
        gives=KeyAnswer,
    )
