"""Whom to believe that they are the server."""

import ssl
from pathlib import Path

import pytest

from bifrost.http.tls import MACHINE, Trust, context
from tests.support.certificates import certified


def test_the_machines_authorities_are_believed_when_nothing_else_is_said() -> None:
    """Fail closed: names and certificates are checked."""
    made = context(MACHINE)
    assert (made.check_hostname, made.verify_mode) == (True, ssl.CERT_REQUIRED)


def test_other_authorities_are_believed_instead_of_the_machines(tmp_path: Path) -> None:
    """Contract §9: `tls_config.ca_cert_pem`."""
    made = context(Trust(ca_cert_pem=certified(tmp_path).authority))
    assert (made.check_hostname, made.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert len(made.get_ca_certs()) == 1


def test_anybody_is_believed_only_when_that_was_said() -> None:
    """Contract §9: `tls_config.insecure_skip_verify`."""
    made = context(Trust(insecure_skip_verify=True))
    assert (made.check_hostname, made.verify_mode) == (False, ssl.CERT_NONE)


@pytest.mark.parametrize("pem", ["text", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", " ", "ü"])
def test_what_is_no_certificate_is_refused(pem: str) -> None:
    """Ours: in words, not as a crash at the first call."""
    with pytest.raises(ValueError, match="certificate"):
        context(Trust(ca_cert_pem=pem))


def test_the_certificate_of_a_server_is_not_one_of_an_authority(tmp_path: Path) -> None:
    """Ours: the usual mistake is said to be one."""
    with pytest.raises(ValueError, match="authority"):
        context(Trust(ca_cert_pem=certified(tmp_path).certificate.read_text()))
