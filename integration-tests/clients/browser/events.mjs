// Server-sent events by `EventSource`, which can set no header: the token stands in the URL.

import { check, event } from "./checks.mjs";
import { REQUEST, rest } from "./rest.mjs";

/** Gives the id of the video that was followed to its end. */
export async function followsEvents(base, token, through) {
  const { id, last } = await followsToTheEnd(base, token);
  await needsAGoodToken(base, token, id, last);
  await comesBack(base, token, through);
  return id;
}

const urlOf = (base, id, token) => `${base}/v1/videos/${id}/events?access_token=${token}`;

async function create(base, token, more) {
  const answer = await rest(base, token)("POST", "/v1/videos", { ...REQUEST, ...more });
  check(answer.status === 200, answer);
  return answer.json.id;
}

async function followsToTheEnd(base, token) {
  const id = await create(base, token, { seed: "2", steps: 10 });
  const source = new EventSource(urlOf(base, id, token));
  const seen = [];
  for (const type of ["queued", "in_progress", "progress", "completed"]) {
    source.addEventListener(type, ({ data }) => seen.push(JSON.parse(data)));
  }
  await event(source, "completed", "failed", "error");
  source.close();
  const numbers = seen.map(({ seq }) => seq);
  check(numbers.every((seq, index) => index === 0 || seq > numbers[index - 1]), numbers);
  const last = seen.at(-1);
  check(last.type === "completed" && last.id === id && last.progress === 100, last);
  return { id, last: last.seq };
}

/** One that is not good any more ends the stream; with a new one the page goes on where it was. */
async function needsAGoodToken(base, token, id, last) {
  const stale = new EventSource(urlOf(base, id, `${token}x`));
  await event(stale, "error");
  check(stale.readyState === EventSource.CLOSED, "it does not come back with the same token");
  const fresh = new EventSource(`${urlOf(base, id, token)}&after_seq=${last - 1}`);
  const { data, lastEventId } = await event(fresh, "completed");
  fresh.close();
  check(Number(lastEventId) === last && JSON.parse(data).seq === last, data);
}

/** The connection over `through` breaks off after its first event. */
async function comesBack(base, token, through) {
  const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
  const id = await create(base, token, { seed: "3", not_before: tomorrow });
  const source = new EventSource(urlOf(through, id, token));
  const broken = event(source, "error");
  const { lastEventId } = await event(source, "queued");
  check(lastEventId === "1", lastEventId);
  await broken;
  check(source.readyState === EventSource.CONNECTING, "it comes back by itself");
  // The present state comes under a number of its own.
  const present = await event(source, "queued");
  check(Number(present.lastEventId) > 1, present.lastEventId);
  const ended = event(source, "cancelled", "error");
  await rest(base, token)("POST", `/v1/videos/${id}:cancel`);
  const last = await ended;
  source.close();
  check(last.type === "cancelled", last.type);
  check(Number(last.lastEventId) > Number(present.lastEventId), last.lastEventId);
}
