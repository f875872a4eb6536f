// A certified authorization server (npm oidc-provider) in front of an MCP server, with accounts by name, in memory.
//
//   oidc_provider.mjs PORT RESOURCE [--par on|required] [--ttl SECONDS]
//
// Registration is open, refresh tokens rotate and their reuse ends the grant, access tokens are JWTs for RESOURCE alone
// (RFC 8707). Its sign-in page asks for an account name. /counts says how often each grant was answered; POST
// /ttl?seconds=N sets the lifetime of access tokens from now on.
import { generateKeyPairSync } from "node:crypto";
import http from "node:http";
import { Provider } from "oidc-provider";
import { options } from "./browser.mjs";

const { _: [port, resource], par = "off", ttl = "3600" } = options();
const issuer = `http://127.0.0.1:${port}`;
const counts = {};
let lifetime = Number(ttl);

const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });
const provider = new Provider(issuer, {
  jwks: { keys: [{ ...key, kid: "ec", alg: "ES256", use: "sig" }, { ...rsa, kid: "rsa", alg: "RS256", use: "sig" }] },
  cookies: { keys: ["a key for the cookies of this run"] },
  scopes: ["openid", "offline_access"],
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: true },
    revocation: { enabled: true },
    pushedAuthorizationRequests: { enabled: par !== "off", requirePushedAuthorizationRequests: par === "required" },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, indicator) => {
        if (indicator !== resource) throw new Error("no such resource");
        return { scope: "notes", audience: resource, accessTokenFormat: "jwt", jwt: { sign: { alg: "ES256" } } };
      },
      useGrantedResource: () => true,
    },
  },
  findAccount: (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  rotateRefreshToken: true,
  ttl: {
    AccessToken: () => lifetime,
    AuthorizationCode: 60,
    Grant: 86_400,
    IdToken: 3_600,
    Interaction: 600,
    RefreshToken: 86_400,
    Session: 86_400,
  },
});
for (const [event, outcome] of [["grant.success", "ok"], ["grant.error", "failed"]]) {
  provider.on(event, (ctx) => {
    const name = `${ctx.oidc?.params?.grant_type} ${outcome}`;
    counts[name] = (counts[name] ?? 0) + 1;
  });
}

const PAGE = (details) => `<!doctype html><title>Sign in</title><form method="post">
<p>${details.prompt.name === "login" ? '<label>Account <input name="account" required></label>' : "Allow access?"}</p>
<button>Continue</button></form>`;

async function body(request) {
  let text = "";
  for await (const part of request) text += part;
  return new URLSearchParams(text);
}

async function interaction(request, response) {
  const details = await provider.interactionDetails(request, response);
  if (request.method !== "POST") return response.setHeader("Content-Type", "text/html").end(PAGE(details));
  if (details.prompt.name === "login") {
    const login = { accountId: (await body(request)).get("account") };
    return provider.interactionFinished(request, response, { login }, { mergeWithLastSubmission: false });
  }
  const grant = new provider.Grant({ accountId: details.session.accountId, clientId: details.params.client_id });
  grant.addOIDCScope("openid offline_access");
  grant.addResourceScope(resource, "notes");
  const consent = { grantId: await grant.save() };
  return provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true });
}

async function answer(request, response) {
  const url = new URL(request.url, issuer);
  if (url.pathname === "/counts") return response.end(JSON.stringify(counts));
  if (url.pathname === "/ttl") lifetime = Number(url.searchParams.get("seconds"));
  if (url.pathname === "/ttl") return response.end("ok");
  if (url.pathname.startsWith("/interaction/")) return interaction(request, response);
  return provider.callback()(request, response);
}

http.createServer((request, response) => {
  answer(request, response).catch((error) => response.writeHead(500).end(String(error)));
}).listen(Number(port), "127.0.0.1");
