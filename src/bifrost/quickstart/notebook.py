"""The sample upstream's tools: a small notebook kept in memory, and `whoami`.

Every size has a bound, so that an assistant in a loop can fill the notebook but not the machine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MAX_NOTES: Final = 200
MAX_NOTE_CHARACTERS: Final = 2_000
MAX_QUERY_CHARACTERS: Final = 200
MAX_SHOWN_HEADER_CHARACTERS: Final = 200

#: What `whoami` may repeat: headers that say which program calls and how it came here.
SHOWN_HEADERS: Final = (
    "user-agent",
    "via",
    "forwarded",
    "x-forwarded-for",
    "x-request-id",
    "mcp-protocol-version",
)
#: What `whoami` only names, never repeats: headers that carry a secret.
CREDENTIAL_HEADERS: Final = (
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-bf-vk",
    "x-api-key",
    "x-goog-api-key",
    "api-key",
)


class ToolRefusal(Exception):
    """A tool cannot do what was asked; the text goes to the model as an `isError` result, so that it can do better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a request, as far as the request says: its headers, and the `clientInfo` of its `_meta` if any."""

    headers: Mapping[str, str]
    client_info: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One note; ids count up from 1 and are never used again."""

    id: int
    text: str

    def as_json(self) -> dict[str, Any]:
        """The note as the tools return it."""
        return {"id": self.id, "text": self.text}


@dataclass(slots=True)
class Notebook:
    """Up to `MAX_NOTES` notes in the order they were added; gone when the process ends."""

    _notes: list[Note] = field(default_factory=list)

    def add_note(self, arguments: Mapping[str, Any], _caller: Caller) -> dict[str, Any]:
        """Keep a note."""
        text = _text_argument(arguments, "text", MAX_NOTE_CHARACTERS)
        if len(self._notes) >= MAX_NOTES:
            raise ToolRefusal(f"The notebook is full: it holds {MAX_NOTES} notes and is emptied when it is restarted.")
        note = Note(id=len(self._notes) + 1, text=text)
        self._notes.append(note)
        return {"note": note.as_json(), "total": len(self._notes)}

    def list_notes(self, arguments: Mapping[str, Any], _caller: Caller) -> dict[str, Any]:
        """Every note, oldest first."""
        _no_arguments(arguments)
        return {"notes": [note.as_json() for note in self._notes], "total": len(self._notes)}

    def search_notes(self, arguments: Mapping[str, Any], _caller: Caller) -> dict[str, Any]:
        """The notes that contain the query, letter case aside."""
        query = _text_argument(arguments, "query", MAX_QUERY_CHARACTERS).casefold()
        found = [note.as_json() for note in self._notes if query in note.text.casefold()]
        return {"notes": found, "total": len(found)}

    def whoami(self, arguments: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        """What the request says of its caller; values of credentials are never repeated."""
        _no_arguments(arguments)
        shown = {name: caller.headers[name] for name in SHOWN_HEADERS if name in caller.headers}
        answer: dict[str, Any] = {
            "headers": {name: value[:MAX_SHOWN_HEADER_CHARACTERS] for name, value in shown.items()},
            "credentialHeaders": [name for name in CREDENTIAL_HEADERS if name in caller.headers],
        }
        info = {name: (caller.client_info or {}).get(name) for name in ("name", "version")}
        client = {name: value[:MAX_SHOWN_HEADER_CHARACTERS] for name, value in info.items() if isinstance(value, str)}
        return answer | ({"client": client} if client else {})

    def call(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        """Run the tool `name`; KeyError for a tool that does not exist, `ToolRefusal` for one that cannot do it."""
        tools: dict[str, Callable[[Mapping[str, Any], Caller], dict[str, Any]]] = {
            "add_note": self.add_note,
            "list_notes": self.list_notes,
            "search_notes": self.search_notes,
            "whoami": self.whoami,
        }
        return tools[name](arguments, caller)


def _text_argument(arguments: Mapping[str, Any], name: str, limit: int) -> str:
    _only(arguments, name)
    value = arguments.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ToolRefusal(f"`{name}` must be text that is not empty.")
    if len(value) > limit:
        raise ToolRefusal(f"`{name}` has {len(value)} characters; {limit} is the most.")
    return value


def _no_arguments(arguments: Mapping[str, Any]) -> None:
    _only(arguments)


def _only(arguments: Mapping[str, Any], *names: str) -> None:
    unknown = sorted(set(arguments) - set(names))
    if unknown:
        raise ToolRefusal(f"Unknown argument `{unknown[0][:64]}`; this tool takes {' and '.join(names) or 'none'}.")


def _text_schema(name: str, limit: int, description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string", "minLength": 1, "maxLength": limit, "description": description}},
        "required": [name],
        "additionalProperties": False,
    }


def _object_schema(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_NOTHING: Final[dict[str, Any]] = {"type": "object", "properties": {}, "additionalProperties": False}
_NOTE: Final = _object_schema(id={"type": "integer"}, text={"type": "string"})
_NOTES: Final = _object_schema(notes={"type": "array", "items": _NOTE}, total={"type": "integer"})
_READS: Final = {"readOnlyHint": True, "openWorldHint": False}
_WRITES: Final = {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": False, "openWorldHint": False}

#: The tools as `tools/list` names them, in an order that does not change.
TOOLS: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "add_note",
        "title": "Add a note",
        "description": "Keep a short note for later. Notes last until the sample server is stopped.",
        "inputSchema": _text_schema("text", MAX_NOTE_CHARACTERS, "What to remember, in plain text."),
        "outputSchema": _object_schema(note=_NOTE, total={"type": "integer"}),
        "annotations": {"title": "Add a note", **_WRITES},
    },
    {
        "name": "list_notes",
        "title": "List the notes",
        "description": "List every note, oldest first.",
        "inputSchema": _NOTHING,
        "outputSchema": _NOTES,
        "annotations": {"title": "List the notes", **_READS},
    },
    {
        "name": "search_notes",
        "title": "Search the notes",
        "description": "List the notes that contain a word or phrase; capital and small letters are the same.",
        "inputSchema": _text_schema("query", MAX_QUERY_CHARACTERS, "The word or phrase to look for."),
        "outputSchema": _NOTES,
        "annotations": {"title": "Search the notes", **_READS},
    },
    {
        "name": "whoami",
        "title": "Say who is calling",
        "description": (
            "Say what this server can see of its caller: the request headers that name the calling program, and "
            "which headers that carry a secret were present. Secrets themselves are never repeated."
        ),
        "inputSchema": _NOTHING,
        "outputSchema": {
            "type": "object",
            "properties": {
                "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                "credentialHeaders": {"type": "array", "items": {"type": "string"}},
                "client": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            "required": ["headers", "credentialHeaders"],
        },
        "annotations": {"title": "Say who is calling", **_READS},
    },
)
