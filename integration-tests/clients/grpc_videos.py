"""The gRPC client for Python, as it comes from its package, with stubs of the repository's contracts.

Arguments: host and port of the edge, an API key, and the folder of the contracts. With a further one, a file of
certificates that the edge's is to be verified by, it speaks TLS. Ends with an error at the first thing that is not as
expected.
"""

import asyncio
import datetime
import importlib
import importlib.resources
import os
import pathlib
import struct
import sys
import tempfile
import zlib

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from grpc_tools import protoc

PROMPT = "a blue square moves left on a white background"
PATIENCE_SECONDS = 180
MIB = 1 << 20


def stubs_of(contracts):
    """Generates messages and stubs as everybody does, and imports those of videos."""
    folder = tempfile.TemporaryDirectory()
    files = [str(file) for file in pathlib.Path(contracts, "kinora").rglob("*.proto")]
    folders = [f"-I{contracts}", f"-I{importlib.resources.files('grpc_tools') / '_proto'}"]
    outputs = [f"--python_out={folder.name}", f"--grpc_python_out={folder.name}"]
    check(protoc.main(["protoc", *folders, *outputs, *files]) == 0, "the stubs")
    sys.path.insert(0, folder.name)
    name = "kinora.scheduler.v1.video_service_pb2"
    # The folder goes once both are imported.
    with folder:
        return importlib.import_module(name), importlib.import_module(f"{name}_grpc")


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def refused(code, call):
    """The error of a call that has to fail with this code."""
    try:
        answer = call()
    except grpc.RpcError as error:
        check(error.code() == code, error)
        return error
    raise AssertionError(f"{code} was expected, not {answer!r}")


def noise(width, height):
    """A picture that cannot be made smaller."""

    def chunk(kind, data):
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    rows = b"".join(b"\0" + os.urandom(3 * width) for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def details_of(error):
    """What a status says beside its code, by the names of the messages."""
    status = rpc_status.from_call(error)
    check(status.message == error.details(), status)
    found = {}
    for detail in status.details:
        name = detail.TypeName().rpartition(".")[2]
        message = getattr(error_details_pb2, name)()
        check(detail.Unpack(message), detail)
        found[name] = message
    check(found["ErrorInfo"].domain == "kinora", found)
    return found


def check_reason(error, reason):
    details = details_of(error)
    check(details["ErrorInfo"].reason == reason, details)
    return details


class Client:
    """Stubs of one edge, called with one key."""

    def __init__(self, channel, stubs, api_key):
        self.pb, grpc_stubs = stubs
        self.api_key = api_key
        self.videos = grpc_stubs.VideoServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)
        self.metadata = [("authorization", f"Bearer {api_key}")]

    def call(self, name, timeout=PATIENCE_SECONDS, metadata=None, **fields):
        """Calls a method of videos with the fields of its message."""
        message = getattr(self.pb, f"{name}Request")(**fields)
        metadata = self.metadata if metadata is None else metadata
        return getattr(self.videos, name)(message, timeout=timeout, metadata=metadata)

    def waiting(self, seed):
        """A video that no worker takes today."""
        tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
        answer = self.call("CreateVideo", prompt=PROMPT, steps=2, seed=seed, not_before=tomorrow)
        return answer.video


def status_of(client, video):
    return type(video).Status.Name(client.call("GetVideo", id=video.id).video.status)


def is_healthy(client):
    serving = health_pb2.HealthCheckResponse.SERVING
    for service in ("", "kinora.scheduler.v1.VideoService"):
        request = health_pb2.HealthCheckRequest(service=service)
        answer = client.health.Check(request, timeout=PATIENCE_SECONDS)
        check(answer.status == serving, answer)
        watch = client.health.Watch(request, timeout=PATIENCE_SECONDS)
        check(next(watch).status == serving, "the first thing that is watched")
        watch.cancel()
    unknown = health_pb2.HealthCheckRequest(service="nothing")
    refused(grpc.StatusCode.NOT_FOUND, lambda: client.health.Check(unknown))


def creates_and_watches(client):
    fields = {"prompt": PROMPT, "steps": 2, "seed": 2**53 - 1, "request_id": "grpc-1"}
    video = client.call("CreateVideo", **fields).video
    again = client.call("CreateVideo", **fields).video
    check(again.id == video.id, "the same request is the same video")
    events = [answer.event for answer in client.call("WatchVideo", id=video.id)]
    numbers = [event.seq for event in events]
    check(numbers == sorted(numbers) and len(numbers) > 1, numbers)
    check(events[-1].type == "completed", events[-1])
    rest = list(client.call("WatchVideo", id=video.id, after_seq=numbers[-2]))
    check([answer.event.seq for answer in rest] == numbers[-1:], rest)
    done = client.call("GetVideo", id=video.id).video
    check(done.seed == 2**53 - 1 and done.outputs.bytes > 0, done)
    return video


def cancels(client):
    video = client.waiting(1)
    watch = client.call("WatchVideo", id=video.id)
    check(next(watch).event.type == "queued", "the first event")
    client.call("CancelVideo", id=video.id)
    check([answer.event.type for answer in watch][-1:] == ["cancelled"], "the last event")
    return video


def lists_pages(client, expected):
    found, token = [], ""
    while True:
        page = client.call("ListVideos", page_size=1, page_token=token)
        found += [video.id for video in page.data]
        token = page.next_page_token
        if not token:
            break
    check(found == expected, "every page, the newest first")


def keeps_deadlines(client):
    """A stream that does not end, and a call that has no time at all."""
    video = client.waiting(2)
    late = grpc.StatusCode.DEADLINE_EXCEEDED
    refused(late, lambda: list(client.call("WatchVideo", timeout=1, id=video.id)))
    refused(late, lambda: client.call("ListModels", timeout=1e-6))
    left = client.call("WatchVideo", id=video.id)
    check(next(left).event.seq == 1, "the first event")
    left.cancel()
    refused(grpc.StatusCode.CANCELLED, lambda: list(left))
    client.call("DeleteVideo", id=video.id)


def reads_errors(client):
    create = lambda **fields: lambda: client.call("CreateVideo", prompt=PROMPT, **fields)
    invalid = refused(grpc.StatusCode.INVALID_ARGUMENT, create(steps=100_000))
    violations = details_of(invalid)["BadRequest"].field_violations
    check([violation.field for violation in violations] == ["steps"], violations)
    missing = lambda: client.call("GetVideo", id="00000000-0000-7000-8000-000000000000")
    check_reason(refused(grpc.StatusCode.NOT_FOUND, missing), "JOB_NOT_FOUND")
    for metadata, reason in [([], "TOKEN_MISSING"), ([("x-api-key", "kk_no")], "API_KEY_INVALID")]:
        stranger = lambda: client.call("ListVideos", metadata=metadata)
        check_reason(refused(grpc.StatusCode.UNAUTHENTICATED, stranger), reason)
        watcher = lambda: list(client.call("WatchVideo", metadata=metadata, id="x"))
        check_reason(refused(grpc.StatusCode.UNAUTHENTICATED, watcher), reason)
    hidden = lambda: client.call("FindContent", id="x")
    check_reason(refused(grpc.StatusCode.UNIMPLEMENTED, hidden), "METHOD_NOT_FOUND")


def sends_large_messages(client):
    """A picture arrives whole, though the model that is there takes none; a message can be too large."""
    picture = noise(2048, 2048)
    check(12 * MIB < len(picture) < 16 * MIB, len(picture))
    create = lambda image: lambda: client.call("CreateVideo", prompt=PROMPT, image=image)
    error = refused(grpc.StatusCode.INVALID_ARGUMENT, create(picture))
    check_reason(error, "IMAGE_NOT_SUPPORTED")
    error = refused(grpc.StatusCode.RESOURCE_EXHAUSTED, create(picture * 3))
    check_reason(error, "BODY_TOO_LARGE")


async def works_asynchronously(open_channel, stubs, api_key):
    async with open_channel(grpc.aio) as channel:
        client = Client(channel, stubs, api_key)
        video = (await client.call("CreateVideo", prompt=PROMPT, steps=2, seed=3)).video
        types = [answer.event.type async for answer in client.call("WatchVideo", id=video.id)]
        check(types[-1] == "completed", types)
        return video


def main(address, api_key, contracts, authorities=None):
    stubs = stubs_of(contracts)
    credentials = authorities and grpc.ssl_channel_credentials(pathlib.Path(authorities).read_bytes())

    def open_channel(kind):
        if credentials:
            return kind.secure_channel(address, credentials)
        return kind.insecure_channel(address)

    with open_channel(grpc) as channel:
        client = Client(channel, stubs, api_key)
        is_healthy(client)
        videos = [creates_and_watches(client), cancels(client)]
        check(status_of(client, videos[1]) == "cancelled", videos[1])
        keeps_deadlines(client)
        reads_errors(client)
        sends_large_messages(client)
        videos.append(asyncio.run(works_asynchronously(open_channel, stubs, api_key)))
        lists_pages(client, [video.id for video in reversed(videos)])


main(*sys.argv[1:])
