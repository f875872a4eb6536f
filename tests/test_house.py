"""The house rules that no linter knows: sizes, mirrors, tables that are complete, documents that are true."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bifrost.app import build
from bifrost.base.errors import DomainError
from bifrost.http import status
from bifrost.http.api import ByMethod
from bifrost.http.router import Route
from bifrost.settings import load
from bifrost.storage.migrate import migrations
from tests.support.gateway import RING, routes
from tools import docs, proofs

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "bifrost"
UNIT = ROOT / "tests" / "unit"
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 50
MODULES = sorted(SOURCE.rglob("*.py"))

COVERED_BY_STORIES = {
    # wiring: every story runs through it
    "__main__.py": "tests/unit/cli",
    "app/__init__.py": "tests/flows/test_sign_in.py",
    "app/credential_life.py": "tests/flows/test_credential_life.py",
    "app/administrators.py": "tests/flows/test_administrators.py",
    "app/authorization_server.py": "tests/flows/test_sign_in.py",
    "app/held_operations.py": "tests/flows/test_held_api.py",
    "app/issuing.py": "tests/flows/test_token_endpoint.py",
    "app/grant_operations.py": "tests/flows/test_issued_grants.py",
    "app/client_operations.py": "tests/flows/test_clients_api.py",
    "app/clients.py": "tests/flows/test_client_documents.py",
    "app/foundation.py": "tests/flows/test_sign_in.py",
    "app/key_operations.py": "tests/flows/test_virtual_keys_api.py",
    "app/virtual_mcp_operations.py": "tests/flows/test_virtual_mcps_api.py",
    "app/management.py": "tests/flows/test_management.py",
    "app/mcp_endpoint.py": "tests/flows/test_mcp_upstreams.py",
    "app/upstream_administration.py": "tests/flows/test_managing_upstreams.py",
    "app/routes.py": "tests/flows/test_sign_in.py",
    "cli/opened.py": "tests/unit/cli/test_keys.py",
    "bootstrap.py": "tests/flows/test_sign_in.py",
    "settings/check.py": "tests/unit/settings/test_load.py",
    # use-cases whose whole point is the store: told as stories over a real database
    "audit/trail.py": "tests/flows/test_audit.py",
    "audit/endpoints/recorder.py": "tests/flows/test_audit.py",
    "audit/endpoints/trail.py": "tests/flows/test_audit.py",
    "authserver/authorize.py": "tests/flows/test_authorization_endpoint.py",
    "authserver/client_assertions.py": "tests/flows/test_client_assertions.py",
    "authserver/client_documents.py": "tests/flows/test_client_documents.py",
    "authserver/client_registry.py": "tests/flows/test_clients_api.py",
    "authserver/clients.py": "tests/flows/test_client_documents.py",
    "authserver/connect.py": "tests/flows/test_connecting.py",
    "authserver/consent.py": "tests/flows/test_consent_lifecycle.py",
    "authserver/identities.py": "tests/flows/test_consent_lock.py",
    "authserver/introspect.py": "tests/flows/test_introspection.py",
    "authserver/issued_grants.py": "tests/flows/test_issued_grants.py",
    "authserver/pushed.py": "tests/flows/test_pushed_requests.py",
    "authserver/register.py": "tests/flows/test_registration.py",
    "authserver/remembered.py": "tests/flows/test_remembered_consent.py",
    "authserver/restored.py": "tests/flows/test_restored.py",
    "authserver/revoke.py": "tests/flows/test_revocation.py",
    "authserver/services.py": "tests/flows/test_consent.py",
    "authserver/signing_keys.py": "tests/flows/test_signing_keys.py",
    "authserver/grants/authorization_code.py": "tests/flows/test_token_endpoint.py",
    "authserver/grants/base.py": "tests/flows/test_resource_and_scope.py",
    "authserver/grants/refresh_token.py": "tests/flows/test_refresh.py",
    # HTTP of a slice: nothing is left of it without its application
    "authserver/endpoints/authorize.py": "tests/flows/test_authorization_success.py",
    "authserver/endpoints/clients_api.py": "tests/flows/test_clients_api.py",
    "authserver/endpoints/connect.py": "tests/flows/test_connecting.py",
    "authserver/endpoints/consent.py": "tests/flows/test_consent_pages.py",
    "authserver/endpoints/consents_api.py": "tests/flows/test_remembered_consent.py",
    "authserver/endpoints/forms.py": "tests/flows/test_consent_forgery.py",
    "authserver/endpoints/held.py": "tests/flows/test_held_api.py",
    "authserver/endpoints/introspect.py": "tests/flows/test_introspection.py",
    "authserver/endpoints/issued_grants.py": "tests/flows/test_issued_grants.py",
    "authserver/endpoints/jwks.py": "tests/flows/test_jwt_access_tokens.py",
    "authserver/endpoints/par.py": "tests/flows/test_pushed_requests.py",
    "authserver/endpoints/request_keys.py": "tests/flows/test_dpop_tokens.py",
    "authserver/endpoints/metadata.py": "tests/flows/test_metadata.py",
    "authserver/endpoints/register.py": "tests/flows/test_registration_bodies.py",
    "authserver/endpoints/revoke.py": "tests/flows/test_revocation.py",
    "authserver/endpoints/token.py": "tests/flows/test_token_endpoint.py",
    "governance/key_administration.py": "tests/flows/test_virtual_keys_api.py",
    "governance/named_upstreams.py": "tests/flows/test_virtual_keys_api.py",
    "governance/endpoints/virtual_mcps.py": "tests/flows/test_virtual_mcps_api.py",
    "governance/virtual_mcps.py": "tests/flows/test_virtual_mcps_api.py",
    "governance/endpoints/virtual_keys.py": "tests/flows/test_virtual_keys_api.py",
    "http/openapi.py": "tests/flows/test_openapi.py",
    "identity/administrators.py": "tests/flows/test_administrators.py",
    "identity/admin_tokens.py": "tests/unit/cli/test_admin.py",
    "identity/set_up.py": "tests/flows/test_set_up.py",
    "identity/endpoints/administrator.py": "tests/flows/test_administrators.py",
    "identity/endpoints/set_up.py": "tests/flows/test_set_up.py",
    "gateway/calls.py": "tests/flows/test_mcp_filters.py",
    "gateway/lazy_authorization.py": "tests/flows/test_lazy_authorization.py",
    "gateway/quota.py": "tests/flows/test_key_limits.py",
    "gateway/methods.py": "tests/flows/test_mcp_upstreams.py",
    "gateway/client_sessions.py": "tests/flows/test_mcp_sessions.py",
    "gateway/discovery.py": "tests/flows/test_mcp_conversations.py",
    "storage/letters.py": "tests/contract/test_letter_store.py",
    "gateway/extensions.py": "tests/flows/test_mcp_extensions.py",
    "gateway/forward.py": "tests/flows/test_mcp_conversations.py",
    "gateway/lists.py": "tests/flows/test_mcp_upstreams.py",
    "gateway/models.py": "tests/flows/test_mcp_filters.py",
    "gateway/reading.py": "tests/flows/test_mcp_conversations.py",
    "gateway/subscriptions.py": "tests/flows/test_mcp_sessions.py",
    "gateway/views.py": "tests/flows/test_list_changes.py",
    "gateway/endpoints/credentials.py": "tests/flows/test_mcp_credentials.py",
    "gateway/endpoints/legacy.py": "tests/flows/test_mcp_legacy.py",
    "gateway/endpoints/mcp.py": "tests/flows/test_mcp_gate.py",
    "gateway/endpoints/modern.py": "tests/flows/test_mcp_modern.py",
    "gateway/endpoints/surface.py": "tests/flows/test_mcp_gate.py",
    # SQL: the same tests for every store on both databases
    "storage/administrators.py": "tests/contract/test_administrators_store.py",
    "storage/audit.py": "tests/contract/test_audit_store.py",
    "storage/authserver.py": "tests/contract/test_authserver_store.py",
    "storage/clients.py": "tests/flows/test_client_assertions.py",
    "storage/connect.py": "tests/contract/test_upstream_accounts_store.py",
    "storage/consents.py": "tests/flows/test_remembered_consent.py",
    "storage/counters.py": "tests/flows/test_limits.py",
    "storage/database.py": "tests/contract/test_storage_unavailable.py",
    "storage/governance.py": "tests/contract/test_governance_store.py",
    "storage/held.py": "tests/contract/test_held_store.py",
    "storage/key_administration.py": "tests/contract/test_key_administration_store.py",
    "storage/migrate.py": "tests/contract/test_migrations.py",
    "storage/postgresql_changes.py": "tests/contract/test_remembered_rows.py",
    "storage/pushed.py": "tests/flows/test_pushed_requests.py",
    "storage/proofs.py": "tests/contract/test_proof_store.py",
    "storage/steps.py": "tests/contract/test_proof_store.py",
    "storage/restored.py": "tests/flows/test_restored.py",
    "storage/remembered.py": "tests/contract/test_remembered_rows.py",
    "storage/signing_keys.py": "tests/flows/test_signing_keys.py",
    "storage/sqlite_checkpoints.py": "tests/contract/test_sqlite_checkpoints.py",
    "storage/postgresql.py": "tests/contract/test_storage_transactions.py",
    "storage/sealed.py": "tests/contract/test_sealed.py",
    "storage/sqlite.py": "tests/contract/test_storage_transactions.py",
    "storage/sqlite_backup.py": "tests/unit/cli/test_db.py",
    "storage/sqlite_import.py": "tests/contract/test_sqlite_import.py",
    "storage/sqlite_driver.py": "tests/contract/test_storage_transactions.py",
    "storage/postgresql_driver.py": "tests/contract/test_storage_transactions.py",
    "storage/sweeper.py": "tests/contract/test_authserver_store_limits.py",
    "storage/upstream_oauth.py": "tests/contract/test_upstream_accounts_store.py",
    "storage/upstream_administration.py": "tests/contract/test_upstream_administration_store.py",
    "storage/usage.py": "tests/contract/test_usage_store.py",
    "storage/virtual_mcps.py": "tests/contract/test_virtual_mcp_store.py",
    "storage/upstreams.py": "tests/contract/test_upstreams_store.py",
    # signing in to upstreams: a conversation with another server, told as stories with one
    "authserver/endpoints/admin_sign_in.py": "tests/flows/test_admin_sign_in.py",
    "upstreams/admin_sign_ins.py": "tests/flows/test_admin_sign_in.py",
    "upstreams/auth/discovery_headers.py": "tests/flows/test_verifying_headers.py",
    "upstreams/auth/oauth.py": "tests/flows/test_shared_account.py",
    "upstreams/endpoints/bodies.py": "tests/flows/test_managing_upstreams.py",
    "upstreams/endpoints/clients.py": "tests/flows/test_managing_upstreams.py",
    "upstreams/management.py": "tests/flows/test_managing_upstreams.py",
    "upstreams/models.py": "tests/flows/test_key_limits.py",
    "upstreams/upkeep.py": "tests/flows/test_upkeep.py",
    "upstreams/kept_links.py": "tests/unit/upstreams/test_sessions.py",
    "upstreams/single_questions.py": "tests/flows/test_managing_upstreams.py",
    "upstreams/probe.py": "tests/flows/test_connecting.py",
    "upstreams/links/legacy.py": "tests/flows/test_mcp_pass_through.py",
    "upstreams/links/modern.py": "tests/flows/test_mcp_pass_through.py",
    "upstreams/credential_life.py": "tests/flows/test_credential_life.py",
    "upstreams/in_use.py": "tests/flows/test_credential_life.py",
    "upstreams/submissions.py": "tests/flows/test_own_headers.py",
    "upstreams/auth/per_user_headers.py": "tests/flows/test_own_headers.py",
    "upstreams/auth/per_user_oauth.py": "tests/flows/test_upstream_refresh.py",
    "upstreams/oauth/client_key.py": "tests/flows/test_upstream_client_authentication.py",
    "upstreams/oauth/profiles.py": "tests/flows/test_provider_profiles.py",
    "upstreams/oauth/asking.py": "tests/flows/test_what_services_ask.py",
    "upstreams/oauth/discovery.py": "tests/flows/test_connecting.py",
    "upstreams/oauth/refresh.py": "tests/flows/test_upstream_refresh.py",
    "upstreams/oauth/registration.py": "tests/flows/test_connecting.py",
    "upstreams/oauth/sign_in.py": "tests/flows/test_connecting.py",
    "upstreams/oauth/token_client.py": "tests/flows/test_upstream_refresh.py",
    # a file with one idea, tested beside its neighbour
    "upstreams/auth/none.py": "tests/unit/upstreams/auth/test_static_headers.py",
    "quickstart/eras.py": "tests/unit/quickstart/test_upstream.py",
    "quickstart/guide.py": "tests/unit/quickstart/test___main__.py",
}
"""Modules without a test file of their own, and where they are tested instead. It only shrinks."""


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def has_logic(path: Path) -> bool:
    """Whether any function does something: a protocol's methods only have a docstring or `...`, an error's one call."""
    for function in functions(ast.parse(path.read_text())):
        body = [one for one in function.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
        if body and function.name not in ("__init__", "__str__") and not _is_property_of_data(function):
            return True
    return False


def _is_property_of_data(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(one, ast.Name) and one.id == "property" for one in function.decorator_list)


def mirror(path: Path) -> Path:
    relative = path.relative_to(SOURCE)
    return UNIT / relative.parent / f"test_{relative.name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_with_logic_has_its_mirror_or_a_reason(path: Path) -> None:
    """Ours: file and test file."""
    relative = str(path.relative_to(SOURCE))
    if has_logic(path) and relative not in COVERED_BY_STORIES:
        assert mirror(path).exists(), (
            f"write {mirror(path).relative_to(ROOT)}, or say in COVERED_BY_STORIES where it is tested"
        )


@pytest.mark.parametrize("module", COVERED_BY_STORIES)
def test_a_module_covered_by_stories_exists_and_so_do_its_stories(module: str) -> None:
    """Ours: the list only shrinks."""
    assert (SOURCE / module).exists()
    assert (ROOT / COVERED_BY_STORIES[module]).exists()
    assert not mirror(SOURCE / module).exists(), "it has its own test file now: take it off the list"


@pytest.mark.parametrize("folder", ["src", "tests", "tools"])
def test_no_file_is_longer_than_a_person_reads_at_once(folder: str) -> None:
    """Ours: 400 lines."""
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / folder).rglob("*.py")}
    assert not [f"{path.relative_to(ROOT)}: {length}" for path, length in lengths.items() if length > MAX_FILE_LINES]


@pytest.mark.parametrize("folder", ["src", "tests", "tools"])
def test_no_function_is_longer_than_a_page(folder: str) -> None:
    """Ours: 50 lines, its decorators not counted."""
    found = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"
        for path in (ROOT / folder).rglob("*.py")
        for function in functions(ast.parse(path.read_text()))
        if (function.end_lineno or 0) - function.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert not found


@pytest.mark.parametrize("kind", docs.error_classes(), ids=lambda kind: str(kind.__name__))
def test_every_domain_error_has_a_status(kind: type[DomainError]) -> None:
    """Contract §2: an error without a row would leave as a crash."""
    code, named = status.of(docs.example(kind))
    assert 400 <= code < 600
    assert named.endswith("_error")


def _routes(tmp_path: Path) -> tuple[Route, ...]:
    settings = load(None, {}, {"data_dir": str(tmp_path), "storage": {"url": f"sqlite:///{tmp_path / 'house.db'}"}})
    return routes(build(settings, ring=RING))


def _guarded(tmp_path: Path) -> Iterator[Any]:
    """What answers at each address; at the management API a path has one for each method."""
    for route in _routes(tmp_path):
        app = route.app
        yield from (one.app for one in app.routes.values()) if isinstance(app, ByMethod) else (app,)


def test_every_request_type_names_one_operation(tmp_path: Path) -> None:
    """Contract §2: `extra_fields.request_type` names the operation; aliases of an address share it."""
    handlers: dict[str, set[str]] = defaultdict(set)
    for guarded in _guarded(tmp_path):
        operation = getattr(guarded, "operation", None)
        if operation is not None:
            endpoint = guarded.endpoint
            handlers[operation].add(getattr(endpoint, "__qualname__", type(endpoint).__qualname__))
    assert handlers
    assert not {operation: names for operation, names in handlers.items() if len(names) > 1}


def test_every_request_type_is_snake_case(tmp_path: Path) -> None:
    """Contract §2: as in `oauth_authorize`."""
    operations = {getattr(guarded, "operation", None) for guarded in _guarded(tmp_path)} - {None}
    assert not [operation for operation in operations if not re.fullmatch(r"[a-z]+(?:_[a-z]+)*", str(operation))]


def test_the_generated_pages_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """Ours: `python tools/docs.py` writes them."""
    assert docs.main(["--check"]) == 0, capsys.readouterr().err


def test_every_attack_and_failure_has_its_test_or_a_reason_and_the_pages_say_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ours: rows and docstrings agree in both directions; `python tools/proofs.py` writes the pages."""
    assert proofs.main(["--check"]) == 0, capsys.readouterr().err


def test_every_setting_is_documented_with_a_sentence() -> None:
    """Contract §10: the types are the documentation."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    rows = [row for _, section in docs.sections() for row in section]
    assert len(rows) > 20
    for name, *_, description in rows:
        assert f"| {name} |" in page
        assert description.endswith("."), name


def test_there_is_a_changelog_with_something_in_it() -> None:
    """Ours: what a user of the last version must know."""
    assert re.search(
        r"^## .+\n+### (?:Added|Changed|Fixed|Removed|Deprecated|Security)$", _text("CHANGELOG.md"), re.MULTILINE
    )


PAGES = sorted(path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md")) + [
    Path("README.md"),
    Path("SECURITY.md"),
]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_what_a_page_points_to_exists(page: Path) -> None:
    """Ours: a document that names a file or a test that is gone is not true any more."""
    text = _text(str(page))
    linked = {(ROOT / page.parent / target) for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text)}
    named = {ROOT / path for path in re.findall(r"`((?:src|tests|docs|tools|deploy)/[\w./-]+\.\w+)`", text)}
    named |= {
        SOURCE / path
        for path in re.findall(r"`([a-z_]+/[\w/]+\.(?:py|sql|html))`", text)
        if not path.startswith(("src/", "tests/", "docs/", "tools/", "deploy/"))
    }
    assert not [str(path) for path in linked | named if not path.exists()]


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_migrations_are_numbered_one_after_the_other(dialect: str) -> None:
    """Ours: of two with one number only the first would ever be applied."""
    numbers = [number for number, _, _ in migrations(dialect)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_table_is_described() -> None:
    """Ours: docs/storage.md changes in the same commit as a migration."""
    described = _text("docs/storage.md")
    for script in (SOURCE / "storage" / "migrations").glob("*.sql"):
        text = script.read_text()
        rebuilt = dict(re.findall(r"ALTER TABLE (\w+) RENAME TO (\w+)", text))
        for table in re.findall(r"CREATE TABLE (\w+)", text):
            assert f"`{rebuilt.get(table, table)}`" in described, table


def _text(name: str) -> str:
    return (ROOT / name).read_text()
