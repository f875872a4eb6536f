"""The registry of upstreams: adding one, and the current list, at most one second old."""

from dataclasses import dataclass, field, replace

import structlog

from bifrost.base import events, ids
from bifrost.base.clock import SECOND, Clock
from bifrost.base.sealing import SealBrokenError
from bifrost.upstreams.errors import UpstreamInvalid
from bifrost.upstreams.models import BY_OAUTH, AuthType, Change, NewUpstream, Upstream, UpstreamState
from bifrost.upstreams.rules import check
from bifrost.upstreams.store import UpstreamStore
from bifrost.upstreams.transports.stdio.command import AllowedCommands
from bifrost.upstreams.vault import Vault

MAX_AGE_MILLISECONDS = 1 * SECOND
"""A change made by any process is felt within this time (contract §6)."""

_NOT_CONTACTED: tuple[UpstreamState, str] = ("disconnected", "It has not been contacted yet.")
_NOT_SIGNED_IN: tuple[UpstreamState, str] = ("pending_verification", "An administrator has yet to sign in to it once.")
_FIRST_STATES: dict[AuthType, tuple[UpstreamState, str]] = {
    "none": _NOT_CONTACTED,
    "headers": _NOT_CONTACTED,
    "oauth": _NOT_SIGNED_IN,
    "per_user_oauth": _NOT_SIGNED_IN,
    "per_user_headers": ("pending_verification", "An administrator has yet to verify it with headers of their own."),
}
"""State and reason of an upstream that is new, or new in what matters."""

log = structlog.get_logger()


@dataclass(slots=True)
class Upstreams:
    store: UpstreamStore
    vault: Vault
    clock: Clock
    commands: AllowedCommands = field(default_factory=lambda: AllowedCommands(()))
    _listed: list[Upstream] = field(default_factory=list)
    _by_name: dict[str, Upstream] = field(default_factory=dict)
    _by_slug: dict[str, Upstream] = field(default_factory=dict)
    _listed_at: int = -MAX_AGE_MILLISECONDS
    _looks: int = 0
    """How often this process had a reason to look again."""

    async def configure(self, wanted: NewUpstream, config_mac: str) -> None:
        """Make it as the configuration says, unless it was changed otherwise since. Raises UpstreamInvalid."""
        check(wanted)
        now = self.clock.now()
        known = await self.store.named(wanted.name)
        if known is None:
            made = self.made(wanted, ids.new_id("up_"))
            if await self.store.add_upstream(made, config_mac, now):
                events.tell(events.Name.MCP_CLIENT_ADD, target=made.id, name_of_upstream=wanted.name)
                log.info("upstream_added", upstream=wanted.name, auth_type=wanted.auth_type)
            elif await self.store.named(wanted.name) is None:
                raise UpstreamInvalid(
                    f"Another upstream or a virtual MCP has the endpoint_slug or oauth_config_id of {wanted.name!r} "
                    "already.",
                    param="endpoint_slug",
                )
        else:
            upstream, change = self.changed(known, wanted)
            if await self.store.reconfigure_upstream(upstream, config_mac, change, now):
                events.tell(
                    events.Name.MCP_CLIENT_CHANGE, target=upstream.id, name_of_upstream=wanted.name, change=change
                )
                log.info("upstream_changed", upstream=wanted.name, auth_type=wanted.auth_type, change=change)
        self.look_again()

    def look_again(self) -> None:
        """After a change by this process, which then feels it at once."""
        self._listed_at = self.clock.now() - MAX_AGE_MILLISECONDS
        self._looks += 1

    def made(self, wanted: NewUpstream, upstream_id: str) -> Upstream:
        """A new upstream, its secrets sealed for it. Raises UpstreamInvalid for a program that may not be started.

        One that is disabled starts none, and can be kept when the list of programs has become shorter.
        """
        if wanted.connection_type == "stdio" and not wanted.disabled:
            self.commands.program(wanted.stdio_config)
        state, reason = _FIRST_STATES[wanted.auth_type]
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
            stdio_config=wanted.stdio_config,
            oauth_config_id=_oauth_config_id(wanted, upstream_id),
            per_user_header_keys=wanted.per_user_header_keys,
            allowed_extra_headers=wanted.allowed_extra_headers,
            is_ping_available=wanted.is_ping_available,
            tool_sync_interval=wanted.tool_sync_interval,
            max_concurrent_calls=wanted.max_concurrent_calls,
            tls_config=wanted.tls_config,
            tool_pricing=wanted.tool_pricing,
            state=state,
            state_reason=reason,
        )

    def changed(self, known: Upstream, wanted: NewUpstream) -> tuple[Upstream, Change]:
        """It as it is wanted now, and what that means for what hangs on it. At another place it begins anew.

        The same headers stay sealed as they are: sealed anew they would look like others, and end what is open there.
        """
        upstream = self.made(wanted, known.id)
        if self._same_headers(known, wanted):
            upstream = replace(upstream, sealed_headers=known.sealed_headers)
        change = self._change(known, upstream, wanted)
        if change == "settings":
            upstream = replace(upstream, state=known.state, state_reason=known.state_reason)
        return upstream, change

    def _change(self, known: Upstream, upstream: Upstream, wanted: NewUpstream) -> Change:
        if known.auth_type != upstream.auth_type:
            return "auth_type"
        places = [(one.connection_type, one.connection_string, one.stdio_config.command) for one in (known, upstream)]
        try:
            same_client = self.vault.open_oauth_config(known) == wanted.oauth_config
        except SealBrokenError:
            same_client = False
        return "settings" if places[0] == places[1] and same_client else "place"

    def _same_headers(self, known: Upstream, wanted: NewUpstream) -> bool:
        try:
            return self.vault.open_headers(known) == wanted.headers
        except SealBrokenError:
            return False

    async def enabled(self) -> list[Upstream]:
        """Every upstream that is not disabled, by name."""
        if self._is_old:
            await self._list()
        return self._listed

    @property
    def _is_old(self) -> bool:
        return self.clock.now() - self._listed_at >= MAX_AGE_MILLISECONDS

    async def _list(self) -> None:
        now, looks = self.clock.now(), self._looks
        known = {upstream.id: upstream for upstream in self._listed}
        found = [upstream for upstream in await self.store.upstreams() if not upstream.disabled]
        # one that is as it was stays the same object, so that comparing it costs nothing
        self._listed = [known[one.id] if known.get(one.id) == one else one for one in found]
        self._by_name = {upstream.name: upstream for upstream in self._listed}
        self._by_slug = {upstream.endpoint_slug: upstream for upstream in self._listed}
        if looks == self._looks:
            self._listed_at = now
        else:
            self._listed_at = now - MAX_AGE_MILLISECONDS  # what was read may be from before the change

    async def all(self) -> list[Upstream]:
        """Every upstream, disabled ones included, by name, as the database has them now."""
        return await self.store.upstreams()

    async def by_slug(self, slug: str) -> Upstream | None:
        if self._is_old:
            await self._list()
        return self._by_slug.get(slug)

    async def by_name(self, name: str) -> Upstream | None:
        """None also for one that is disabled."""
        if self._is_old:
            await self._list()
        return self._by_name.get(name)


def _oauth_config_id(wanted: NewUpstream, upstream_id: str) -> str:
    """Made from the upstream's id, so that it stays what it is when the configuration changes."""
    if wanted.auth_type not in BY_OAUTH:
        return ""
    return wanted.oauth_config_id or f"oac_{upstream_id.removeprefix('up_')}"
