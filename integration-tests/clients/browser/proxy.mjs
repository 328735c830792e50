// Connections that break off: what goes to another address, one at a time.

import { connect, createServer } from "node:net";

/**
 * Listens on a free port and passes connections on to an address. The first one that asks for events is cut off after the
 * first event. `asked` gets the heads of all requests for events.
 */
export async function cuttingProxy(host, port, asked) {
  let isCut = false;
  const server = createServer((client) => {
    const upstream = connect(port, host);
    const end = () => [client, upstream].forEach((socket) => socket.destroy());
    for (const socket of [client, upstream]) socket.on("error", end).on("close", end);
    let isEvents = false;
    client.on("data", (bytes) => {
      const head = bytes.toString("latin1");
      if (head.startsWith("GET ") && head.includes("/events?")) {
        isEvents = true;
        asked.push(head);
      }
      upstream.write(bytes);
    });
    let answered = "";
    upstream.on("data", (bytes) => {
      client.write(bytes, () => {
        answered += bytes.toString("latin1");
        if (!isEvents || isCut || !/\nid: ?\d+\n[^]*\n\n/.test(answered)) return;
        isCut = true;
        client.end();
        upstream.destroy();
      });
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${server.address().port}`;
}
