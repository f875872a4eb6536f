// The browser step and the callback listener, for the Node drivers.
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const AUTOBROWSER = fileURLToPath(new URL("./autobrowser.py", import.meta.url));

/** Play the person at `url`; resolves with the last URL reached. */
export async function approve(url) {
  const python = process.env.PYTHON ?? "python3";
  const env = { ...process.env, AUTOBROWSER_FOREGROUND: "1" };
  const { stdout } = await promisify(execFile)(python, [AUTOBROWSER, String(url)], { env, timeout: 60_000 });
  return stdout.trim();
}

/** A loopback redirect listener: { redirectUri, next(): Promise<URL>, close() }. */
export async function loopback(path = "/callback", port = 0) {
  const waiting = [];
  const arrived = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url, `http://127.0.0.1:${server.address().port}`);
    response.writeHead(url.pathname === path ? 200 : 404).end("You may close this window.");
    if (url.pathname !== path) return;
    const resolve = waiting.shift();
    if (resolve) resolve(url);
    else arrived.push(url);
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    redirectUri: `http://127.0.0.1:${server.address().port}${path}`,
    next: () => (arrived.length ? Promise.resolve(arrived.shift()) : new Promise((resolve) => waiting.push(resolve))),
    close: () => server.close(),
  };
}

/** `--name value` and `--name=value` options after the positional ones. */
export function options(argv = process.argv.slice(2)) {
  const found = { _: [] };
  for (let i = 0; i < argv.length; i += 1) {
    if (!argv[i].startsWith("--")) found._.push(argv[i]);
    else if (argv[i].includes("=")) found[argv[i].slice(2).split("=")[0]] = argv[i].slice(argv[i].indexOf("=") + 1);
    else found[argv[i].slice(2)] = argv[(i += 1)];
  }
  return found;
}
