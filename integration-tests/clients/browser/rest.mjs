// The REST interface by `fetch`.

import { check } from "./checks.mjs";

export const REQUEST = { prompt: "a blue square moves left on a white background", steps: 2 };
const UNKNOWN = "00000000-0000-7000-8000-000000000000";

/** Calls the edge as somebody, or as nobody. */
export function rest(base, token) {
  return async (method, path, body, headers = {}) => {
    const credential = token ? { Authorization: `Bearer ${token}` } : {};
    const content = body ? { "Content-Type": "application/json" } : {};
    const response = await fetch(base + path, {
      method,
      headers: { ...credential, ...content, ...headers },
      body: body && JSON.stringify(body),
    });
    return { status: response.status, headers: response.headers, json: await response.json() };
  };
}

/** Signs in with the first password, which has to be changed, and gives an access token. */
export async function signIn({ base, email, password }) {
  const call = rest(base);
  const { tokens } = (await call("POST", "/v1/auth:signIn", { email, password })).json;
  const change = { current_password: password, new_password: "seven lanterns by the lake" };
  const changed = await rest(base, tokens.access_token)("POST", "/v1/me:changePassword", change);
  check(changed.status === 200, changed);
  const refresh = { refresh_token: tokens.refresh_token };
  return (await call("POST", "/v1/auth:refresh", refresh)).json.tokens.access_token;
}

export async function createsAndPolls(base, token) {
  const call = rest(base, token);
  const key = { "Idempotency-Key": "page-1" };
  const created = await call("POST", "/v1/videos", { ...REQUEST, seed: "1" }, key);
  check(created.status === 200 && created.json.status === "queued", created);
  check(created.headers.get("x-request-id"), "the id of the request");
  check(Number(created.headers.get("openai-poll-after-ms")) > 0, "when to ask again");
  const again = await call("POST", "/v1/videos", { ...REQUEST, seed: "1" }, key);
  check(again.json.id === created.json.id, again);
  const { id } = created.json;
  let video = again.json;
  while (["queued", "in_progress"].includes(video.status)) {
    await new Promise((resolve) => setTimeout(resolve, 250));
    video = (await call("GET", `/v1/videos/${id}`)).json;
  }
  check(video.status === "completed" && video.seed === "1", video);
  const list = (await call("GET", "/v1/videos?page_size=1")).json;
  check(list.data.length === 1 && list.data[0].id === id, list);
  return id;
}

export async function readsErrors(base, token) {
  const call = rest(base, token);
  const odd = await call("POST", "/v1/videos", { ...REQUEST, quality: "high" });
  check(odd.status === 400 && odd.json.errors[0].field === "quality", odd);
  check(odd.headers.get("content-type") === "application/problem+json", "a problem document");
  check(odd.headers.get("x-request-id") === odd.json.request_id, odd);
  const unknown = await call("GET", `/v1/videos/${UNKNOWN}`);
  check(unknown.status === 404 && unknown.json.reason === "JOB_NOT_FOUND", unknown);
  const nobody = await rest(base)("GET", "/v1/videos");
  check(nobody.status === 401 && nobody.json.reason === "TOKEN_MISSING", nobody);
  check(nobody.headers.get("www-authenticate") === 'Bearer realm="kinora"', "the challenge");
  const wrong = await call("PATCH", "/v1/videos");
  check(wrong.status === 405 && wrong.headers.get("allow").includes("POST"), wrong);
}

/** Cancels and deletes what a page has made. */
export async function deletes(base, token, id) {
  const call = rest(base, token);
  const cancelled = await call("POST", `/v1/videos/${id}:cancel`, {});
  check(cancelled.json.status === "completed", cancelled);
  const deleted = await call("DELETE", `/v1/videos/${id}`);
  check(deleted.json.deleted === true, deleted);
}
