"""An upstream whose certificate comes from an authority of its own (contract §9: `tls_config`)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows import _administration as admin
from tests.support.certificates import Certified, certified
from tests.support.gateway import TestGateway
from tests.support.mcp_upstream import McpUpstream
from tests.support.servers import serving

pytestmark = pytest.mark.anyio


@pytest.fixture
def authority(tmp_path: Path) -> Certified:
    return certified(tmp_path)


@pytest.fixture
def url(authority: Certified) -> Iterator[str]:
    """Asked for before the gateway, so that it outlives the gateway's connections to it."""
    certificate, key = str(authority.certificate), str(authority.key)
    with serving(McpUpstream().app(), ssl_certfile=certificate, ssl_keyfile=key) as origin:
        yield f"{origin}/mcp"


async def test_a_certificate_of_an_unknown_authority_is_not_believed(url: str, running: TestGateway) -> None:
    """Fail closed."""
    added = await admin.add(running, "inside", url)
    assert added["client"]["state"] == "disconnected"
    assert "certificate that is not trusted" in added["client"]["state_reason"]
    assert await admin.tools(running) == []


async def test_the_authority_that_an_administrator_names_is(
    url: str, running: TestGateway, authority: Certified, tmp_path: Path
) -> None:
    """And when another one is named, what was connected before does not count."""
    added = await admin.add(running, "inside", url, tls_config={"ca_cert_pem": authority.authority})
    assert added["client"]["state"] == "connected"
    assert await admin.tools(running) == ["inside-one"]
    other = certified(tmp_path, "other").authority
    changed = await admin.change(running, added["mcp_client_id"], tls_config={"ca_cert_pem": other})
    assert changed.json()["client"]["state"] == "disconnected"
    assert "error" in (await admin.call(running, "inside-one")).json()


async def test_any_certificate_is_believed_where_an_administrator_says_so(url: str, running: TestGateway) -> None:
    """For development only, and for this upstream only."""
    added = await admin.add(running, "inside", url, tls_config={"insecure_skip_verify": True})
    assert added["client"]["state"] == "connected"
    careful = await admin.add(running, "careful", url)
    assert careful["client"]["state"] == "disconnected"


@pytest.mark.parametrize("pem", ["text", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
async def test_what_is_no_certificate_is_refused(url: str, running: TestGateway, pem: str) -> None:
    """In words, when it is given."""
    body = {"name": "inside", "connection_string": url, "tls_config": {"ca_cert_pem": pem}}
    refused = await admin.api(running, "POST", "/api/mcp/client", body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tls_config")
