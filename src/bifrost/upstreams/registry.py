"""The registry of upstreams: adding one, and the current list, at most one second old."""

import re
from dataclasses import dataclass, field

import structlog

from bifrost.base import ids
from bifrost.base.clock import SECOND, Clock
from bifrost.upstreams.errors import UpstreamInvalid
from bifrost.upstreams.models import NewUpstream, Upstream
from bifrost.upstreams.store import UpstreamStore
from bifrost.upstreams.vault import Vault

MAX_AGE_MILLISECONDS = 1 * SECOND
"""A change made by any process is felt within this time (contract §6)."""

MAX_TIMEOUT_SECONDS = 600
_NAME = re.compile(r"[A-Za-z0-9_]{1,48}")
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_URL = re.compile(r"https?://[!-~]+")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE = re.compile(r"[\t -~]{0,8192}")

log = structlog.get_logger()


@dataclass(slots=True)
class Upstreams:
    store: UpstreamStore
    vault: Vault
    clock: Clock
    _listed: list[Upstream] = field(default_factory=list)
    _listed_at: int = -MAX_AGE_MILLISECONDS

    async def configure(self, wanted: NewUpstream, config_mac: str) -> None:
        """Make it as the configuration says, unless it was changed otherwise since. Raises UpstreamInvalid."""
        check(wanted)
        now = self.clock.now()
        known_id = await self.store.upstream_id(wanted.name)
        upstream = self._upstream(wanted, known_id or ids.new_id("up_"))
        if known_id is None:
            if await self.store.add_upstream(upstream, config_mac, now):
                log.info("upstream_added", upstream=wanted.name, auth_type=wanted.auth_type)
            elif await self.store.upstream_id(wanted.name) is None:
                raise UpstreamInvalid(
                    f"Another upstream has the endpoint_slug of {wanted.name!r} already.", param="endpoint_slug"
                )
        elif await self.store.reconfigure_upstream(upstream, config_mac, now):
            log.info("upstream_changed", upstream=wanted.name, auth_type=wanted.auth_type)
        self._listed_at = now - MAX_AGE_MILLISECONDS

    def _upstream(self, wanted: NewUpstream, upstream_id: str) -> Upstream:
        return Upstream(
            id=upstream_id,
            name=wanted.name,
            endpoint_slug=wanted.endpoint_slug or wanted.name.lower(),
            connection_type=wanted.connection_type,
            connection_string=wanted.connection_string,
            auth_type=wanted.auth_type,
            tools_to_execute=wanted.tools_to_execute,
            allow_on_all_virtual_keys=wanted.allow_on_all_virtual_keys,
            tool_execution_timeout=wanted.tool_execution_timeout,
            disabled=wanted.disabled,
            sealed_headers=self.vault.seal_headers(upstream_id, wanted.headers),
            sealed_oauth_config=self.vault.seal_oauth_config(upstream_id, wanted.oauth_config),
        )

    async def enabled(self) -> list[Upstream]:
        """Every upstream that is not disabled, by name."""
        now = self.clock.now()
        if now - self._listed_at >= MAX_AGE_MILLISECONDS:
            self._listed = [upstream for upstream in await self.store.upstreams() if not upstream.disabled]
            self._listed_at = now
        return self._listed

    async def by_slug(self, slug: str) -> Upstream | None:
        return next((upstream for upstream in await self.enabled() if upstream.endpoint_slug == slug), None)


def check(wanted: NewUpstream) -> None:
    """Raises UpstreamInvalid, naming the member."""
    rules = (
        ("name", _NAME.fullmatch(wanted.name), "letters, digits and _, at most 48 (no hyphen: it separates the tool)"),
        (
            "endpoint_slug",
            _SLUG.fullmatch(wanted.endpoint_slug or wanted.name.lower()),
            "a-z, 0-9, - and _, beginning with a letter or digit",
        ),
        ("connection_string", _URL.fullmatch(wanted.connection_string), "an http or https URL"),
        ("headers", all(map(_is_header, wanted.headers.items())), "header names with visible ASCII values"),
        (
            "tool_execution_timeout",
            1 <= wanted.tool_execution_timeout <= MAX_TIMEOUT_SECONDS,
            f"between 1 and {MAX_TIMEOUT_SECONDS} seconds",
        ),
    )
    for member, holds, rule in rules:
        if not holds:
            raise UpstreamInvalid(f"The upstream {wanted.name!r} has an invalid {member}: {rule}.", param=member)
    if wanted.headers and wanted.auth_type == "none":
        raise UpstreamInvalid(
            f"The upstream {wanted.name!r} has headers, so its auth_type must be headers.", param="auth_type"
        )


def _is_header(pair: tuple[str, str]) -> bool:
    return bool(_HEADER_NAME.fullmatch(pair[0]) and _HEADER_VALUE.fullmatch(pair[1]))
