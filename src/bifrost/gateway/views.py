"""Which lists of a client are others than before, when what it may use or how an upstream is configured was changed.

Nothing is fetched for that: compared is what is known of the upstreams' lists, seen through the old rules and through
the new ones. Of an upstream whose list is not known the rules themselves are compared, so that a client may be told
once too often and never once too seldom.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from bifrost.gateway import naming
from bifrost.gateway.catalog import Catalog, reaches
from bifrost.gateway.lists import opens
from bifrost.gateway.models import KINDS, TOOLS, Call, Kind
from bifrost.upstreams.models import Upstream

Enabled = Mapping[str, Upstream]
"""By id."""


@dataclass(frozen=True, slots=True)
class Views:
    catalog: Catalog

    def changed(self, before: tuple[Call, Enabled], after: tuple[Call, Enabled], ids: Iterable[str]) -> set[str]:
        """The notifications for those kinds of lists in which these upstreams are shown otherwise now."""
        found: set[str] = set()
        (old_call, old), (new_call, new) = before, after
        for upstream_id in ids:
            for kind in KINDS:
                was = self._view(old_call, old.get(upstream_id), kind)
                if was != self._view(new_call, new.get(upstream_id), kind):
                    found.add(kind.changed)
        return found

    def _view(self, call: Call, upstream: Upstream | None, kind: Kind) -> Hashable:
        """What the caller sees of an upstream in a list of this kind; None when it is nothing."""
        if upstream is None or not reaches(call, upstream) or not (kind is TOOLS or opens(call, upstream)):
            return None
        known = self.catalog.known(upstream, call.caller.identity, kind)
        if known is None:
            return None if self.catalog.lacks(upstream, call.caller.identity, kind) else _rules(call, upstream)
        keys = [key for key in known if kind is not TOOLS or _allows(call, upstream, key)]
        prefix = naming.prefix(upstream) if kind.key == "name" and not call.endpoint.only else ""
        return tuple(prefix + key for key in keys) or None


def by_id(upstreams: Iterable[Upstream]) -> Enabled:
    return {upstream.id: upstream for upstream in upstreams}


def candidates(call: Call, enabled: Enabled) -> Enabled:
    """Those behind the endpoint, whether or not the caller may use them."""
    return {call.endpoint.only.id: call.endpoint.only} if call.endpoint.only else enabled


def settings(upstream: Upstream | None) -> Hashable:
    """What decides about lists in how an upstream is configured."""
    return upstream and (upstream.name, upstream.tools_to_execute, upstream.allow_on_all_virtual_keys, upstream.way)


def _allows(call: Call, upstream: Upstream, tool: str) -> bool:
    offered, to_all = upstream.tools_to_execute, upstream.allow_on_all_virtual_keys
    return call.policy.allows(upstream.name, tool, offered=offered, open_to_all_keys=to_all)


def _rules(call: Call, upstream: Upstream) -> Hashable:
    configs = (call.policy.key_configs, *call.policy.within)
    own = tuple(tuple(one for one in group if one.mcp_client_name == upstream.name) for group in configs)
    return settings(upstream), bool(call.endpoint.only), own
