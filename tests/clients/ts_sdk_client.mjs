// The official TypeScript MCP SDKs through OAuth to a tool call.
//
//   node ts_sdk_client.mjs http://127.0.0.1:8080/mcp --sdk v2 [--mode legacy|auto|2026-07-28] [--tool whoami]
//   node ts_sdk_client.mjs http://127.0.0.1:8080/mcp --sdk v1 | v1.17
//
// v1 is @modelcontextprotocol/sdk (what Inspector 0.x, mcp-remote 0.1 and most hosts ship), v1.17 an older release of
// it, v2 is @modelcontextprotocol/client. A second call is made with an access token that is no longer good. Prints one
// JSON object; exit 0 only when both calls worked and the second one needed no browser.
import { randomUUID } from "node:crypto";
import { approve, loopback, options } from "./browser.mjs";

const args = options();
const url = new URL(args._[0]);
const sdk = args.sdk ?? "v2";
const v2 = sdk === "v2";
const v1 = sdk === "v1.17" ? "mcp-sdk-1.17" : "@modelcontextprotocol/sdk";
const mode = args.mode ?? (v2 ? "auto" : "legacy");

const { Client, StreamableHTTPClientTransport, UnauthorizedError } = v2
  ? await import("@modelcontextprotocol/client")
  : {
      ...(await import(`${v1}/client/index.js`)),
      ...(await import(`${v1}/client/streamableHttp.js`)),
      ...(await import(`${v1}/client/auth.js`)),
    };

const callback = await loopback();
const kept = { browserSteps: 0 };
const provider = {
  get redirectUrl() {
    return callback.redirectUri;
  },
  get clientMetadata() {
    return {
      client_name: `ts-sdk-${sdk} driver`,
      redirect_uris: [callback.redirectUri],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      token_endpoint_auth_method: "none",
      ...(args.scope ? { scope: args.scope } : {}),
    };
  },
  ...(args.cimd ? { clientMetadataUrl: args.cimd } : {}),
  state: () => (kept.state = randomUUID()),
  clientInformation: () => kept.client,
  saveClientInformation: (value) => void (kept.client = value),
  tokens: () => kept.tokens,
  saveTokens: (value) => void (kept.tokens = value),
  saveCodeVerifier: (value) => void (kept.verifier = value),
  codeVerifier: () => kept.verifier,
  saveDiscoveryState: (value) => void (kept.discovery = value),
  discoveryState: () => kept.discovery,
  redirectToAuthorization: async (authorizationUrl) => {
    kept.browserSteps += 1;
    await approve(authorizationUrl);
  },
};

const transport = () => new StreamableHTTPClientTransport(url, { authProvider: provider });
const client = () =>
  new Client(
    { name: `ts-sdk-${sdk}-driver`, version: "1.0.0" },
    v2 ? { versionNegotiation: { mode: /^\d/.test(mode) ? { pin: mode } : mode } } : {},
  );

async function connect() {
  const first = transport();
  let mcp = client();
  try {
    await mcp.connect(first);
    return mcp;
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
  }
  const answer = (await callback.next()).searchParams;
  if (answer.get("state") !== kept.state) throw new Error("state does not match");
  if (!answer.has("code")) throw new Error(`authorization refused: ${answer}`);
  await (v2 ? first.finishAuth(answer) : first.finishAuth(answer.get("code")));
  mcp = client();
  await mcp.connect(transport());
  return mcp;
}

let code = 1;
try {
  const mcp = await connect();
  const { tools } = await mcp.listTools();
  const call = () => mcp.callTool({ name: args.tool ?? "whoami", arguments: JSON.parse(args.arguments ?? "{}") });
  const first = await call();
  kept.tokens = { ...kept.tokens, access_token: "ended" };
  const result = await call();
  const refreshed = kept.tokens.access_token !== "ended" && kept.browserSteps === 1;
  code = first.isError || result.isError || !refreshed ? 1 : 0;
  console.log(
    JSON.stringify({
      client: `typescript-sdk-${sdk}`,
      protocol: mcp.getNegotiatedProtocolVersion?.() ?? mcp.transport?.protocolVersion,
      tools: tools.map((tool) => tool.name),
      result: result.content,
      is_error: Boolean(result.isError),
      refreshed,
      browser_steps: kept.browserSteps,
      client_id: kept.client?.client_id,
    }),
  );
  await mcp.close();
} finally {
  callback.close();
  process.exitCode = code;
}
