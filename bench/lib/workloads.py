"""W1..W7 as flow generators over lg.py; `p` is a peer dict (see README)."""
from __future__ import annotations

import base64
import hashlib
import re
import secrets
import urllib.parse as up

import orjson

from bench.lib.lg import req

REDIRECT = "http://127.0.0.1:7/callback"
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
PKCE = []
for _ in range(256):
    v = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    PKCE.append((v, base64.urlsafe_b64encode(hashlib.sha256(v.encode()).digest()).rstrip(b"=").decode()))


class Fail(RuntimeError):
    pass


def host(p):
    return f"{p.get('host', '127.0.0.1')}:{p['port']}"


def path_of(p, url):
    """(port, path?query) of an absolute or relative URL on this machine."""
    u = up.urlsplit(url)
    return (u.port or p["port"]), (u.path or "/") + (f"?{u.query}" if u.query else "")


# ---- W1
def w1(p, path=None):
    data = req("GET", path or p["meta_path"], host(p))

    def mk(u, i):
        while u.begin():
            st, hd, body = yield data
            u.end(st == 200, (st, body[:200]))
    return mk


# ---- W2
def register_body(p):
    d = {"client_name": "perf", "redirect_uris": [REDIRECT], "grant_types": ["authorization_code", "refresh_token"],
         "response_types": ["code"], "token_endpoint_auth_method": "none"}
    d.update(p.get("register_extra", {}))
    return orjson.dumps(d)


def register_req(p):
    return req("POST", p["register_path"], host(p), headers=p.get("register_headers", ()), body=register_body(p), ctype=JSON)


def w2(p):
    data = register_req(p)

    def mk(u, i):
        while u.begin():
            st, hd, body = yield data
            u.end(st in (200, 201), (st, body[:200]))
    return mk


def register(p):
    st, hd, body = yield register_req(p)
    if st not in (200, 201):
        raise Fail(f"register {st} {body[:300]}")
    return orjson.loads(body)


# ---- W3
def authorize(p, client, n=0, jar=None, user=0):
    """One browser trip: authorize -> (login / consent pages) -> code. Returns (code, verifier, hops)."""
    ver, chal = PKCE[n % 256]
    q = {"response_type": "code", "client_id": client["client_id"], "redirect_uri": REDIRECT,
         "code_challenge": chal, "code_challenge_method": "S256", "state": f"st{n}"}
    if p.get("scope"):
        q["scope"] = p["scope"]
    q.update(p.get("authorize_extra", {}))
    url = p["authorize_path"] + "?" + up.urlencode(q)
    method, body, ctype, port = "GET", b"", None, p["port"]
    cookies = dict(jar or {})
    hops = 0
    for _ in range(15):
        h = f"{p.get('host', '127.0.0.1')}:{port}"
        hdrs = p.get("browser_headers", ())
        if callable(hdrs):
            hdrs = hdrs(user)
        if method == "POST":
            hdrs = (*hdrs, ("Origin", f"http://{h}"))
        st, hd, rb = yield port, req(method, url, h, headers=hdrs, body=body, ctype=ctype, cookies=cookies)
        hops += 1
        if b"set-cookie" in hd:
            for c in hd[b"set-cookie"].decode().split("\n"):
                k, _, v = c.split(";", 1)[0].partition("=")
                if not v or "expires=Thu, 01 Jan 1970" in c:
                    cookies.pop(k, None)
                else:
                    cookies[k] = v
        if st in (301, 302, 303, 307, 308):
            loc = hd[b"location"].decode()
            if loc.startswith(REDIRECT):
                r = dict(up.parse_qsl(up.urlsplit(loc).query))
                if "code" not in r:
                    raise Fail(f"no code: {loc}")
                return r["code"], ver, hops
            port, url = path_of(p, loc)
            if not loc.startswith("http"):
                port = p["port"]
            method, body, ctype = "GET", b"", None
        elif st == 200 and p.get("on_page"):
            nxt = p["on_page"](url, rb)
            if nxt is None:
                raise Fail(f"page not understood at {url}: {rb[:200]}")
            method, u2, form = nxt
            port, url = path_of(p, u2)
            body = up.urlencode(form).encode() if form is not None else b""
            ctype = FORM if form is not None else None
        else:
            raise Fail(f"authorize hop {hops} {method} {url}: {st} {rb[:300]}")
    raise Fail("too many hops")


def token_req(p, form):
    return req("POST", p["token_path"], host(p), body=up.urlencode(form).encode(), ctype=FORM)


def code_token(p, client, code, ver):
    f = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT,
         "client_id": client["client_id"], "code_verifier": ver}
    if client.get("client_secret"):
        f["client_secret"] = client["client_secret"]
    f.update(p.get("token_extra", {}))
    st, hd, body = yield token_req(p, f)
    if st != 200:
        raise Fail(f"token {st} {body[:300]}")
    return orjson.loads(body)


def one_flow(p, client=None, n=0, user=0):
    if client is None:
        client = yield from register(p)
    code, ver, hops = yield from authorize(p, client, n, user=user)
    tok = yield from code_token(p, client, code, ver)
    return client, tok, hops


def w3(p, client, stat):
    def mk(u, i):
        n = i * 31
        while u.begin():
            n += 1
            try:
                code, ver, hops = yield from authorize(p, client, n, user=i)
                tok = yield from code_token(p, client, code, ver)
                stat["hops"] = hops + 1
                u.end("access_token" in tok, tok)
            except Fail as e:
                u.end(False, e)
    return mk


# ---- W4
def w4(p):
    def mk(u, i):
        client, tok, _ = yield from one_flow(p, n=i, user=i)
        rt = tok["refresh_token"]
        f = {"grant_type": "refresh_token", "client_id": client["client_id"]}
        if client.get("client_secret"):
            f["client_secret"] = client["client_secret"]
        while u.begin():
            f["refresh_token"] = rt
            st, hd, body = yield token_req(p, f)
            if st == 200:
                t = orjson.loads(body)
                new = t.get("refresh_token")
                u.end(new not in (None, rt) or (p.get("no_rotation") and "access_token" in t), (st, "not rotated"))
                rt = new or rt
            else:
                u.end(False, (st, body[:200]))
                return
    return mk


# ---- W5 / W6: MCP over Streamable HTTP
def mcp_headers(p, bearer, sid=None, ver=None):
    h = [("Accept", "application/json, text/event-stream")]
    if bearer:
        h.append(("Authorization", f"Bearer {bearer}"))
    if sid:
        h.append(("Mcp-Session-Id", sid))
    if ver:
        h.append(("MCP-Protocol-Version", ver))
    h += list(p.get("mcp_headers", ()))
    return h


INIT = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
    "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "perf", "version": "1"}}}
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "perf", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}}


def mcp_init(p, bearer):
    st, hd, body = yield req("POST", p["mcp_path"], host(p), mcp_headers(p, bearer), orjson.dumps(INIT), JSON)
    if st != 200 or b'"result"' not in body:
        raise Fail(f"initialize {st} {body[:300]}")
    sid = hd.get(b"mcp-session-id")
    sid = sid.decode() if sid else None
    m = re.search(rb'"protocolVersion"\s*:\s*"([\d-]+)"', body)
    ver = m.group(1).decode() if m else "2025-06-18"
    st, hd, body = yield req("POST", p["mcp_path"], host(p), mcp_headers(p, bearer, sid, ver),
                             b'{"jsonrpc":"2.0","method":"notifications/initialized"}', JSON)
    if st not in (200, 202, 204):
        raise Fail(f"initialized {st} {body[:300]}")
    return sid, ver


def mcp_loop(p, bearer, method, tool="echo", era="handshake", need=b'"result"'):
    """Flow factory: a session per connection (handshake) or none (era='modern'), then `method` in a closed loop."""
    need_text = b"hello perf" if method == "tools/call" else b'"tools"'

    def mk(u, i):
        tok = bearer[i % len(bearer)] if isinstance(bearer, list) else bearer
        params = {"name": tool, "arguments": {"text": "hello perf"}} if method == "tools/call" else {}
        if era == "modern":
            params["_meta"] = META
            hs = mcp_headers(p, tok, None, "2026-07-28") + [("Mcp-Method", method)]
            if method == "tools/call":
                hs.append(("Mcp-Name", tool))
        elif p.get("sessionless"):
            hs = mcp_headers(p, tok, None, "2025-06-18")
        else:
            sid, ver = yield from mcp_init(p, tok)
            hs = mcp_headers(p, tok, sid, ver)
        tail = b',"method":' + orjson.dumps(method) + b',"params":' + orjson.dumps(params) + b"}"
        head = req("POST", p["mcp_path"], host(p), hs, b"", JSON)
        head = head[:head.index(b"Content-Length")] + b"Content-Length: "
        k = 0
        while u.begin():
            k += 1
            b = b'{"jsonrpc":"2.0","id":%d' % k + tail
            st, hd, body = yield head + b"%d\r\n\r\n" % len(b) + b
            u.end(st == 200 and need in body and need_text in body and b'"isError":true' not in body
                  and b'"isError": true' not in body, (st, body[:300]))
    return mk


def w6_bad(p, bad="not-a-token-0123456789abcdef0123456789abcdef"):
    b = b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}'
    data = req("POST", p["mcp_path"], host(p), mcp_headers(p, bad, None, "2025-06-18"), b, JSON)

    def mk(u, i):
        while u.begin():
            st, hd, body = yield data
            u.end(st in p.get("bad_status", (401, 403)), (st, body[:200]))
    return mk


def bearer_get(p, path, tok, ok=(200,)):
    data = req("GET", path, host(p), [("Authorization", f"Bearer {tok}")])

    def mk(u, i):
        while u.begin():
            st, hd, body = yield data
            u.end(st in ok, (st, body[:200]))
    return mk
