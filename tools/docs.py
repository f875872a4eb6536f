"""Writes docs/configuration.md from settings/, docs/errors.md from the errors and the surfaces themselves, and
docs/audit-events.md from the names of events and the operations of the management API.

python tools/docs.py            write them
python tools/docs.py --check    change nothing; exit 1 when one of them is not what would be written
"""

import argparse
import importlib
import inspect
import json
import pkgutil
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.inspect import (
    BoolType,
    DateTimeType,
    DictType,
    Field,
    FloatType,
    IntType,
    LiteralType,
    Metadata,
    NoneType,
    StrType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)
from starlette.requests import Request
from starlette.responses import Response

import bifrost
from bifrost.app.authorization_server import authorization_server
from bifrost.app.foundation import foundation
from bifrost.app.management import management
from bifrost.app.upstream_administration import upstream_administration
from bifrost.base import events
from bifrost.base.clock import SystemClock
from bifrost.base.errors import DomainError
from bifrost.base.sealing import KeyRing
from bifrost.gateway.endpoints import mcp as mcp_endpoint
from bifrost.gateway.endpoints import surface as mcp_surface
from bifrost.http import gateway_error, oauth_error, status
from bifrost.http.api import Operation
from bifrost.http.pages import Pages
from bifrost.http.surface import ORIGIN
from bifrost.protocol import jsonrpc, mcp, oauth
from bifrost.protocol.oauth import OAuthError
from bifrost.settings import ENVIRONMENT_PREFIX, Settings

DOCS = Path(__file__).parent.parent / "docs"
SHORT_NAMES = {"server.public_urls": "BIFROST_PUBLIC_URLS", "storage.url": "BIFROST_STORAGE_URL"}
NOTE = "<!-- Written by tools/docs.py; change the source, not this file. -->\n"

CONFIGURATION = """\
# Configuration

The gateway reads one JSON file, named by `--config` or by `BIFROST_CONFIG`; over it the environment, and over that the
options of the command line. Without any of them it listens on loopback with a SQLite database in `./data`.
`bifrost check-config` reads everything as `serve` would and says what is wrong, without starting.

* A key that is not listed here is an error that names the nearest one. `$schema` is ignored.
* A string `env.NAME` is replaced by the environment variable `NAME`; one that is not set is an error. Secrets are best
  given like this.
* `BIFROST_SECTION__KEY` sets one key: `BIFROST_SERVER__PORT=9090`. Where a list of addresses, hosts or keys is expected, the
  value may be separated by commas; any other list or object is written as JSON.
* Upstreams and virtual keys are made from the file when they are not in the database yet, and follow later edits of the
  file, until one is changed in another way, for example by `bifrost keys revoke`: then the database wins. Taking an
  entry out of the file removes nothing; set `disabled` or `is_active` instead.
* Listening on anything but loopback needs `server.public_urls`: every absolute URL is built from it, and a request
  whose `Host` is none of them is answered with 421.

`BIFROST_CONFIG` names the file. Times to live are in seconds.
"""

ERRORS = """\
# Errors

One error means one thing and looks different only by who asked. Which form an address uses depends on the address:

* pages, and programs at the same addresses: a page for whoever prefers `text/html`, else the gateway's JSON body
  (`event_id`, `type`, `is_bifrost_error`, `status_code`, `error{type,code,message,param,event_id}`, `extra_fields`);
* the token and the registration endpoint: `error` and `error_description` (RFC 6749 §5.2);
* `/mcp`: a JSON-RPC error. When the request as a whole is refused, with the HTTP status of the table; when an error
  answers one message, with 200. `error.data` carries the code of the table and the event id.

The `event_id` is also in the `X-Request-Id` header and in every log line of the request. 429 and 503 carry
`Retry-After`, 405 carries `Allow`. Whatever is not a domain error is a fault of ours: it leaves as `server_error`, and
its cause is in the log only.

The table shows every error in every form, though most are raised at one kind of address only.
"""

AUDIT_EVENTS = """\
# Events of the audit trail

What `event` of a row of `GET /api/audit` can be, and what the filter of that name takes; any other name is refused
([administration.md](administration.md#the-audit-trail)).

"""

_EXAMPLES: dict[str, Any] = {
    "upstream_id": "up_example",
    "upstream_name": "example",
    "kind": "oauth",
    "message": "What happened.",
    "reason": "Why it happened.",
    "code": "some_code",
    "param": "parameter",
    "allowed": ("GET", "POST"),
    "retry_after": 30,
    "scope": "mcp:read mcp:write",
    "nonce": "5943750.example",
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the pages of docs/ that are told by the code.")
    parser.add_argument("--check", action="store_true", help="change nothing, and exit 1 if anything would change")
    chosen = parser.parse_args(arguments)
    stale = [name for name, text in pages().items() if _read(DOCS / name) != text]
    for name in stale:
        if chosen.check:
            sys.stderr.write(f"docs/{name} is not up to date; run: python tools/docs.py\n")
        else:
            (DOCS / name).write_text(pages()[name])
    return 1 if chosen.check and stale else 0


def pages() -> dict[str, str]:
    """What every page should hold."""
    return {"configuration.md": configuration(), "errors.md": errors(), "audit-events.md": audit_events()}


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


# ---- configuration --------------------------------------------------------------------------------------------------


def configuration() -> str:
    parts = [NOTE, CONFIGURATION]
    for title, rows in sections():
        parts += [f"\n## {title}\n\n", _table(("key", "type", "default", "environment", "what it is"), rows)]
    return "".join(parts)


def sections() -> Iterator[tuple[str, list[list[str]]]]:
    """A title for each object of the file, and a row for each of its keys that is not an object itself."""
    info = type_info(Settings)
    if not isinstance(info, StructType):
        raise TypeError("Settings is an object")
    yield from _sections(info, "", in_list=False)


def _sections(struct: StructType, path: str, *, in_list: bool) -> Iterator[tuple[str, list[list[str]]]]:
    rows = [
        _row(field, path, in_list=in_list) for field in struct.fields if not isinstance(_plain(field.type), StructType)
    ]
    if rows:
        yield (f"`{path}`" if path else "At the top"), rows
    for field in struct.fields:
        inner = _struct(field.type)
        if inner is None:
            continue
        listed = isinstance(_plain(field.type), VarTupleType)
        where = f"{path}.{field.encode_name}".lstrip(".") + ("[]" if listed else "")
        yield from _sections(inner, where, in_list=in_list or listed)


def _struct(kind: Type) -> StructType | None:
    """The object that this type is, or is a list of."""
    plain = _plain(kind)
    if isinstance(plain, VarTupleType):
        plain = _plain(plain.item_type)
    if isinstance(plain, UnionType):
        plain = next((member for member in plain.types if isinstance(member, StructType)), plain)
    return plain if isinstance(plain, StructType) else None


def _plain(kind: Type) -> Type:
    return kind.type if isinstance(kind, Metadata) else kind


def _row(field: Field, path: str, *, in_list: bool) -> list[str]:
    name = f"{path}.{field.encode_name}".lstrip(".")
    environment = SHORT_NAMES.get(name, ENVIRONMENT_PREFIX + name.replace(".", "__").upper())
    return [
        f"`{field.encode_name}`",
        in_words(field.type),
        _default(field),
        "" if in_list else f"`{environment}`",
        description(field.type),
    ]


def description(kind: Type) -> str:
    return str((kind.extra_json_schema or {}).get("description", "")) if isinstance(kind, Metadata) else ""


def in_words(kind: Type) -> str:
    kind = _plain(kind)
    if isinstance(kind, StrType):
        return "text" + (f", at most {kind.max_length} characters" if kind.max_length else "")
    if isinstance(kind, IntType | FloatType):
        return ("whole number" if isinstance(kind, IntType) else "number") + _range(kind.ge, kind.le)
    if isinstance(kind, LiteralType):
        return ("one of " if len(kind.values) > 1 else "") + ", ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, VarTupleType):
        return f"list of {_many(kind.item_type)}"
    if isinstance(kind, StructType):
        return "object: " + ", ".join(f"`{field.encode_name}`" for field in kind.fields)
    if isinstance(kind, DictType):
        return "object of numbers" if isinstance(kind.value_type, FloatType) else "object of texts"
    if isinstance(kind, UnionType):
        return ", or ".join(in_words(member) for member in kind.types)
    names: dict[type[Type], str] = {BoolType: "true or false", DateTimeType: "time with an offset", NoneType: "null"}
    return names[type(kind)]


def _many(kind: Type) -> str:
    return "objects" if isinstance(_plain(kind), StructType) else "texts"


def _range(least: float | None, most: float | None) -> str:
    if least is None or most is None:
        return "" if least is None else f", at least {least:g}"
    return f" from {least} to {most}"


def _default(field: Field) -> str:
    if field.required:
        return "must be given"
    default = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
    return f"`{json.dumps(msgspec.to_builtins(default), ensure_ascii=False)}`"


# ---- audit events ---------------------------------------------------------------------------------------------------


def audit_events() -> str:
    by_itself = [[f"`{name.value}`", name.meaning] for name in events.Name]
    changes = sorted((one for one in _operations() if one.told), key=lambda one: one.name)
    through_the_api = [[f"`{one.name}`", f"`{one.method} {one.path}`", one.summary] for one in changes]
    return "".join(
        (
            NOTE,
            AUDIT_EVENTS,
            _table(("event", "what has happened"), by_itself),
            "\n## Operations of the management API\n\n",
            "Told whatever came of them; `details.members` names what was sent.\n\n",
            _table(("event", "operation", "what it does"), through_the_api),
        )
    )


def _operations() -> list[Operation]:
    settings = msgspec.convert({"data_dir": "", "storage": {"url": "sqlite:///"}}, Settings)
    parts = foundation(settings, SystemClock(), KeyRing([bytes(32)]))
    upstreams = upstream_administration(parts)
    return management(parts, authorization_server(parts, Pages(), upstreams), upstreams).operations


# ---- errors ---------------------------------------------------------------------------------------------------------


def errors() -> str:
    head = ("error", "what it means", "code", "page or JSON", "token, registration", "/mcp")
    parts = [NOTE, ERRORS, "\n## Domain errors\n\n", _table(head, [_error_row(kind) for kind in error_classes()])]
    parts.append("\n## OAuth's own errors\n\nAt the token and the registration endpoint (`OAuthError`).\n\n")
    codes = sorted(
        {value for name, value in vars(oauth).items() if name.startswith(("INVALID_", "UNAUTHORIZED_", "UNSUPPORTED_"))}
    )
    parts.append(
        _table(("`error`", "HTTP status"), [[f"`{code}`", str(OAuthError(code, "").status)] for code in codes])
    )
    parts.append(
        "\n## JSON-RPC errors\n\nIn answer to one message. A body that cannot be read is 400 in both eras.\n\n"
    )
    parts.append(_table(("code", "name", "2026-07-28", "older revisions"), list(_rpc_rows())))
    return "".join(parts)


def error_classes() -> list[type[DomainError]]:
    """Every class below DomainError, of every module of the product, by kind and name."""
    for found in pkgutil.walk_packages(bifrost.__path__, "bifrost."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    below = [kind for kind in _below(DomainError) if kind.__module__.startswith("bifrost.")]
    return sorted(below, key=lambda kind: (_status(kind) or 0, len(kind.__mro__), kind.__name__))


def example(kind: type[DomainError]) -> DomainError:
    """An instance, made with what its constructor asks for."""
    needed = [
        parameter
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.default is inspect.Parameter.empty
    ]
    positional = [_EXAMPLES[one.name] for one in needed if one.kind is not inspect.Parameter.KEYWORD_ONLY]
    named = {one.name: _EXAMPLES[one.name] for one in needed if one.kind is inspect.Parameter.KEYWORD_ONLY}
    return kind(*positional, **named)


def _below(kind: type[DomainError]) -> set[type[DomainError]]:
    return {sub for direct in kind.__subclasses__() for sub in (direct, *_below(direct))}


def _status(kind: type[DomainError]) -> int | None:
    try:
        return status.of(example(kind))[0]
    except LookupError:
        return None


def _error_row(kind: type[DomainError]) -> list[str]:
    error = example(kind)
    code = "one of OAuth's" if error.code == _EXAMPLES["code"] else f"`{error.code}`"
    if _status(kind) is None:
        return [f"`{kind.__name__}`", _meaning(kind), code, "-", "see below" if kind is OAuthError else "-", "-"]
    by_json = gateway_error.body(error, event_id="", operation="")
    by_oauth = oauth_error.render(_request(), error, "")
    by_mcp = mcp_surface.renderer("both")(_request(), error, "mcp")
    return [
        f"`{kind.__name__}`",
        _meaning(kind),
        code,
        f"{by_json['status_code']} `{by_json['type']}`",
        "see below" if kind is OAuthError else f"{by_oauth.status_code} `{json.loads(bytes(by_oauth.body))['error']}`",
        _mcp_form(by_mcp),
    ]


def _mcp_form(answer: Response) -> str:
    challenge = ", challenge" if "www-authenticate" in answer.headers else ""
    return f"{answer.status_code}, {json.loads(bytes(answer.body))['error']['code']}{challenge}"


def _meaning(kind: type[DomainError]) -> str:
    """What the picture in base/errors.py says of a kind; else the first sentence of a class, or its code in words."""
    module = importlib.import_module(DomainError.__module__)
    pictured = [line.split(maxsplit=2) for line in (module.__doc__ or "").splitlines() if "─ " in line]
    for _, name, words in pictured:
        if name == kind.__name__:
            return words.strip()
    own = inspect.cleandoc(vars(kind).get("__doc__") or "").replace("\n", " ")
    sentence = re.sub(r" \(contract [^)]*\)", "", own).split(". ")[0].split(": ")[0].split("; ")[0].rstrip(".")
    return sentence or kind.default_code.replace("_", " ")


def _rpc_rows() -> Iterator[list[str]]:
    names = {**_codes(jsonrpc), **_codes(mcp)}
    for code, name in sorted(names.items(), reverse=True):
        yield [str(code), name, str(mcp_endpoint._MODERN_STATUS.get(code, 200)), "200"]  # noqa: SLF001 - the table itself


def _codes(module: Any) -> dict[int, str]:
    return {
        value: name.lower().replace("_", " ")
        for name, value in vars(module).items()
        if isinstance(value, int) and value < 0
    }


def _request() -> Request:
    scope = {"type": "http", "method": "GET", "path": "/mcp", "headers": [], "query_string": b""}
    return Request({**scope, ORIGIN: "http://localhost:8080"})


if __name__ == "__main__":
    sys.exit(main())
