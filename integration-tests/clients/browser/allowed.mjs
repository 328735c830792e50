// A page of an origin that the edge lets in.

import { followsEvents } from "./events.mjs";
import { callsByGrpcWeb } from "./grpc_web.mjs";
import { createsAndPolls, deletes, readsErrors, signIn } from "./rest.mjs";

/** Gives what the page of the other origin needs to be refused for its origin alone. */
export async function run(settings) {
  const { base } = settings;
  const token = await signIn(settings);
  const id = await createsAndPolls(base, token);
  await readsErrors(base, token);
  const followed = await followsEvents(base, token, settings.through);
  await callsByGrpcWeb(base, token);
  await deletes(base, token, id);
  return { token, id: followed };
}
