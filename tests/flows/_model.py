"""People, clients and an administrator who do anything in any order, with jumps of the clock and kills of the process.

The model keeps only what they were given. What must hold is written where it is looked at: `_holds` after every step,
and in each rule what its answers may be.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx2
from hypothesis import strategies as some
from hypothesis.stateful import invariant, rule

from tests.flows._connecting import connect, identify, text_of, whoami
from tests.flows._model_world import (
    ACCESS_SECONDS,
    BURNT,
    CAP_SECONDS,
    CODE_SECONDS,
    FLOW_SECONDS,
    IDLE_SECONDS,
    JUMPS,
    PEOPLE,
    RACE_SECONDS,
    REVOKE,
    Flow,
    Grant,
    Pair,
    World,
)
from tests.support import oauth

WHICH = some.integers(0, 7)
"""Which flow or grant of those there are: what a rule draws must not depend on what happened."""


class Model(World):
    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self._run(self._at_the_end())
        finally:
            self._run(self.stack.aclose())
            self.loop.close()

    def _with(self, which: int, work: Callable[[Grant], Coroutine[Any, Any, None]], *, pairs: int = 0) -> None:
        """With one of the grants that were given so many pairs; one is made when there is none, so that every step acts."""
        found = [grant for grant in self.grants if len(grant.pairs) >= pairs]
        self._run(work(found[which % len(found)] if found else self._run(self._made(which % 2, pairs))))

    async def _made(self, person: int, pairs: int) -> Grant:
        flow = await self._sign_in(person, connects=True)
        await self._finish(flow, 1, denies=False)
        grant = self.grants[-1]
        if pairs:
            await self._redeem(grant, 1)
        while len(grant.pairs) < pairs:
            await self._refresh(grant, len(grant.pairs) - 1, 1)
        return grant

    def _flow(self, which: int) -> Flow:
        """One of those that wait, or one that has ended."""
        waiting = [flow for flow in self.flows if not flow.over]
        if not waiting and which % 2:
            return self._run(self._sign_in(which // 2 % 2, connects=True))
        found = waiting or self.flows
        return found[which % len(found)] if found else self._run(self._sign_in(0, connects=True))

    # ---- consent ----------------------------------------------------------------------------------------------------

    @rule(person=some.integers(0, 1), connects=some.booleans())
    def sign_in(self, person: int, connects: bool) -> None:
        self._run(self._sign_in(person, connects))

    async def _sign_in(self, person: int, connects: bool) -> Flow:
        if not self.active[person]:
            await self._switch(person, on=True)
        browser = self.browsers[person]
        client = await oauth.register(self.running.http, client_name=f"Client {len(self.flows)}")
        began = self.now
        flow_id, csrf = await identify(browser, client, PEOPLE[person][1])
        if connects:
            account = f"account-{len(self.accounts)}"
            self.accounts[account] = person
            try:
                await connect(browser, flow_id, account)
            except AssertionError:  # connected already: the page offers no such button
                del self.accounts[account]
        self.flows.append(Flow(person, client, flow_id, csrf, began))
        return self.flows[-1]

    @rule(flow=WHICH, at_once=some.integers(1, 3), denies=some.booleans())
    def finish(self, flow: int, at_once: int, denies: bool) -> None:
        """One flow gives at most one code, however often it is finished (contract §5)."""
        self._run(self._finish(self._flow(flow), at_once, denies))

    async def _finish(self, flow: Flow, at_once: int, denies: bool) -> None:
        actions = ["submit"] * at_once + ["deny"] * denies
        answers = await asyncio.gather(*(self._press(flow, action) for action in actions))
        codes = [code for answer in answers if (code := _code_of(answer))]
        open_before = not flow.over and self.now < flow.began + FLOW_SECONDS and self.active[flow.person]
        assert {answer.status_code for answer in answers} <= {303, 400, 403, 409, 410}
        if open_before:
            assert sum(answer.status_code == 303 for answer in answers) == 1, [answer.text for answer in answers]
            assert denies or len(codes) == 1
        self._coded(flow, codes, over=flow.over or open_before)

    @rule(flow=WHICH, turns=some.integers(0, 40))
    def finish_and_die(self, flow: int, turns: int) -> None:
        """A kill while it is finished: the code is given or not, and never two."""
        finished = self._flow(flow)
        answer = self._run(self._killed_after(turns, self._press(finished, "submit")))
        codes = [code] if answer is not None and (code := _code_of(answer)) else []
        self._coded(finished, codes, over=True)

    def _coded(self, flow: Flow, codes: list[str], *, over: bool) -> None:
        flow.over, flow.codes = over, flow.codes + len(codes)
        assert flow.codes <= 1
        self.grants += [Grant(flow, code, self.now) for code in codes]

    async def _press(self, flow: Flow, action: str) -> httpx2.Response:
        return await oauth.press(self.browsers[flow.person], action, flow.flow_id, csrf=flow.csrf)

    # ---- codes ------------------------------------------------------------------------------------------------------

    @rule(grant=WHICH, at_once=some.integers(1, 3))
    def redeem(self, grant: int, at_once: int) -> None:
        """One code gives at most one grant; redeemed again with the right proof it leaked, and the grant ends."""
        self._with(grant, lambda found: self._redeem(found, at_once))

    async def _redeem(self, grant: Grant, at_once: int) -> None:
        fresh = not grant.redeemed and self._code_is_good(grant)
        client = self._client(grant.flow)
        answers = await asyncio.gather(*(client.redeem(grant.code) for _ in range(at_once)))
        self._redeemed(grant, answers)
        if fresh and not grant.unsure:
            assert grant.redeemed == 1, [answer.text for answer in answers]
        if grant.redeemed and (not fresh or at_once > 1) and self.active[grant.flow.person]:
            grant.over = grant.over or self.now < grant.given_at + CODE_SECONDS
            grant.unsure = True

    @rule(grant=WHICH, turns=some.integers(0, 40))
    def redeem_and_die(self, grant: int, turns: int) -> None:
        self._with(grant, lambda found: self._redeem_and_die(found, turns))

    async def _redeem_and_die(self, grant: Grant, turns: int) -> None:
        answer = await self._killed_after(turns, self._client(grant.flow).redeem(grant.code))
        grant.unsure = True
        self._redeemed(grant, [answer] if answer else [])

    @rule(grant=WHICH, foreign=some.booleans())
    def redeem_wrongly(self, grant: int, foreign: bool) -> None:
        """Without the proof nothing is given, and a grant that stands is not harmed."""
        self._with(grant, lambda found: self._redeem_wrongly(found, foreign))

    async def _redeem_wrongly(self, grant: Grant, foreign: bool) -> None:
        if foreign:
            stranger = await oauth.register(self.running.http, client_name="Stranger")
            answer = await stranger.redeem(grant.code, code_verifier=grant.flow.client.verifier)
        else:
            answer = await self._client(grant.flow).redeem(grant.code, code_verifier=oauth.pkce()[0])
        assert answer.status_code == 400, answer.text
        grant.failures += 1

    def _code_is_good(self, grant: Grant) -> bool:
        unspoiled = not grant.over and grant.failures < BURNT and self.active[grant.flow.person]
        return unspoiled and self.now < grant.given_at + CODE_SECONDS

    def _redeemed(self, grant: Grant, answers: list[httpx2.Response]) -> None:
        assert {answer.status_code for answer in answers} <= {200, 400}
        won = [answer.json() for answer in answers if answer.status_code == 200]
        assert not (won and grant.over)
        grant.redeemed += len(won)
        assert grant.redeemed <= 1
        grant.pairs += [Pair(pair["access_token"], pair["refresh_token"], self.now) for pair in won]

    # ---- refresh ----------------------------------------------------------------------------------------------------

    @rule(grant=WHICH, back=some.integers(0, 2), at_once=some.integers(1, 3))
    def refresh(self, grant: int, back: int, at_once: int) -> None:
        """A used token gives the same successor or ends the grant; nobody is logged out who did nothing wrong."""
        self._with(grant, lambda found: self._refresh(found, len(found.pairs) - 1 - back, at_once), pairs=back + 1)

    async def _refresh(self, grant: Grant, index: int, at_once: int) -> None:
        used, newest = grant.pairs[index], len(grant.pairs) - 1
        good = self._is_good(used) if index == newest else self._is_race(grant, index)
        answered = good and self._stands(grant) and self._fresh(used)
        client = self._client(grant.flow)
        answers = await asyncio.gather(*(client.refresh(used.refresh) for _ in range(at_once)))
        self._refreshed(grant, index, answers)
        if answered:
            assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]

    @rule(grant=WHICH, turns=some.integers(0, 40))
    def refresh_and_die(self, grant: int, turns: int) -> None:
        """A lost answer: the same token, sent again, gives what the lost answer held."""
        self._with(grant, lambda found: self._refresh_and_die(found, turns), pairs=1)

    async def _refresh_and_die(self, grant: Grant, turns: int) -> None:
        index = len(grant.pairs) - 1
        answer = await self._killed_after(turns, self._client(grant.flow).refresh(grant.pairs[index].refresh))
        self._refreshed(grant, index, [answer] if answer else [])
        if answer is None and grant.pairs[index].used_at is None:
            grant.pairs[index].maybe_used_at = self.now

    @rule(grant=WHICH)
    def steal(self, grant: int) -> None:
        """Another client gets nothing for a token that it found."""
        self._with(grant, self._steal, pairs=1)

    async def _steal(self, grant: Grant) -> None:
        stranger = await oauth.register(self.running.http, client_name="Stranger")
        last = grant.pairs[-1]
        answer = await stranger.refresh(last.refresh)
        assert answer.status_code in {400, 429}, answer.text
        grant.unsure = True  # if a kill hid that it was used, it is in two hands, and the grant has ended

    def _refreshed(self, grant: Grant, index: int, answers: list[httpx2.Response]) -> None:
        assert {answer.status_code for answer in answers} <= {200, 400, 429}
        for answer in answers:
            if answer.status_code == 200:
                assert not grant.over
                self._succeeded(grant, index, answer.json())
            elif answer.status_code == 400 and grant.pairs[index].used_at is not None:
                # whose key is off is refused for that, and it may be on again before the grant has ended
                grant.over, grant.unsure = grant.over or self.active[grant.flow.person], True

    def _succeeded(self, grant: Grant, index: int, pair: dict[str, str]) -> None:
        """There is one successor, whoever asks and how often (contract §6)."""
        used = grant.pairs[index]
        if index + 1 < len(grant.pairs):
            successor = grant.pairs[index + 1]
            assert (pair["access_token"], pair["refresh_token"]) == (successor.access, successor.refresh)
            assert used.used_at is not None
            assert self.now <= used.used_at + CAP_SECONDS
        else:
            used.used_at = self.now if used.used_at is None else used.used_at
            grant.pairs.append(Pair(pair["access_token"], pair["refresh_token"], self.now))

    def _stands(self, grant: Grant) -> bool:
        return not grant.over and not grant.unsure and self.active[grant.flow.person]

    def _fresh(self, pair: Pair) -> bool:
        return self.now < pair.given_at + IDLE_SECONDS

    def _is_good(self, newest: Pair) -> bool:
        return newest.maybe_used_at is None or self.now < newest.maybe_used_at + CAP_SECONDS

    def _is_race(self, grant: Grant, index: int) -> bool:
        used_at = grant.pairs[index].maybe_used_at or grant.pairs[index].used_at
        return index == len(grant.pairs) - 2 and used_at is not None and self.now < used_at + RACE_SECONDS

    # ---- calls ------------------------------------------------------------------------------------------------------

    @rule(grant=WHICH, back=some.integers(0, 2))
    def call(self, grant: int, back: int) -> None:
        """Each call is its owner's, with the owner's own account, or nobody's."""
        self._with(grant, lambda found: self._call(found, found.pairs[-1 - back]), pairs=back + 1)

    async def _call(self, grant: Grant, pair: Pair) -> None:
        answer = await whoami(self.running, {"Authorization": f"Bearer {pair.access}"})
        if grant.over or self.now >= pair.given_at + ACCESS_SECONDS:
            assert answer.status_code == 401, answer.text
        elif not self.active[grant.flow.person]:
            assert answer.status_code in {401, 403}, answer.text
        elif pair is grant.pairs[-1] and self._stands(grant):
            assert answer.status_code == 200, answer.text
        if answer.status_code == 200 and "result" in answer.json():
            account = text_of(answer)
            assert self.accounts.get(account, grant.flow.person) == grant.flow.person

    # ---- ends -------------------------------------------------------------------------------------------------------

    @rule(grant=WHICH)
    def give_back(self, grant: int) -> None:
        """RFC 7009: the refresh token is given back, and the whole grant ends at once."""
        self._with(grant, self._give_back, pairs=1)

    async def _give_back(self, grant: Grant) -> None:
        form = {"client_id": grant.flow.client.client_id, "token": grant.pairs[-1].refresh}
        answer = await self.running.http.post(REVOKE, data=form)
        assert answer.status_code == 200, answer.text
        grant.over = grant.over or self._fresh(grant.pairs[-1])
        grant.unsure = True

    @rule(grant=WHICH)
    def end_by_administrator(self, grant: int) -> None:
        self._with(grant, self._end_by_administrator)

    async def _end_by_administrator(self, grant: Grant) -> None:
        listed = await self.admin.get("/api/oauth2/sessions", params={"client_id": grant.flow.client.client_id})
        for session in listed.json()["sessions"]:
            assert (await self.admin.delete(f"/api/oauth2/sessions/{session['id']}")).status_code in {200, 204}
        grant.over = True

    @rule(person=some.integers(0, 1))
    def switch_key(self, person: int) -> None:
        """While a key is inactive, nothing that hangs on it opens anything."""
        self._run(self._switch(person, on=not self.active[person]))

    async def _switch(self, person: int, *, on: bool) -> None:
        answer = await self.admin.put(f"/api/governance/virtual-keys/{PEOPLE[person][0]}", json={"is_active": on})
        assert answer.status_code == 200, answer.text
        self.active[person] = on
        for grant in self.grants:
            if grant.flow.person == person:
                grant.unsure = True  # switching a key off may end what hangs on it

    @rule(seconds=some.sampled_from(JUMPS))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)

    @rule()
    def restart(self) -> None:
        self._run(self._restart())

    # ---- what always holds ------------------------------------------------------------------------------------------

    @invariant()
    def one_living_refresh_token_for_each_grant(self) -> None:
        if hasattr(self, "loop"):
            self._run(self._holds())

    async def _holds(self) -> None:
        tokens, grants = await self.running.rows("refresh_tokens"), await self.running.rows("grants")
        for grant in grants:
            living = [token for token in tokens if token["grant_id"] == grant["id"] and token["used_at"] is None]
            assert len(living) <= 1
        clients = [grant["client_id"] for grant in grants]
        assert len(set(clients)) == len(clients)  # each client signs in once
        owners = {(row["owner_kind"], row["owner_id"]) for row in await self.running.rows("upstream_credentials")}
        assert {owner for owner in owners if owner[0] != "flow"} <= {("vk", key_id) for key_id, _ in PEOPLE}, owners

    async def _at_the_end(self) -> None:
        """Nothing that ended opens anything, also after a restart."""
        await self._restart()
        for grant in self.grants:
            for pair in grant.pairs:
                await self._call(grant, pair)


def _code_of(answer: httpx2.Response) -> str | None:
    return oauth.response_of(answer).get("code") if answer.status_code == 303 else None
