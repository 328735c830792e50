// gRPC-Web by Connect's client, of the contracts as the repository compiles them.

import { create, createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { check, refused } from "./checks.mjs";
import { REQUEST } from "./rest.mjs";

/** The contracts, and of google.rpc what is read of errors: their files are not among them. */
async function contracts() {
  const bytes = new Uint8Array(await (await fetch("/contracts.binpb")).arrayBuffer());
  const files = fromBinary(FileDescriptorSetSchema, bytes);
  const text = (name, number) => ({ name, number, label: 1, type: 9, jsonName: name });
  const info = { name: "ErrorInfo", field: [text("reason", 1), text("domain", 2)] };
  files.file.push(
    create(FileDescriptorProtoSchema, {
      name: "google/rpc/error_details.proto",
      package: "google.rpc",
      syntax: "proto3",
      messageType: [info],
    }),
  );
  return createFileRegistry(files);
}

/** A client of videos. */
export async function client(base, token) {
  const registry = await contracts();
  const authorized = (next) => (request) => {
    if (token) request.header.set("Authorization", `Bearer ${token}`);
    return next(request);
  };
  const transport = createGrpcWebTransport({ baseUrl: base, interceptors: [authorized] });
  const videos = createClient(registry.getService("kinora.scheduler.v1.VideoService"), transport);
  return { videos, errorInfo: registry.getMessage("google.rpc.ErrorInfo") };
}

export async function callsByGrpcWeb(base, token) {
  const { videos, errorInfo } = await client(base, token);
  const models = await videos.listModels({}, { timeoutMs: 600_000 });
  check(models.data[0].id === "kinora-tiny-t2v", models.data[0].id);
  const { video } = await videos.createVideo({ ...REQUEST, seed: 2n ** 53n - 1n });
  const types = [];
  for await (const { event } of videos.watchVideo({ id: video.id })) types.push(event.type);
  check(types[0] === "queued" && types.at(-1) === "completed", types);
  const done = (await videos.getVideo({ id: video.id })).video;
  check(done.seed === 2n ** 53n - 1n && done.outputs.bytes > 0n, done.id);
  await readsErrors(videos, errorInfo);
  const stranger = await client(base);
  const error = await refused("a stranger", () => stranger.videos.listModels({}));
  checkError(error, errorInfo, Code.Unauthenticated, "TOKEN_MISSING");
  return video.id;
}

async function readsErrors(videos, errorInfo) {
  const missing = { id: "00000000-0000-7000-8000-000000000000" };
  const unary = await refused("an unknown video", () => videos.getVideo(missing));
  checkError(unary, errorInfo, Code.NotFound, "JOB_NOT_FOUND");
  const streamed = await refused("events of an unknown video", async () => {
    for await (const { event } of videos.watchVideo(missing)) check(false, event.type);
  });
  checkError(streamed, errorInfo, Code.NotFound, "JOB_NOT_FOUND");
  const odd = await refused("too many steps", () => videos.createVideo({ ...REQUEST, steps: 100_000 }));
  check(odd.code === Code.InvalidArgument, `${odd}`);
  check(odd.details.some(({ type }) => type === "google.rpc.BadRequest"), odd.details);
}

function checkError(error, errorInfo, code, reason) {
  check(error instanceof ConnectError && error.code === code, `${error}`);
  const [info] = error.findDetails(errorInfo);
  check(info?.reason === reason && info.domain === "kinora", `${error}: ${info?.reason}`);
}
