// openid-client (what Next.js Auth, Passport and many dashboards use) against the authorization server.
//
//   node openid_client.mjs http://127.0.0.1:8080 --resource http://127.0.0.1:8080/mcp [--algorithm oauth2|oidc]
//                          [--scope "mcp:read"] [--client-id ID --client-secret SECRET]
import * as client from "openid-client";
import { approve, loopback, options } from "./browser.mjs";

const args = options();
const issuer = new URL(args._[0]);
const algorithm = args.algorithm ?? "oauth2";
const execute = [client.allowInsecureRequests];
const callback = await loopback();
const seen = { client: "openid-client" };
try {
  const config = args["client-id"]
    ? await client.discovery(
        issuer,
        args["client-id"],
        args["client-secret"],
        args["client-secret"] ? client.ClientSecretPost(args["client-secret"]) : client.None(),
        { algorithm, execute },
      )
    : await client.dynamicClientRegistration(
        issuer,
        {
          client_name: "openid-client driver",
          redirect_uris: [callback.redirectUri],
          grant_types: ["authorization_code", "refresh_token"],
          response_types: ["code"],
          token_endpoint_auth_method: args["auth-method"] ?? "client_secret_post",
        },
        (server, metadata, body, headers) =>
          metadata.client_secret
            ? client.ClientSecretPost(metadata.client_secret)(server, metadata, body, headers)
            : client.None()(server, metadata, body, headers),
        { algorithm, execute },
      );
  seen.client_id = config.clientMetadata().client_id;
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const expectedState = client.randomState();
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: callback.redirectUri,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: "S256",
    state: expectedState,
    ...(args.scope ? { scope: args.scope } : {}),
    ...(args.resource ? { resource: args.resource } : {}),
  });
  const [answer] = await Promise.all([callback.next(), approve(url)]);
  const target = args.resource ? { resource: args.resource } : {};
  const tokens = await client.authorizationCodeGrant(config, answer, { pkceCodeVerifier, expectedState }, target);
  seen.expires_in = tokens.expires_in;
  seen.scope = tokens.scope;
  seen.claims = tokens.claims();
  if (tokens.refresh_token) {
    const again = await client.refreshTokenGrant(config, tokens.refresh_token, target);
    seen.refreshed = Boolean(again.access_token);
    await client.tokenRevocation(config, again.access_token);
    seen.revoked = true;
  }
  console.log(JSON.stringify(seen));
} finally {
  callback.close();
}
