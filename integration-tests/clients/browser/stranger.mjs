// A page of an origin that the edge does not know, with a good token: the browser keeps every answer from it.

import { check, event, refused } from "./checks.mjs";
import { client } from "./grpc_web.mjs";
import { REQUEST, rest } from "./rest.mjs";

export async function run({ base, token, id }) {
  const call = rest(base, token);
  const unread = async (what, ask) => {
    const error = await refused(what, ask);
    check(error instanceof TypeError, `${what}: ${error}`);
  };
  await unread("a list", () => call("GET", "/v1/videos"));
  await unread("a video", () => call("POST", "/v1/videos", { ...REQUEST, seed: "3" }));
  await unread("prices, which everybody may read", () => rest(base)("GET", "/v1/prices"));
  await unread("an error", () => rest(base)("GET", "/v1/videos"));
  const url = `${base}/v1/videos/${id}/events?access_token=${token}`;
  await unread("events by fetch", () => fetch(url));
  const source = new EventSource(url);
  const first = await event(source, "error", "open", "queued", "completed");
  check(first.type === "error" && source.readyState === EventSource.CLOSED, first.type);
  const { videos } = await client(base, token);
  const error = await refused("gRPC-Web", () => videos.listModels({}));
  check(/fetch/i.test(error.message), `${error}`);
}
