"""Lists of hosts, as an administrator writes them."""

import re
from collections.abc import Collection

_PORT = re.compile(r":[0-9]+$")


def is_listed(host: str, hosts: Collection[str]) -> bool:
    """`example.com` is that host alone; `*.example.com` is every host below it. Ports and a last dot say nothing."""
    name = _PORT.sub("", host).lower().removesuffix(".")
    return any(
        name == listed.lower() or (listed.startswith("*.") and name.endswith(listed[1:].lower())) for listed in hosts
    )
