"""The management API's operations on virtual MCPs."""

from bifrost.governance.endpoints.virtual_mcps import (
    NewVirtualMcpBody,
    VirtualMcpAnswer,
    VirtualMcpChangesBody,
    VirtualMcpEndpoints,
    VirtualMcpsAnswer,
    VirtualMcpsQuery,
)
from bifrost.http.api import Api


def virtual_mcp_operations(api: Api, virtual_mcps: VirtualMcpEndpoints) -> None:
    many, one = "/api/mcp/virtual-mcps", "/api/mcp/virtual-mcps/{id}"
    api.route(
        many,
        virtual_mcps.index,
        "GET",
        operation="virtual_mcps_list",
        summary="List virtual MCPs: several upstreams, or some of their tools, as one endpoint",
        takes=VirtualMcpsQuery,
        gives=VirtualMcpsAnswer,
    )
    api.route(
        many,
        virtual_mcps.create,
        "POST",
        operation="virtual_mcp_create",
        summary="Make a virtual MCP",
        takes=NewVirtualMcpBody,
        gives=VirtualMcpAnswer,
        status=201,
    )
    api.route(
        one,
        virtual_mcps.show,
        "GET",
        operation="virtual_mcp_show",
        summary="Show a virtual MCP",
        gives=VirtualMcpAnswer,
    )
    api.route(
        one,
        virtual_mcps.change,
        "PUT",
        operation="virtual_mcp_change",
        summary="Change what is sent of a virtual MCP; at another address, the grants for the old one end",
        takes=VirtualMcpChangesBody,
        gives=VirtualMcpAnswer,
    )
    api.route(
        one,
        virtual_mcps.delete,
        "DELETE",
        operation="virtual_mcp_delete",
        summary="Delete a virtual MCP with the grants for it; not while keys are confined to it",
    )
    _attachments(api, virtual_mcps, f"{one}/virtual-keys/{{vk_id}}")


def _attachments(api: Api, virtual_mcps: VirtualMcpEndpoints, path: str) -> None:
    api.route(
        path,
        virtual_mcps.attach,
        "POST",
        operation="virtual_mcp_attach",
        summary="Confine a virtual key to this virtual MCP and the others that are attached to it",
        gives=VirtualMcpAnswer,
    )
    api.route(
        path,
        virtual_mcps.detach,
        "DELETE",
        operation="virtual_mcp_detach",
        summary="Take a virtual MCP off a virtual key; without any, the key is confined no more",
        gives=VirtualMcpAnswer,
    )
