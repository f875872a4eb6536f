"""The floor: the least Python that can do the job, as a yardstick for what a framework, client, store or token format adds.
Not a product: no CORS, no revocation, no consent, no limits.
  CLIENT=raw|aiohttp|pyreqwest|httpx2|httpx   STORE=mem|sqlite|sqlite-full   TOKENS=opaque|eddsa|es256|hs256   FRAMEWORK=asgi|starlette"""
import asyncio
import base64
import hashlib
import hmac
import os
import secrets
import sqlite3
import time
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson

PORT = int(os.environ["PORT"])
BASE = f"http://127.0.0.1:{PORT}"
UP = urlsplit(os.environ["UPSTREAM_URL"])
CLIENT, STORE = os.environ.get("CLIENT", "raw"), os.environ.get("STORE", "mem")
TOKENS, FRAMEWORK = os.environ.get("TOKENS", "opaque"), os.environ.get("FRAMEWORK", "asgi")
META = orjson.dumps({
    "issuer": BASE, "authorization_endpoint": f"{BASE}/authorize", "token_endpoint": f"{BASE}/token", "registration_endpoint": f"{BASE}/register",
    "scopes_supported": ["user"], "response_types_supported": ["code"], "grant_types_supported": ["authorization_code", "refresh_token"],
    "code_challenge_methods_supported": ["S256"], "token_endpoint_auth_methods_supported": ["none"]})
clients, codes, access, refresh = {}, {}, {}, {}
h = lambda t: hashlib.sha256(t.encode()).digest()

# ---- store: every token operation is one committed transaction in the sqlite variants
if STORE != "mem":
    import tempfile
    db = sqlite3.connect(tempfile.mkdtemp(dir=os.environ.get("BENCH_HOME", "/tmp") + "/run") + "/floor.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=" + ("FULL" if STORE == "sqlite-full" else "NORMAL"))
    db.execute("CREATE TABLE client (id TEXT PRIMARY KEY, data BLOB) WITHOUT ROWID")
    db.execute("CREATE TABLE code (h BLOB PRIMARY KEY, client TEXT, chal TEXT, uri TEXT, exp INTEGER) WITHOUT ROWID")
    db.execute("CREATE TABLE tok (h BLOB PRIMARY KEY, kind INTEGER, client TEXT, exp INTEGER) WITHOUT ROWID")
    x = db.execute

    def put_client(i, d): x("INSERT INTO client VALUES (?,?)", (i, orjson.dumps(d)))
    def get_client(i):
        r = x("SELECT data FROM client WHERE id=?", (i,)).fetchone()
        return orjson.loads(r[0]) if r else None
    def put_code(c, v): x("INSERT INTO code VALUES (?,?,?,?,?)", (h(c), *v))
    def swap_code(c, cid, a, r):
        x("BEGIN IMMEDIATE")
        row = x("DELETE FROM code WHERE h=? RETURNING client, chal, uri, exp", (h(c),)).fetchone()
        if row:
            n = int(time.time())
            x("INSERT INTO tok VALUES (?,1,?,?),(?,2,?,?)", (h(a), cid, n + 3600, h(r), cid, n + 86400))
        x("COMMIT")
        return row
    def swap_refresh(t, cid, a, r):
        x("BEGIN IMMEDIATE")
        row = x("DELETE FROM tok WHERE h=? AND kind=2 RETURNING client, exp", (h(t),)).fetchone()
        if row:
            n = int(time.time())
            x("INSERT INTO tok VALUES (?,1,?,?),(?,2,?,?)", (h(a), cid, n + 3600, h(r), cid, n + 86400))
        x("COMMIT")
        return row and row[0] == cid
    def get_access(t): return x("SELECT client, exp FROM tok WHERE h=? AND kind=1", (h(t),)).fetchone()
else:
    put_client, get_client = clients.__setitem__, clients.get
    def put_code(c, v): codes[h(c)] = v
    def keep(cid, a, r):
        n = int(time.time())
        access[h(a)] = (cid, n + 3600)
        refresh[h(r)] = (cid, n + 86400)
    def swap_code(c, cid, a, r):
        row = codes.pop(h(c), None)
        if row:
            keep(cid, a, r)
        return row
    def swap_refresh(t, cid, a, r):
        row = refresh.pop(h(t), None)
        if row:
            keep(cid, a, r)
        return row and row[0] == cid
    def get_access(t): return access.get(h(t))

# ---- tokens
if TOKENS == "opaque":
    mint = lambda cid: secrets.token_urlsafe(32)
    def check(t):
        r = get_access(t)
        return r is not None and r[1] > time.time()
else:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
    b64 = lambda b: base64.urlsafe_b64encode(b).rstrip(b"=")
    HEAD = b64(orjson.dumps({"alg": {"eddsa": "EdDSA", "es256": "ES256", "hs256": "HS256"}[TOKENS], "typ": "at+jwt", "kid": "1"})) + b"."
    if TOKENS == "hs256":
        K = secrets.token_bytes(32)
        sign = lambda m: hmac.digest(K, m, "sha256")
        def verify(s, m):
            if not hmac.compare_digest(s, hmac.digest(K, m, "sha256")):
                raise ValueError
    elif TOKENS == "eddsa":
        K = ed25519.Ed25519PrivateKey.generate(); PK = K.public_key()
        sign, verify = K.sign, PK.verify
    else:
        K = ec.generate_private_key(ec.SECP256R1()); PK = K.public_key()
        def sign(m):
            r, s = decode_dss_signature(K.sign(m, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        def verify(s, m): PK.verify(encode_dss_signature(int.from_bytes(s[:32], "big"), int.from_bytes(s[32:], "big")), m, ec.ECDSA(hashes.SHA256()))
    def mint(cid):
        n = int(time.time())
        m = HEAD + b64(orjson.dumps({"iss": BASE, "sub": "u1", "aud": BASE + "/mcp", "client_id": cid, "scope": "user", "iat": n, "exp": n + 3600, "jti": secrets.token_hex(16)}))
        return (m + b"." + b64(sign(m))).decode()
    def check(t):
        try:
            m, _, s = t.encode().rpartition(b".")
            if not m.startswith(HEAD):
                return False
            verify(base64.urlsafe_b64decode(s + b"=="), m)
            c = orjson.loads(base64.urlsafe_b64decode(m[len(HEAD):] + b"=="))
            return c["exp"] > time.time() and c["iss"] == BASE
        except Exception:
            return False

# ---- upstream client: forward(body, session id, version) -> (status, content type, session id, body)
if CLIENT == "raw":
    import httptools

    class Conn(asyncio.Protocol):
        def connection_made(self, tr): self.tr, self.p, self.f = tr, httptools.HttpResponseParser(self), None
        def data_received(self, d): self.p.feed_data(d)
        def on_message_begin(self): self.b, self.ct, self.sid = [], b"application/json", None
        def on_header(self, k, v):
            n = len(k)
            if n == 12 and k.lower() == b"content-type": self.ct = v
            elif n == 14 and k.lower() == b"mcp-session-id": self.sid = v
        def on_body(self, b): self.b.append(b)
        def on_message_complete(self): self.f.set_result((self.p.get_status_code(), self.ct, self.sid, b"".join(self.b)))
        def connection_lost(self, e):
            if self.f and not self.f.done(): self.f.set_exception(e or ConnectionError())
    free = []

    async def forward(body, sid, ver):
        loop = asyncio.get_running_loop()
        while free:
            c = free.pop()
            if not c.tr.is_closing(): break
        else:
            _, c = await loop.create_connection(Conn, UP.hostname, UP.port)
        c.f = loop.create_future()
        c.tr.write(b"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n%s%sContent-Length: %d\r\n\r\n%s" % (
            UP.path.encode(), UP.netloc.encode(), b"Mcp-Session-Id: %s\r\n" % sid if sid else b"", b"MCP-Protocol-Version: %s\r\n" % ver if ver else b"", len(body), body))
        r = await c.f
        free.append(c)
        return r
else:
    sess = None
    def headers(sid, ver):
        d = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if sid: d["Mcp-Session-Id"] = sid.decode()
        if ver: d["MCP-Protocol-Version"] = ver.decode()
        return d
    if CLIENT == "aiohttp":
        import aiohttp
        async def forward(body, sid, ver):
            global sess
            if sess is None: sess = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)
            async with sess.post(os.environ["UPSTREAM_URL"], data=body, headers=headers(sid, ver)) as r:
                s = r.headers.get("mcp-session-id")
                return r.status, r.headers["content-type"].encode() if "content-type" in r.headers else b"application/json", s and s.encode(), await r.read()
    elif CLIENT == "pyreqwest":
        from pyreqwest.client import ClientBuilder
        async def forward(body, sid, ver):
            global sess
            if sess is None: sess = ClientBuilder().build()
            r = await sess.post(os.environ["UPSTREAM_URL"]).headers(headers(sid, ver)).body_bytes(body).build().send()
            s = r.headers.get("mcp-session-id")
            return r.status, r.headers.get("content-type", "application/json").encode(), s and s.encode(), bytes(await r.bytes())
    else:
        hx = __import__(CLIENT)
        async def forward(body, sid, ver):
            global sess
            if sess is None: sess = hx.AsyncClient(limits=hx.Limits(max_connections=None, max_keepalive_connections=None), timeout=30)
            r = await sess.post(os.environ["UPSTREAM_URL"], content=body, headers=headers(sid, ver))
            s = r.headers.get("mcp-session-id")
            return r.status_code, r.headers.get("content-type", "application/json").encode(), s and s.encode(), r.content

J = b"application/json"
R401 = (401, J, b'{"error":"invalid_token"}', [(b"www-authenticate", b'Bearer resource_metadata="%s/.well-known/oauth-protected-resource"' % BASE.encode())])
BAD = lambda e: (400, J, b'{"error":"%s"}' % e, [])
R404 = (404, J, b"{}", [])

async def handle(method, path, qs, hdr, body):
    """-> (status, content type, body, extra headers)"""
    if path == "/mcp":
        a = hdr.get(b"authorization", b"")
        if a[:7] != b"Bearer " or not check(a[7:].decode()):
            return R401
        m = orjson.loads(body)  # a gateway has to look at the method and the tool name
        if m.get("jsonrpc") != "2.0":
            return BAD(b"invalid_request")
        st, ct, sid, out = await forward(body, hdr.get(b"mcp-session-id"), hdr.get(b"mcp-protocol-version"))
        return st, ct, out, [(b"mcp-session-id", sid)] if sid else []
    if path == "/token":
        f = dict(parse_qsl(body.decode()))
        cid = f.get("client_id")
        if not get_client(cid):
            return BAD(b"invalid_client")
        a, r = mint(cid), secrets.token_urlsafe(32)
        if f.get("grant_type") == "authorization_code":
            row = swap_code(f["code"], cid, a, r)
            if not row or row[0] != cid or row[2] != f.get("redirect_uri") or row[3] < time.time():
                return BAD(b"invalid_grant")
            if not hmac.compare_digest(base64.urlsafe_b64encode(hashlib.sha256(f.get("code_verifier", "").encode()).digest()).rstrip(b"=").decode(), row[1]):
                return BAD(b"invalid_grant")
        elif not swap_refresh(f.get("refresh_token", ""), cid, a, r):
            return BAD(b"invalid_grant")
        return 200, J, orjson.dumps({"access_token": a, "token_type": "Bearer", "expires_in": 3600, "refresh_token": r, "scope": "user"}), [(b"cache-control", b"no-store")]
    if path == "/authorize":
        q = dict(parse_qsl(qs.decode()))
        c = get_client(q.get("client_id"))
        if not c or q.get("redirect_uri") not in c["redirect_uris"] or q.get("code_challenge_method") != "S256":
            return BAD(b"invalid_request")
        code = secrets.token_urlsafe(32)
        put_code(code, (q["client_id"], q["code_challenge"], q["redirect_uri"], int(time.time()) + 300))
        return 302, J, b"", [(b"location", (q["redirect_uri"] + "?" + urlencode({"code": code, "state": q.get("state", ""), "iss": BASE})).encode())]
    if path == "/.well-known/oauth-authorization-server":
        return 200, J, META, []
    if path == "/register" and method == "POST":
        d = orjson.loads(body)
        if not all(isinstance(u, str) and u.startswith("http") for u in d["redirect_uris"]):
            return BAD(b"invalid_redirect_uri")
        d["client_id"] = secrets.token_urlsafe(16)
        d["client_id_issued_at"] = int(time.time())
        put_client(d["client_id"], d)
        return 201, J, orjson.dumps(d), []
    return R404

if FRAMEWORK == "starlette":
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def ep(request: Request):
        hd = {k: request.headers[k.decode()].encode() for k in (b"authorization", b"mcp-session-id", b"mcp-protocol-version") if k.decode() in request.headers}
        st, ct, out, extra = await handle(request.method, request.url.path, request.url.query.encode(), hd, await request.body())
        return Response(out, st, {k.decode(): v.decode() for k, v in extra}, media_type=ct.decode())
    app = Starlette(routes=[Route(p, ep, methods=["GET", "POST"]) for p in ("/mcp", "/token", "/authorize", "/register", "/.well-known/oauth-authorization-server")])
else:
    WANT = {b"authorization", b"mcp-session-id", b"mcp-protocol-version"}

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                m = await receive()
                await send({"type": m["type"] + ".complete"})
                if m["type"] == "lifespan.shutdown":
                    return
        body = b""
        if scope["method"] == "POST":
            while True:
                m = await receive()
                body += m.get("body", b"")
                if not m.get("more_body"):
                    break
        st, ct, out, extra = await handle(scope["method"], scope["path"], scope["query_string"], {k: v for k, v in scope["headers"] if k in WANT}, body)
        await send({"type": "http.response.start", "status": st, "headers": [(b"content-type", ct), (b"content-length", b"%d" % len(out)), *extra]})
        await send({"type": "http.response.body", "body": out})
