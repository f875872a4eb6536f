"""An MCP server that says exactly what it is told to say, in whichever revision: for tests that make messages up."""

from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Send

from tests.support import talking_upstream
from tests.support.verbatim import written


@dataclass(kw_only=True)
class ScriptedUpstream(talking_upstream.TalkingUpstream):
    """One tool, `said`. `heard` comes while it works, then `question` is asked, then it ends."""

    tools: tuple[str, ...] = ("said",)
    heard: list[dict[str, Any]] = field(default_factory=list)
    """Notifications; a `progressToken` of None is the one of the request."""

    question: tuple[str, dict[str, Any]] | None = None
    """Method and parameters."""

    result: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    members: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The results of other methods."""

    hangs: bool = False
    """Until it is cancelled; then there is no answer."""

    answered: list[Any] = field(default_factory=list)

    def forget_the_script(self) -> None:
        self.heard, self.question, self.result, self.error, self.members = [], None, {}, None, {}
        self.hangs = False

    async def _simple(self, message: dict[str, Any], method: str, send: Send) -> None:
        if method in self.members:
            await talking_upstream.plain(send, 200, self._result(message, self.members[method]))
        else:
            await super()._simple(message, method, send)

    async def _call(self, message: dict[str, Any], receive: Receive, send: Send) -> None:
        params, stream = message["params"], talking_upstream.Sse(send)
        await stream.start()
        for said in self.heard:
            await stream.message({"jsonrpc": "2.0", **self._with_token(said, params)})
        if self.hangs:
            await self._until_cancelled(receive)
            return
        if self.question and self.modern and "inputResponses" not in params:
            request = dict(zip(("method", "params"), self.question, strict=True))
            asked = {"resultType": "input_required", "inputRequests": {"one": request}, "requestState": "mine"}
            await stream.end(self._result(message, asked))
            return
        if self.question and self.modern:
            self.answered.append(params["inputResponses"]["one"])
        elif self.question:
            self.answered.append(await self._ask(stream, *self.question))
        refused = {"jsonrpc": "2.0", "id": message["id"], "error": self.error}
        await stream.end(written(refused) if self.error else self._result(message, self.result))

    def _with_token(self, said: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        if "progressToken" not in said["params"]:
            return said
        return {**said, "params": {**said["params"], "progressToken": params["_meta"]["progressToken"]}}
