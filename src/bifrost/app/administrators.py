"""Who administrates, as HTTP knows them."""

from bifrost.app.foundation import Foundation
from bifrost.http.client_address import TrustedProxies
from bifrost.identity.endpoints.administrator import AdministratorEndpoints


def administrator_sessions(parts: Foundation) -> AdministratorEndpoints:
    """The guard of the management API; pages ask it too."""
    proxies = TrustedProxies(parts.settings.server.trusted_proxies)
    return AdministratorEndpoints(parts.administrators, parts.public_urls, proxies)
