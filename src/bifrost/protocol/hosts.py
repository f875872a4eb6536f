"""Lists of hosts, as an administrator writes them."""

import re
from collections.abc import Collection

_PORT = re.compile(r":[0-9]+$")
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]", re.IGNORECASE)
_APPLICATION = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def may_stand(listed: str, *, applications: bool) -> bool:
    """Whether anything could ever be found by it: what blocks nothing must not look as if it did."""
    return bool(_HOST.fullmatch(listed) or (applications and _APPLICATION.fullmatch(listed)))


def is_listed(host: str, hosts: Collection[str]) -> bool:
    """`example.com` is that host alone; `*.example.com` is every host below it. Ports and a last dot say nothing."""
    name = _PORT.sub("", host).lower().removesuffix(".")
    return any(
        name == listed.lower() or (listed.startswith("*.") and name.endswith(listed[1:].lower())) for listed in hosts
    )
