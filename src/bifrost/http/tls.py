"""Whom to believe that they are the server: the machine's authorities, others, or, for development, anybody."""

import ssl
from dataclasses import dataclass
from functools import lru_cache

MAX_CONTEXTS = 256


@dataclass(frozen=True, slots=True)
class Trust:
    insecure_skip_verify: bool = False
    """Believe any certificate. Whoever is on the way can then read and change everything."""

    ca_cert_pem: str = ""
    """Certificates of the authorities to believe instead of the machine's own, in PEM."""


MACHINE = Trust()
"""The authorities of this machine."""


@lru_cache(MAX_CONTEXTS)
def context(trust: Trust) -> ssl.SSLContext:
    """Made once for each kind of trust. Raises ValueError when the certificates cannot be read."""
    try:
        made = ssl.create_default_context(cadata=trust.ca_cert_pem or None)
    except (ssl.SSLError, TypeError) as error:  # TypeError: not ASCII
        raise ValueError("these are not certificates in PEM") from error
    if trust.ca_cert_pem and not made.get_ca_certs():
        raise ValueError("there is no certificate of an authority among them")
    if trust.insecure_skip_verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made
