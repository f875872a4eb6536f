"""Which tools a caller may use."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.governance import tool_policy
from bifrost.governance.models import McpConfig
from bifrost.governance.tool_policy import ToolPolicy

ALL = ("*",)


def configs(**tools: tuple[str, ...]) -> tuple[McpConfig, ...]:
    return tuple(McpConfig(mcp_client_name=name, tools_to_execute=listed) for name, listed in tools.items())


OFFERED = {(): False, ("read",): True, ("other",): False, ALL: True}
KEYS: dict[tuple[McpConfig, ...], tuple[bool, bool]] = {
    # the key's configs: whether they allow notes-read while the upstream is closed to other keys, and while it is open
    (): (False, True),
    configs(notes=ALL): (True, True),
    configs(notes=("read",)): (True, True),
    configs(notes=("other",)): (False, False),
    configs(notes=()): (False, False),
    configs(tickets=ALL): (False, True),
    configs(tickets=ALL, notes=("read",)): (True, True),
}
CLIENTS = {None: True, frozenset[str](): False, frozenset({"notes"}): True, frozenset({"tickets"}): False}
CLIENTS |= {frozenset({"*"}): True, frozenset({"Notes"}): False}
TOOLS = {None: True, frozenset[str](): False, frozenset({"notes-read"}): True, frozenset({"notes-*"}): True}
TOOLS |= {frozenset({"*"}): True, frozenset({"read"}): False, frozenset({"tickets-*"}): False}
TOOLS |= {frozenset({"notes-write"}): False, frozenset({"tickets-read", "notes-read"}): True}


@pytest.mark.parametrize("open_to_all_keys", [False, True])
@pytest.mark.parametrize("key", KEYS)
def test_a_tool_is_allowed_exactly_when_every_filter_allows_it(
    key: tuple[McpConfig, ...], *, open_to_all_keys: bool
) -> None:
    """Contract §7: tools_to_execute ∩ request headers ∩ mcp_configs, the whole truth table."""
    for (offered, a), (clients, b), (tools, c) in product(OFFERED.items(), CLIENTS.items(), TOOLS.items()):
        policy = ToolPolicy(key_configs=key, include_clients=clients, include_tools=tools)
        allowed = policy.allows("notes", "read", offered=offered, open_to_all_keys=open_to_all_keys)
        assert allowed is (a and b and c and KEYS[key][open_to_all_keys]), (offered, clients, tools)


WITHIN: dict[tuple[tuple[McpConfig, ...], ...], bool] = {
    (): True,
    (configs(notes=ALL),): True,
    (configs(notes=("read",)),): True,
    (configs(notes=("other",)),): False,
    (configs(tickets=ALL),): False,
    ((),): False,
    (configs(tickets=ALL, notes=("read",)), configs(notes=ALL)): True,
    (configs(notes=ALL), configs(tickets=ALL)): False,
}


@pytest.mark.parametrize("open_to_all_keys", [False, True])
@pytest.mark.parametrize("within", WITHIN)
def test_a_virtual_mcp_only_ever_narrows(within: tuple[tuple[McpConfig, ...], ...], *, open_to_all_keys: bool) -> None:
    """Contract §7: … ∩ bundle; what a key may not use, no virtual MCP gives it."""
    for key, allows in KEYS.items():
        policy = ToolPolicy(key_configs=key, within=within)
        allowed = policy.allows("notes", "read", offered=ALL, open_to_all_keys=open_to_all_keys)
        assert allowed is (WITHIN[within] and allows[open_to_all_keys])
        assert policy.reaches("notes", open_to_all_keys=open_to_all_keys) or not allowed


def test_a_key_that_names_an_upstream_with_no_tools_gets_none_even_if_it_is_open_to_all_keys() -> None:
    """Contract §9: `[]` is none."""
    policy = ToolPolicy(key_configs=configs(notes=()))
    assert not policy.allows("notes", "read", offered=ALL, open_to_all_keys=True)


def test_without_a_key_only_what_is_open_to_every_key_is_reached() -> None:
    """Contract §7: leaving a key out never gives more than presenting one."""
    nobody = ToolPolicy(key_configs=())
    assert nobody.allows("notes", "read", offered=ALL, open_to_all_keys=True)
    assert not nobody.allows("notes", "read", offered=ALL, open_to_all_keys=False)
    assert not nobody.reaches("notes", open_to_all_keys=False)


def test_two_entries_for_one_upstream_add_up() -> None:
    """Contract §9."""
    policy = ToolPolicy(key_configs=configs(notes=("read",)) + configs(notes=("write",)))
    assert policy.allows("notes", "read", offered=ALL, open_to_all_keys=False)
    assert policy.allows("notes", "write", offered=ALL, open_to_all_keys=False)
    assert not policy.allows("notes", "drop", offered=ALL, open_to_all_keys=False)


NAME = st.sampled_from(["notes", "tickets", "a"])
TOOL = st.sampled_from(["read", "write", "*", "x-y"])
LIST = st.lists(TOOL, max_size=3).map(tuple)
POLICY = st.builds(
    ToolPolicy,
    key_configs=st.lists(st.builds(McpConfig, mcp_client_name=NAME, tools_to_execute=LIST), max_size=3).map(tuple),
    include_clients=st.none() | st.frozensets(NAME | st.just("*"), max_size=2),
    include_tools=st.none() | st.frozensets(st.builds("{}-{}".format, NAME, TOOL) | st.just("*"), max_size=2),
)


@given(POLICY, NAME, TOOL, LIST, st.booleans())
def test_an_upstream_of_which_a_tool_is_allowed_is_reached(
    policy: ToolPolicy, upstream: str, tool: str, offered: tuple[str, ...], open_to_all_keys: bool
) -> None:
    """An upstream that is not asked must have nothing for the caller."""
    if policy.allows(upstream, tool, offered=offered, open_to_all_keys=open_to_all_keys):
        assert policy.reaches(upstream, open_to_all_keys=open_to_all_keys)


@given(POLICY, NAME, TOOL, LIST, st.booleans())
def test_the_headers_of_a_request_only_ever_narrow(
    policy: ToolPolicy, upstream: str, tool: str, offered: tuple[str, ...], open_to_all_keys: bool
) -> None:
    """Contract §7: a caller cannot give itself a tool."""
    without_headers = ToolPolicy(key_configs=policy.key_configs)
    if policy.allows(upstream, tool, offered=offered, open_to_all_keys=open_to_all_keys):
        assert without_headers.allows(upstream, tool, offered=offered, open_to_all_keys=open_to_all_keys)


@pytest.mark.parametrize(
    ("key", "open_to_all_keys", "reached"),
    [
        ((), False, False),
        ((), True, True),
        (configs(notes=ALL), False, True),
        (configs(notes=()), False, False),
        (configs(tickets=ALL), False, False),
    ],
)
def test_an_upstream_is_asked_only_if_it_may_have_something(
    key: tuple[McpConfig, ...], *, open_to_all_keys: bool, reached: bool
) -> None:
    """Contract §7: a tool the caller may not use does not exist for them."""
    assert ToolPolicy(key_configs=key).reaches("notes", open_to_all_keys=open_to_all_keys) is reached


ANSWERED = [
    (upstream, tool, offered, open_to_all_keys)
    for upstream, tool, offered, open_to_all_keys in product(
        ("notes", "tickets"), ("read", "*"), ((), ("read",), ALL), (False, True)
    )
]


def answers(policy: ToolPolicy) -> list[tuple[bool, bool]]:
    return [
        (
            policy.allows(upstream, tool, offered=offered, open_to_all_keys=open_to_all_keys),
            policy.reaches(upstream, open_to_all_keys=open_to_all_keys),
        )
        for upstream, tool, offered, open_to_all_keys in ANSWERED
    ]


@given(st.lists(POLICY, min_size=2, max_size=4))
def test_rules_that_were_read_before_are_never_somebody_elses(policies: list[ToolPolicy]) -> None:
    """Contract §7: what is remembered of one key, or of what it was before it was changed, counts for nobody else."""
    forget()
    together = [answers(policy) for policy in (*policies, *policies)]
    alone = []
    for policy in policies:
        forget()
        alone.append(answers(policy))
    assert together == alone + alone


def forget() -> None:
    tool_policy._by_upstream.cache_clear()
    tool_policy._named.cache_clear()


def test_no_more_rules_are_remembered_than_so_many() -> None:
    """Ours: keys come and go for years."""
    for remembered in (tool_policy._by_upstream, tool_policy._named):
        assert remembered.cache_parameters()["maxsize"] == tool_policy.MAX_REMEMBERED


@pytest.mark.parametrize("include_clients", [frozenset[str](), frozenset({"tickets"})])
def test_an_upstream_that_the_request_leaves_out_is_not_asked(include_clients: frozenset[str]) -> None:
    """Contract §7, x-bf-mcp-include-clients: a slow upstream that nobody wants to hear of holds nobody up."""
    policy = ToolPolicy(key_configs=configs(notes=ALL), include_clients=include_clients)
    assert not policy.reaches("notes", open_to_all_keys=True)


@pytest.mark.parametrize(("within", "reached"), [(within, allowed) for within, allowed in WITHIN.items() if within])
def test_an_upstream_of_which_a_virtual_mcp_has_nothing_is_not_asked(
    within: tuple[tuple[McpConfig, ...], ...], *, reached: bool
) -> None:
    """Contract §7: … ∩ bundle; whether any tool is left, not whether it is this one."""
    some = reached or all(any(config.mcp_client_name == "notes" for config in configs) for configs in within)
    assert ToolPolicy(key_configs=configs(notes=ALL), within=within).reaches("notes", open_to_all_keys=False) is some


def test_whoever_may_use_every_tool_need_not_be_asked_about_each() -> None:
    """Contract §9: `*` is all, also those to come."""
    policy = ToolPolicy(key_configs=configs(notes=ALL, tickets=("read",)))
    assert policy.allowed("notes", offered=ALL, open_to_all_keys=False).all
    assert not policy.allowed("notes", offered=("read",), open_to_all_keys=False).all
    assert not policy.allowed("tickets", offered=ALL, open_to_all_keys=False).all
