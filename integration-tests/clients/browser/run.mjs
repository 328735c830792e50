// Serves pages from origins of their own and has a headless Chromium open them.
//
// Arguments: the program, the folder of its packages, a folder for its profile, and the file of the contracts. Writes the
// origin that the edge is to let in as a line; then reads `{"base", "email", "password"}` of the edge from standard input.
// Ends well when both pages have reported that all was as expected.

import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

import { cuttingProxy } from "./proxy.mjs";

const [program, packages, profile, contracts] = process.argv.slice(2);
const here = fileURLToPath(new URL(".", import.meta.url));
const TYPES = { ".html": "text/html", ".mjs": "text/javascript", ".js": "text/javascript" };

/** Serves a page on a free port. `settings` is asked for once the page runs; `report` gets what it says. */
async function serve(settings, report) {
  const answer = async (request) => {
    const path = normalize(new URL(request.url, "http://page").pathname);
    if (path === "/report") return report(JSON.parse(await text(request)));
    if (path === "/settings.json") return [JSON.stringify(settings()), "application/json"];
    if (path === "/contracts.binpb") return [await readFile(contracts), "application/octet-stream"];
    const [folder, name] = path.startsWith("/packages/")
      ? [join(packages, "node_modules"), path.slice("/packages/".length)]
      : [here, path === "/" ? "index.html" : path];
    return [await readFile(join(folder, name)), TYPES[extname(name)]];
  };
  const server = createServer((request, response) => {
    answer(request).then(
      ([body, type] = ["", "text/plain"]) => response.setHeader("Content-Type", type).end(body),
      (error) => response.writeHead(404).end(String(error)),
    );
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${server.address().port}`;
}

/** Starts the browser on a page; it ends with this process in any case. */
function open(url) {
  const options = [
    "--headless",
    "--no-sandbox", // It opens our pages only, and often as root.
    "--disable-gpu",
    "--disable-software-rasterizer",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--enable-logging=stderr",
    `--user-data-dir=${profile}`,
  ];
  const environment = { PATH: process.env.PATH, HOME: profile, TMPDIR: profile };
  const stdio = ["ignore", "inherit", "inherit"];
  const all = ["--pdeathsig", "KILL", program, ...options, url];
  return spawn("setpriv", all, { stdio, env: environment, detached: true });
}

function checkComingBack(asked) {
  const ids = asked.map((head) => /^last-event-id: (\d+)\r$/im.exec(head)?.[1]);
  if (ids.length !== 2 || ids[0] !== undefined || ids[1] !== "1") {
    throw new Error(`the ids with which it came back: ${JSON.stringify(ids)}`);
  }
}

const asked = [];
let edge;
let handed;
let end;
const ended = new Promise((resolve, reject) => (end = { resolve, reject }));

const stranger = await serve(
  () => ({ script: "/stranger.mjs", ...edge, ...handed }),
  (said) => ("done" in said ? end.resolve() : end.reject(new Error(`the stranger: ${said.failed}`))),
);
const allowed = await serve(
  () => ({ script: "/allowed.mjs", then: `${stranger}/`, ...edge }),
  (said) => ("done" in said ? (handed = said.next) : end.reject(new Error(said.failed))) && undefined,
);
console.log(allowed);
edge = JSON.parse(await text(process.stdin));
const { hostname, port } = new URL(edge.base);
edge.through = await cuttingProxy(hostname, port, asked);

const browser = open(`${allowed}/`);
browser.on("error", end.reject);
browser.on("exit", (code, signal) => end.reject(new Error(`the browser ended: ${code ?? signal}`)));
let status = 0;
try {
  await ended;
  checkComingBack(asked);
} catch (error) {
  console.error(error);
  status = 1;
}
// With all of its processes; what it keeps goes with the folder of its profile.
const gone = new Promise((resolve) => browser.on("close", resolve));
if (browser.exitCode === null && browser.signalCode === null) {
  process.kill(-browser.pid, "SIGKILL");
  await gone;
}
process.exit(status);
