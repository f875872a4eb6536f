// oauth4webapi: the strict, certified OAuth client of the JavaScript world, against the authorization server.
//
//   node oauth4webapi_client.mjs http://127.0.0.1:8080/mcp [--scope "mcp:read"] [--dpop ES256]
//
// RFC 9728 discovery, RFC 8414 metadata, RFC 7591 registration, PKCE, RFC 8707 resource, RFC 9207 iss,
// refresh with rotation, RFC 7662 introspection and RFC 7009 revocation where advertised, RFC 9068 validation
// where the access token is a JWT and a JWKS is advertised. With --dpop every token is bound to a key (RFC 9449), the
// request is pushed (RFC 9126), and the bound token must be worth nothing as a bearer's. Prints one JSON object of what
// was seen.
import * as oauth from "oauth4webapi";
import { approve, loopback, options } from "./browser.mjs";

const args = options();
const resource = new URL(args._[0]);
const insecure = { [oauth.allowInsecureRequests]: true };
const seen = { client: "oauth4webapi" };

const rs = await oauth
  .resourceDiscoveryRequest(resource, insecure)
  .then((response) => oauth.processResourceDiscoveryResponse(resource, response));
const issuer = new URL(rs.authorization_servers[0]);
seen.issuer = issuer.href;
const as = await oauth
  .discoveryRequest(issuer, { algorithm: "oauth2", ...insecure })
  .then((response) => oauth.processDiscoveryResponse(issuer, response));
const scope = args.scope ?? rs.scopes_supported?.join(" ");

const callback = await loopback();
try {
  const method = as.token_endpoint_auth_methods_supported?.includes("none") ? "none" : "client_secret_post";
  const client = await oauth
    .dynamicClientRegistrationRequest(
      as,
      {
        client_name: "oauth4webapi driver",
        redirect_uris: [callback.redirectUri],
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        token_endpoint_auth_method: method,
        ...(args.dpop ? { dpop_bound_access_tokens: true, require_pushed_authorization_requests: true } : {}),
        ...(scope ? { scope } : {}),
      },
      insecure,
    )
    .then(oauth.processDynamicClientRegistrationResponse);
  seen.client_id = client.client_id;
  const clientAuth = method === "none" ? oauth.None() : oauth.ClientSecretPost(client.client_secret);

  const DPoP = args.dpop ? oauth.DPoP(client, await oauth.generateKeyPair(args.dpop)) : undefined;
  const proved = { ...insecure, ...(DPoP ? { DPoP } : {}) };
  // a server may ask for a nonce of its own: then the same request is sent again with it
  const insisting = (send) =>
    send().catch((error) => (DPoP && oauth.isDPoPNonceError(error) ? send() : Promise.reject(error)));
  if (DPoP && !as.dpop_signing_alg_values_supported?.includes(args.dpop)) throw new Error("DPoP is not offered");

  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const authorize = new URL(as.authorization_endpoint);
  let request = {
    client_id: client.client_id,
    redirect_uri: callback.redirectUri,
    response_type: "code",
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    resource: rs.resource,
    state,
    ...(scope ? { scope } : {}),
  };
  if (DPoP) {
    const pushed = await insisting(() =>
      oauth
        .pushedAuthorizationRequest(as, client, clientAuth, request, proved)
        .then((response) => oauth.processPushedAuthorizationResponse(as, client, response)),
    );
    request = { client_id: client.client_id, request_uri: pushed.request_uri };
  }
  for (const [name, value] of Object.entries(request)) authorize.searchParams.set(name, value);
  const [answer] = await Promise.all([callback.next(), approve(authorize)]);
  seen.iss_in_response = answer.searchParams.get("iss");
  const parameters = oauth.validateAuthResponse(as, client, answer, state);

  const tokens = await insisting(() =>
    oauth
      .authorizationCodeGrantRequest(as, client, clientAuth, parameters, callback.redirectUri, verifier, {
        additionalParameters: { resource: rs.resource },
        ...proved,
      })
      .then((response) => oauth.processAuthorizationCodeResponse(as, client, response)),
  );
  seen.token_type = tokens.token_type;
  seen.expires_in = tokens.expires_in;
  seen.scope = tokens.scope;

  const mcp = (token, how = proved) =>
    insisting(() => asked(token, how));
  const asked = (token, how) =>
    oauth.protectedResourceRequest(
      token,
      "POST",
      resource,
      new Headers({ "content-type": "application/json", accept: "application/json, text/event-stream" }),
      JSON.stringify({
        jsonrpc: "2.0",
        id: 1,
        method: "initialize",
        params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "oauth4webapi", version: "1" } },
      }),
      how,
    );
  seen.mcp_status = (await mcp(tokens.access_token)).status;

  if (DPoP)
    seen.as_bearer = await mcp(tokens.access_token, insecure).then(
      (response) => response.status,
      (error) => error.cause?.map(({ scheme, parameters }) => `${scheme} ${parameters.error ?? ""}`.trim()).join(", "),
    );

  if (tokens.access_token.split(".").length === 3 && as.jwks_uri) {
    const request = new Request(resource, { headers: { authorization: `Bearer ${tokens.access_token}` } });
    seen.rfc9068 = await oauth.validateJwtAccessToken(as, request, rs.resource, insecure);
  }
  if (tokens.refresh_token) {
    const refreshed = await insisting(() =>
      oauth
        .refreshTokenGrantRequest(as, client, clientAuth, tokens.refresh_token, {
          additionalParameters: { resource: rs.resource },
          ...proved,
        })
        .then((response) => oauth.processRefreshTokenResponse(as, client, response)),
    );
    seen.refresh_rotated = Boolean(refreshed.refresh_token && refreshed.refresh_token !== tokens.refresh_token);
    seen.mcp_status_after_refresh = (await mcp(refreshed.access_token)).status;
    tokens.access_token = refreshed.access_token;
  }
  if (as.introspection_endpoint) {
    const found = await oauth
      .introspectionRequest(as, client, clientAuth, tokens.access_token, insecure)
      .then((response) => oauth.processIntrospectionResponse(as, client, response))
      .catch((error) => ({ refused: String(error.cause?.status ?? error.message) }));
    seen.introspection = found;
  }
  const revoke = as.revocation_endpoint_auth_methods_supported?.includes(method) ?? true;
  if (as.revocation_endpoint && !revoke) seen.revocation = `not offered to a client that authenticates by ${method}`;
  if (as.revocation_endpoint && revoke) {
    await oauth
      .revocationRequest(as, client, clientAuth, tokens.access_token, insecure)
      .then(oauth.processRevocationResponse);
    const ask = () =>
      mcp(tokens.access_token).then(
        (response) => response.status,
        (error) => error.cause?.[0]?.parameters?.error ?? error.message,
      );
    // a revocation may take a second to be felt by every process of the server
    for (let i = 0; i < 12 && (seen.mcp_status_after_revocation = await ask()) === 200; i += 1)
      await new Promise((resolve) => setTimeout(resolve, 100));
  }
  console.log(JSON.stringify(seen));
  const expected = {
    iss_in_response: as.issuer,
    mcp_status: 200,
    refresh_rotated: true,
    mcp_status_after_refresh: 200,
    mcp_status_after_revocation: "invalid_token",
    ...(args.dpop ? { token_type: "dpop", as_bearer: "bearer invalid_token, dpop" } : { token_type: "bearer" }),
  };
  for (const [name, value] of Object.entries(expected))
    if (seen[name] !== value) throw new Error(`${name} is ${seen[name]}, not ${value}`);
} finally {
  callback.close();
}
