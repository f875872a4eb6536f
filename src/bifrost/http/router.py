"""Which application answers an address: an exact path by one look-up, then the few patterns in the order given."""

import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from starlette import routing
from starlette.types import ASGIApp, Receive, Scope, Send

_PARAMETER = re.compile(r"\{([a-z_]+)(:path)?\}")


@dataclass(frozen=True, slots=True)
class Route:
    """`app` answers every method at `path`, in which `{name}` is one segment and `{name:path}` any number of them."""

    path: str
    app: ASGIApp

    @property
    def pattern(self) -> re.Pattern[str] | None:
        """None for an exact path."""
        literal, *parameters = _PARAMETER.split(self.path)
        if not parameters:
            return None
        parts = [re.escape(literal)]
        for name, whole, following in zip(*(iter(parameters),) * 3, strict=True):
            parts.append(f"(?P<{name}>{'.*' if whole else '[^/]+'}){re.escape(following)}")
        return re.compile("".join(parts), re.DOTALL)


class Router:
    """Plain ASGI. `otherwise` answers where no route does; `lifespan` is around everything that is served."""

    def __init__(
        self, routes: Sequence[Route], otherwise: Route, lifespan: Callable[[], AbstractAsyncContextManager[None]]
    ) -> None:
        self.routes = (*routes, otherwise)
        self._exact: dict[str, ASGIApp] = {}
        self._patterns: list[tuple[re.Pattern[str], ASGIApp]] = []
        for route in routes:
            pattern = route.pattern
            if pattern is None:
                self._exact.setdefault(route.path, route.app)
            else:
                self._patterns.append((pattern, route.app))
        self._otherwise = otherwise.app
        self._lifespan = routing.Router(lifespan=lambda _app: lifespan())

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan":
            return self._lifespan.lifespan(scope, receive, send)
        return self._found(scope)(scope, receive, send)

    def _found(self, scope: Scope) -> ASGIApp:
        path = scope["path"]
        app = self._exact.get(path)
        if app is not None:
            return app
        for pattern, candidate in self._patterns:
            match = pattern.fullmatch(path)
            if match:
                scope["path_params"] = match.groupdict()
                return candidate
        return self._otherwise
