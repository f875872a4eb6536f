"""Administering upstreams: list, add, change, delete, and look at their tools."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import structlog

from bifrost.base import ids
from bifrost.base.clock import Clock
from bifrost.base.errors import DomainError
from bifrost.base.sealing import SealBrokenError
from bifrost.http.client import OutboundClient, OutsideUrlRefused
from bifrost.protocol import upstream_metadata
from bifrost.upstreams.accounts import discovery_owner
from bifrost.upstreams.admin_sign_ins import AdminSignIns
from bifrost.upstreams.administration import KnownTool, ManagedUpstream, SetUp
from bifrost.upstreams.credential_life import CredentialLife, HeldQuery
from bifrost.upstreams.errors import (
    AdministratorMustSignIn,
    NotForThisUpstream,
    UnknownUpstream,
    UpstreamBusy,
    UpstreamInvalid,
    UpstreamTaken,
)
from bifrost.upstreams.inspection import GATEWAY
from bifrost.upstreams.models import Change, NewUpstream, OAuthConfig, Upstream
from bifrost.upstreams.registry import Upstreams
from bifrost.upstreams.rules import check
from bifrost.upstreams.submissions import Submissions
from bifrost.upstreams.upkeep import Upkeep
from bifrost.upstreams.vault import Vault

KEEP = "<redacted>"
"""Stands for a secret in every answer; sent back it means that the stored one stays."""

ATTEMPTS = 3
MAX_STDERR_LINES = 100
_FIXED = ("connection_type", "auth_type", "oauth_config_id")
_CONTACT = frozenset(("connection_string", "stdio_config", "tls_config", "headers", "oauth_config", "disabled"))
"""Members after whose change the upstream is looked at again."""

_TAKEN = {
    "name": "Another MCP client has this name already. Choose another one, or change that one.",
    "endpoint_slug": "Another MCP client or a virtual MCP has this endpoint_slug, by default the name in lower case. "
    "Choose another.",
    "oauth_config_id": "Another MCP client has this oauth_config_id. Leave it out to have one made.",
    "client_id": "There is an MCP client with this client_id already. Leave it out to have one made.",
}

log = structlog.get_logger()


class ManagementStore(Protocol):
    async def managed(self) -> list[ManagedUpstream]:
        """All but pending ones, by name."""
        ...

    async def managed_one(self, *, upstream_id: str = "", oauth_config_id: str = "") -> ManagedUpstream | None: ...

    async def known_tools(self, upstream_id: str) -> list[KnownTool]: ...

    async def add(self, upstream: Upstream, now: int, set_up: SetUp | None = None) -> str:
        """With a set-up it is pending. The member in which another one stands in the way; empty when it was added."""
        ...

    async def change(self, upstream: Upstream, revision: int, change: Change, now: int) -> str | None:
        """As `add`; None when it is not of this revision any more. It no longer follows the configuration file."""
        ...

    async def delete(self, upstream_id: str, now: int) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which upstreams; empty members ask for nothing. Within a member any of its values will do."""

    search: str = ""
    """In the name, in any case."""
    server: str = ""
    connection_types: frozenset[str] = frozenset()
    auth_types: frozenset[str] = frozenset()
    states: frozenset[str] = frozenset()
    disabled: bool | None = None
    limit: int = 25
    offset: int = 0

    def wants(self, upstream: Upstream) -> bool:
        return (
            self.search.lower() in upstream.name.lower()
            and self.server in ("", upstream.id)
            and (not self.connection_types or upstream.connection_type in self.connection_types)
            and (not self.auth_types or upstream.auth_type in self.auth_types)
            and (not self.states or upstream.shown_state in self.states)
            and self.disabled in (None, upstream.disabled)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An upstream as an administrator sees it: names of its secrets, never their values."""

    managed: ManagedUpstream
    tools: list[KnownTool]
    header_names: tuple[str, ...]
    oauth_config: OAuthConfig = field(repr=False)
    """With `KEEP` in the place of the secret."""

    stderr: list[str]
    """What its programs last wrote to their standard error, as far as they are this process's."""


@dataclass(frozen=True, slots=True)
class Management:
    store: ManagementStore
    upstreams: Upstreams
    admin_sign_ins: AdminSignIns
    upkeep: Upkeep
    life: CredentialLife
    submissions: Submissions
    vault: Vault
    outbound: OutboundClient
    named_by_keys: Callable[[str], Awaitable[int]]
    """How many virtual keys and virtual MCPs name an upstream of this name in their mcp_configs."""
    clock: Clock
    stderr: Callable[[str], list[str]] = lambda _upstream_id: []
    """The last that the programs of an upstream wrote to their standard error, without secrets."""

    async def page(self, query: Query) -> tuple[list[Shown], int]:
        """A page by name, and how many there are in all."""
        found = [managed for managed in await self.store.managed() if query.wants(managed.upstream)]
        page = found[query.offset : query.offset + query.limit]
        return [await self._shown(managed) for managed in page], len(found)

    async def one(self, upstream_id: str) -> Shown:
        """Raises UnknownUpstream."""
        return await self._shown(await self._known(upstream_id))

    async def create(
        self, wanted: NewUpstream, client_id: str = "", user_headers: Mapping[str, str] | None = None
    ) -> tuple[Upstream, SetUp | None]:
        """The upstream, after a first look at it; with a set-up it waits for its administrator's sign-in.

        `user_headers` are the administrator's own, for per_user_headers: without them its tools are not seen yet.
        Raises UpstreamInvalid, UpstreamTaken, and with `user_headers` HeadersRefused, UpstreamUnavailable.
        """
        check(wanted)
        _refuse_placeholders(wanted)
        await self._check_place(wanted)
        upstream = replace(self.upstreams.made(wanted, client_id or ids.new_id("up_")), vetted=True)
        set_up = self.admin_sign_ins.offered(upstream) if upstream.by_oauth and not upstream.disabled else None
        taken = await self.store.add(upstream, self.clock.now(), set_up)
        if taken:
            raise UpstreamTaken(_TAKEN[taken], param=taken)
        self.upstreams.look_again()
        log.info("upstream_added", upstream=upstream.name, auth_type=upstream.auth_type, pending=set_up is not None)
        if user_headers is not None:
            await self._created_with(upstream, user_headers)
        elif set_up is None and not upstream.disabled:
            await self.upkeep.look(upstream)
        return upstream, set_up

    async def edit(self, upstream_id: str, members: Mapping[str, Any]) -> Shown:
        """Change the members given; all others stay. Raises UnknownUpstream, UpstreamInvalid, UpstreamTaken, …Busy.

        At another place, or with another client there, what was meant for the old one is of no use: everybody signs in
        again.
        """
        for _ in range(ATTEMPTS):
            managed = await self._known(upstream_id)
            wanted = self._wanted(managed.upstream, members)
            check(wanted)
            await self._check_name(managed.upstream.name, wanted.name)
            upstream, change = self.upstreams.changed(managed.upstream, wanted)
            if change != "settings":
                await self._check_place(wanted)
            upstream = replace(upstream, vetted=managed.upstream.vetted or change != "settings")
            taken = await self.store.change(upstream, managed.revision, change, self.clock.now())
            if taken:
                raise UpstreamTaken(_TAKEN[taken], param=taken)
            if taken is not None:
                self.upstreams.look_again()
                log.info("upstream_changed", upstream=upstream.name, change=change, members=sorted(members))
                await self.life.reconcile(HeldQuery(upstream=upstream_id))
                if _CONTACT & members.keys():
                    await self.upkeep.look(upstream)
                return await self.one(upstream_id)
        raise UpstreamBusy

    async def delete(self, upstream_id: str) -> Upstream:
        """With everything that hangs on it: accounts, registrations, sign-ins, tools, grants for its address.

        Where accounts can be revoked (RFC 7009), the services are told. Raises UnknownUpstream.
        """
        managed = await self._known(upstream_id)
        tell_services = await self.life.taken_at(upstream_id)
        if not await self.store.delete(upstream_id, self.clock.now()):
            raise UnknownUpstream
        self.upstreams.look_again()
        log.info("upstream_deleted", upstream=managed.upstream.name)
        await tell_services()
        return managed.upstream

    async def refresh_tools(self, upstream_id: str) -> Shown:
        """Look at it now. Raises UnknownUpstream, NotForThisUpstream, UpstreamUnavailable."""
        upstream = (await self._known(upstream_id)).upstream
        if upstream.disabled:
            raise NotForThisUpstream("It is disabled. Enable it first: PUT disabled false.")
        if not await self.upkeep.may_look(upstream):
            raise NotForThisUpstream(_HOW_TO_LOOK[upstream.auth_type])
        try:
            await self.upkeep.looked(upstream)
        except AdministratorMustSignIn as error:
            raise NotForThisUpstream(f"{error.reason} Use reauthorize.") from error
        return await self.one(upstream_id)

    async def verify_headers(self, upstream_id: str, values: Mapping[str, str]) -> Shown:
        """An administrator's own values, tried and kept: its tools are seen with them, and nothing else is done.

        Raises UnknownUpstream, NotForThisUpstream, HeadersRefused, UpstreamUnavailable.
        """
        upstream = (await self._known(upstream_id)).upstream
        if upstream.auth_type != "per_user_headers":
            raise NotForThisUpstream(f"Its auth_type is {upstream.auth_type}; only per_user_headers asks for values.")
        await self._verified(upstream, values)
        return await self.one(upstream_id)

    async def end_sign_in(self, oauth_config_id: str) -> Upstream:
        """End an administrator's sign-in, or take its account away. Raises UnknownSetUp."""
        upstream, owners = await self.admin_sign_ins.accounts(oauth_config_id)
        for owner in owners:
            await self.life.disconnect(upstream.id, owner)
        await self.admin_sign_ins.cancel(oauth_config_id)
        return upstream

    async def _created_with(self, upstream: Upstream, values: Mapping[str, str]) -> None:
        """An upstream whose values do not work was not added. Raises as `verify_headers` does."""
        try:
            if upstream.auth_type != "per_user_headers":
                raise UpstreamInvalid("Leave it out unless auth_type is per_user_headers.", param="user_headers")
            await self._verified(upstream, values)
        except DomainError:
            await self.store.delete(upstream.id, self.clock.now())
            self.upstreams.look_again()
            raise

    async def _verified(self, upstream: Upstream, values: Mapping[str, str]) -> None:
        unknown = values.keys() - set(upstream.per_user_header_keys)
        if unknown:
            raise UpstreamInvalid("user_headers may hold only the names of per_user_header_keys.", param="user_headers")
        await self.submissions.submit(upstream, discovery_owner(upstream.id), GATEWAY, values)
        await self.upkeep.looked(upstream)

    async def _known(self, upstream_id: str) -> ManagedUpstream:
        managed = await self.store.managed_one(upstream_id=upstream_id)
        if managed is None or managed.pending:
            raise UnknownUpstream
        return managed

    async def _shown(self, managed: ManagedUpstream) -> Shown:
        upstream = managed.upstream
        config = self._stored_config(upstream)
        return Shown(
            managed=managed,
            tools=await self.store.known_tools(upstream.id),
            header_names=tuple(self._stored_headers(upstream)),
            oauth_config=replace(config, client_secret=KEEP) if config.client_secret else config,
            stderr=self.stderr(upstream.id)[-MAX_STDERR_LINES:],
        )

    async def _check_place(self, wanted: NewUpstream) -> None:
        """What comes through the API leads to public addresses, or to networks that the operator opened.

        A name can lead elsewhere later, so it is judged again at every connection (`vetted`); here its author is told.
        """
        if wanted.connection_string:
            try:
                await self.outbound.check_place(upstream_metadata.origin_of(wanted.connection_string))
            except OutsideUrlRefused as error:
                raise UpstreamInvalid(error.message, param="connection_string") from error

    async def _check_name(self, old: str, new: str) -> None:
        """Keys name upstreams, so a new name would take access away from some keys and give it to others.

        Raises UpstreamInvalid.
        """
        for name in (old, new) if old != new else ():
            keys = await self.named_by_keys(name)
            if keys:
                raise UpstreamInvalid(
                    f"{keys} virtual key(s) or virtual MCP(s) name {name!r} in their mcp_configs. Change those first, "
                    "or keep the name.",
                    param="name",
                )

    def _wanted(self, known: Upstream, members: Mapping[str, Any]) -> NewUpstream:
        """Raises UpstreamInvalid."""
        for member in _FIXED:
            if member in members and members[member] != getattr(known, member):
                raise UpstreamInvalid(
                    f"The {member} of an MCP client cannot be changed. Delete it and add another one.", param=member
                )
        shared = NewUpstream.__dataclass_fields__.keys() & Upstream.__dataclass_fields__.keys()
        plain = {member: getattr(known, member) for member in shared}
        headers = self._stored_headers(known)
        if "headers" in members:
            headers = _kept_headers(members["headers"], headers)
        config = self._stored_config(known)
        if "oauth_config" in members:
            config = _kept_config(members["oauth_config"], config)
        return NewUpstream(**{**plain, **members, "headers": headers, "oauth_config": config})

    def _stored_headers(self, upstream: Upstream) -> dict[str, str]:
        """None that can be opened are none: the administrator sends them again."""
        try:
            return self.vault.open_headers(upstream)
        except SealBrokenError:
            log.warning("upstream_headers_unreadable", upstream=upstream.name)
            return {}

    def _stored_config(self, upstream: Upstream) -> OAuthConfig:
        try:
            return self.vault.open_oauth_config(upstream)
        except SealBrokenError:
            log.warning("upstream_oauth_config_unreadable", upstream=upstream.name)
            return OAuthConfig()


_HOW_TO_LOOK = {
    "oauth": "No administrator is signed in to it. Use initiate-verification, or reauthorize.",
    "per_user_oauth": "No administrator is signed in to it. Use initiate-verification, or reauthorize.",
    "per_user_headers": "No administrator has given headers for it. Use verify-headers.",
}


def _refuse_placeholders(wanted: NewUpstream) -> None:
    """Raises UpstreamInvalid."""
    for member, values in (("headers", wanted.headers.values()), ("oauth_config", [wanted.oauth_config.client_secret])):
        if KEEP in values:
            raise UpstreamInvalid(
                f"There is no stored secret yet that {KEEP} could stand for; send the value itself.", param=member
            )


def _kept_headers(sent: Mapping[str, str], stored: Mapping[str, str]) -> dict[str, str]:
    """Raises UpstreamInvalid."""
    missing = [name for name, value in sent.items() if value == KEEP and name not in stored]
    if missing:
        raise UpstreamInvalid(
            f"There is no stored value of this header that {KEEP} could stand for; send the value itself.",
            param=f"headers.{missing[0]}" if missing[0].isprintable() else "headers",
        )
    return {name: stored[name] if value == KEEP else value for name, value in sent.items()}


def _kept_config(sent: Mapping[str, Any], stored: OAuthConfig) -> OAuthConfig:
    """Members that were not sent stay."""
    if sent.get("client_secret") == KEEP:
        sent = {member: value for member, value in sent.items() if member != "client_secret"}
    return replace(stored, **sent)
