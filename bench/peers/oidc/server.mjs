// npm oidc-provider, in-memory (Map) adapter, scripted login + consent.  usage: node server.mjs PORT
// TOKENS=opaque (default) | jwt (ES256 access tokens through resourceIndicators)
import { createRequire } from 'node:module';
import http from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
const require = createRequire(process.env.BENCH_HOME + '/node/oidc/');
const { Provider } = await import(require.resolve('oidc-provider'));

const PORT = +process.argv[2], ISS = `http://127.0.0.1:${PORT}`, JWT = process.env.TOKENS === 'jwt';
const store = new Map(), grants = new Map(), uids = new Map(), codes = new Map();
class Adapter {
  constructor(name) { this.name = name; }
  key(id) { return `${this.name}:${id}`; }
  async upsert(id, payload) {
    store.set(this.key(id), payload);
    if (payload.uid) uids.set(payload.uid, id);
    if (payload.grantId && this.name !== 'Grant') {
      let s = grants.get(payload.grantId); if (!s) grants.set(payload.grantId, s = []); s.push(this.key(id));
    }
  }
  async find(id) { return store.get(this.key(id)); }
  async findByUid(uid) { return this.find(uids.get(uid)); }
  async findByUserCode() {}
  async destroy(id) { store.delete(this.key(id)); }
  async consume(id) { const p = store.get(this.key(id)); if (p) p.consumed = Math.floor(Date.now() / 1000); }
  async revokeByGrantId(g) { for (const k of grants.get(g) ?? []) store.delete(k); grants.delete(g); }
}
const jwk = (t, o, kid, alg) => ({ ...generateKeyPairSync(t, o).privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' });
const provider = new Provider(ISS, {
  adapter: Adapter,
  jwks: { keys: [jwk('rsa', { modulusLength: 2048 }, 'r', 'RS256'), jwk('ec', { namedCurve: 'P-256' }, 'e', 'ES256')] },
  cookies: { keys: ['k1'] },
  scopes: ['openid', 'offline_access', 'user'],
  features: {
    devInteractions: { enabled: false }, registration: { enabled: true }, revocation: { enabled: true },
    resourceIndicators: {
      enabled: JWT, defaultResource: () => `${ISS}/mcp`, useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: 'user', audience: `${ISS}/mcp`, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }),
    },
  },
  findAccount: (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  interactions: { url: (ctx, i) => `/interaction/${i.uid}` },
  async loadExistingGrant(ctx) {
    const { Client, Session } = ctx.oidc.entities;
    const gid = Session.grantIdFor(Client.clientId);
    if (gid) return provider.Grant.find(gid);
    const g = new provider.Grant({ clientId: Client.clientId, accountId: Session.accountId });
    g.addOIDCScope('openid offline_access user');
    if (JWT) g.addResourceScope(`${ISS}/mcp`, 'user');
    await g.save();
    return g;
  },
  issueRefreshToken: async () => true,
  rotateRefreshToken: true,
  pkce: { required: () => true },
  ttl: { AccessToken: 3600, AuthorizationCode: 60, Grant: 86400, IdToken: 3600, Interaction: 600, RefreshToken: 86400, Session: 86400 },
});
const cb = provider.callback();
http.createServer(async (req, res) => {
  if (req.url.startsWith('/interaction/')) {
    try { await provider.interactionFinished(req, res, { login: { accountId: 'u1' }, consent: {} }, { mergeWithLastSubmission: false }); }
    catch (e) { res.statusCode = 500; res.end(String(e)); }
    return;
  }
  cb(req, res);
}).listen(PORT, '127.0.0.1', 2048);
