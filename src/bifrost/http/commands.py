"""What a program asks for, as a typed command: a JSON body or a query becomes a struct, or an error in words."""

import re
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request

from bifrost.base.choices import choices
from bifrost.base.errors import Invalid
from bifrost.http import body, params, strict_json

T = TypeVar("T", bound=msgspec.Struct)
V = TypeVar("V")
JSON = "application/json"
MAX_BODY_BYTES = 256 * 1024
MAX_LIMIT, MAX_OFFSET = 200, 1_000_000_000

_WHERE = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_MEMBER = re.compile(r"^Object (?:contains unknown|missing required) field `(?P<name>[^`]*)`$")
_TYPES = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The members of a body, or the parameters of a query. A member that is not declared is an error."""


def sent(value: V | UnsetType) -> V | None:
    """None for a member that was not sent."""
    return None if value is UNSET else value


def all_sent(command: msgspec.Struct) -> dict[str, Any]:
    """The members that were sent, by their names."""
    members = {name: getattr(command, name) for name in command.__struct_fields__}
    return {name: value for name, value in members.items() if value is not UNSET}


def named(name: str) -> str:
    """What people are shown as a name. Raises Invalid."""
    if not name.isprintable() or not name.strip():
        raise Invalid("The member name must be printable, and not blank.", param="name")
    return name


class Paging(Command, frozen=True, kw_only=True):
    """Parameters that every list takes."""

    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="At most so many.")] = 50
    offset: Annotated[int, Meta(ge=0, le=MAX_OFFSET, description="Leave out so many first.")] = 0


async def from_body(request: Request, kind: type[T], *, limit: int = MAX_BODY_BYTES) -> T:
    """Raises Invalid (its `param` is the member), TooLarge, TooSlow, Unsupported."""
    return converted(strict_json.loads(await body.read(request, limit=limit, content_type=JSON)), kind)


def from_query(request: Request, kind: type[T]) -> T:
    """Raises Invalid (its `param` is the parameter)."""
    query = params.query(request)
    query.refuse_repeated()
    values = {name: query.get(name) for name in query.names()}
    return converted({name: value for name, value in values.items() if value is not None}, kind, strict=False)


def converted(value: Any, kind: type[T], *, strict: bool = True) -> T:
    """Raises Invalid (its `param` is the member)."""
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        message, param = _in_words(str(error), kind)
        raise Invalid(message, param=param) from error


def _in_words(said: str, kind: type) -> tuple[str, str]:
    """A sentence, and the path of the member, out of msgspec's message."""
    where = _WHERE.search(said)
    path, said = (where["path"], said[: where.start()]) if where else ("", said)
    member = _MEMBER.match(said)
    if member:
        path = f"{path}.{member['name']}".lstrip(".")
        known = "is not known here" if "unknown" in said else "is missing"
        return f"The member {_shown(path)} {known}.", _shown(path)
    said = re.sub(r"`(\w+)(?: \| null)?`", lambda found: _TYPES.get(found[1], found[0]), said)
    subject = f"The member {_shown(path)} is not valid" if path else "The request is not valid"
    return f"{subject}: {said[:1].lower()}{said[1:]}{choices(kind, path)}.", _shown(path)


def _shown(path: str) -> str:
    """A foreign name is shown only as far as it is short and printable."""
    return path[:80] if path.isprintable() else ""
