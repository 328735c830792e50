"""The client of the OpenAI API, as it comes from its package, against Kinora's `/v1/videos`.

Arguments: the base URL with `/v1`, and an API key. Ends with an error at the first thing that is not as expected.
"""

import asyncio
import base64
import http.server
import queue
import struct
import sys
import threading
import urllib.request
import warnings
import zlib

import openai
from openai import AsyncOpenAI, OpenAI
from openai.types import Video

# The package says when its first service ends; this is another one.
warnings.simplefilter("ignore", DeprecationWarning)

PROMPT = "a blue square moves left on a white background"
SMALL = {"seed": 7, "steps": 2}
PATIENCE_SECONDS = 180


def png(width, height):
    """A picture of one colour."""

    def chunk(kind, data):
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    rows = (b"\0" + b"\x20\x40\x80" * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def refused(kind, call):
    """The error of a call that has to fail with one of this class."""
    try:
        answer = call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected, not {answer!r}")


def lists_models(client):
    model = client.models.list().data[0]
    check((model.id, model.object) == ("kinora-tiny-t2v", "model"), model)


def creates_and_polls(client):
    video = client.videos.create_and_poll(
        prompt=PROMPT, model="kinora-tiny-t2v", size="64x64", seconds="2", extra_body=SMALL
    )
    check(video.status == "completed", video)
    check((video.object, video.size, video.progress) == ("video", "64x64", 100), video)
    check(0 < float(video.seconds) <= 3, video)
    check(video.created_at <= video.completed_at < video.expires_at, video)
    check(video.prompt == PROMPT and video.error is None, video)
    check(client.videos.retrieve(video.id).id == video.id, video)
    return video


def creates_from_json(client):
    body = {"prompt": PROMPT, "seconds": "2", "steps": 2, "seed": 8}
    video = client.post("/videos", body=body, cast_to=Video)
    check(video.status in ("queued", "in_progress"), video)
    return client.videos.poll(video.id)


def is_told_when_to_ask_again(client):
    raw = client.videos.with_raw_response.create(prompt=PROMPT, extra_body={"seed": 9, "steps": 2})
    check(500 <= int(raw.headers["openai-poll-after-ms"]) <= 10_000, raw.headers)
    video = raw.parse()
    check(video.status == "queued", video)
    return client.videos.poll(video.id)


def upload(client, picture):
    """Puts a picture where `POST /v1/uploads` says."""
    body = {"content_type": "image/png", "size_bytes": len(picture)}
    place = client.post("/uploads", body=body, cast_to=dict)
    request = urllib.request.Request(
        place["url"], data=picture, headers=place["headers"], method=place["method"]
    )
    with urllib.request.urlopen(request) as answer:
        check(answer.status == 200, answer.status)
    return place["id"]


def sends_pictures(client):
    """The model that is there takes no picture, and says so, however one arrives."""

    def create(reference):
        return client.videos.create(prompt=PROMPT, input_reference=reference)

    def create_with(reference):
        # The client takes an object for a file where it has an argument for it.
        return client.videos.create(prompt=PROMPT, extra_body={"input_reference": reference})

    def post(reference):
        body = {"prompt": PROMPT, "input_reference": reference}
        return client.post("/videos", body=body, cast_to=Video)

    picture = png(64, 64)
    url = {"image_url": "data:image/png;base64," + base64.b64encode(picture).decode()}
    file = ("first.png", picture, "image/png")
    for send, reference in [(create, file), (create, picture), (create_with, url), (post, url)]:
        error = refused(openai.BadRequestError, lambda: send(reference))
        check((error.code, error.param) == ("IMAGE_NOT_SUPPORTED", "image"), error.body)
    for send in [create_with, post]:
        elsewhere = {"image_url": "https://images.example/first.png"}
        error = refused(openai.BadRequestError, lambda: send(elsewhere))
        check(error.param == "input_reference" and "data URL" in error.message, error.body)
        for id, code in [("file-1", "UPLOAD_NOT_FOUND"), (upload(client, picture), "IMAGE_NOT_SUPPORTED")]:
            error = refused(openai.BadRequestError, lambda: send({"file_id": id}))
            check((error.code, error.param) == (code, "image_upload"), error.body)


def reads_errors(client):
    create = lambda: client.videos.create(prompt=PROMPT, extra_body={"quality": "high"})
    error = refused(openai.BadRequestError, create)
    check((error.param, error.code) == ("quality", "FIELD_INVALID"), error)
    check(error.type == "invalid_request_error" and "`quality`" in error.message, error)
    check(error.request_id, "the request id")
    error = refused(openai.BadRequestError, lambda: client.videos.list(order="up"))
    check(error.param == "order", error)
    missing = lambda: client.videos.retrieve("00000000-0000-7000-8000-000000000000")
    error = refused(openai.NotFoundError, missing)
    check(error.code == "JOB_NOT_FOUND", error)
    stranger = client.with_options(api_key="kk_nobody")
    error = refused(openai.AuthenticationError, lambda: stranger.videos.list())
    check(error.type == "authentication_error", error)


def lists_pages(client, expected):
    pages = client.videos.list(limit=1, order="desc")
    check(pages.has_more and len(pages.data) == 1, pages)
    check([video.id for video in pages] == expected, "every page, the newest first")
    pages = client.videos.list(limit=2, order="asc")
    check([video.id for video in pages] == expected[::-1], "every page, the oldest first")
    found = client.videos.list(extra_query={"query": "STAR red", "model": "kinora-tiny-t2v"})
    check([video.prompt for video in found] == ["a red star spins on a gray background"], found)


def downloads(client, video):
    clip = client.videos.download_content(video.id)
    check(clip.response.history, "the link is followed")
    check(clip.content[4:8] == b"ftyp", "an MP4")
    still = client.videos.download_content(video.id, variant="thumbnail")
    check(still.content[8:12] == b"WEBP", "a WebP")
    sheet = client.videos.download_content(video.id, variant="spritesheet")
    check(sheet.content[:2] == b"\xff\xd8", "a JPEG")


def remixes(client, video):
    remix = client.videos.remix(video.id, prompt="a red star spins on a gray background")
    check(remix.remixed_from_video_id == video.id and remix.id != video.id, remix)
    check(client.videos.poll(remix.id).status == "completed", remix)
    return remix


def deletes(client, video):
    deleted = client.videos.delete(video.id)
    expected = (video.id, True, "video.deleted")
    check((deleted.id, deleted.deleted, deleted.object) == expected, deleted)
    refused(openai.NotFoundError, lambda: client.videos.retrieve(video.id))


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps the webhooks that it gets."""

    deliveries = queue.Queue()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.deliveries.put((dict(self.headers), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def unwraps_webhooks(client):
    server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = {"url": f"http://127.0.0.1:{server.server_port}/", "events": ["video.completed"]}
    secret = client.post("/webhooks", body=endpoint, cast_to=dict)["secret"]
    video = client.videos.create_and_poll(prompt=PROMPT, extra_body={"seed": 10, "steps": 2})
    event = None
    while event is None or event.data.id != video.id:  # News of those before may come late.
        headers, body = Receiver.deliveries.get(timeout=PATIENCE_SECONDS)
        event = client.webhooks.unwrap(body, headers, secret=secret)
        check((event.object, event.type) == ("event", "video.completed"), event)
    check(event.id == headers["webhook-id"], headers)
    check(event.data.status == "completed", event)
    check(video.created_at <= event.created_at, event)
    server.shutdown()
    forged = lambda: client.webhooks.unwrap(body + b" ", headers, secret=secret)
    refused(openai.InvalidWebhookSignatureError, forged)
    return video


async def works_asynchronously(base_url, api_key):
    async with AsyncOpenAI(base_url=base_url, api_key=api_key) as client:
        video = await client.videos.create_and_poll(prompt=PROMPT, extra_body={"seed": 11, "steps": 2})
        clip = await client.videos.download_content(video.id)
        check(clip.content[4:8] == b"ftyp", "an MP4")
        return video


def main(base_url, api_key):
    client = OpenAI(base_url=base_url, api_key=api_key, max_retries=0, timeout=PATIENCE_SECONDS)
    lists_models(client)
    first = creates_and_polls(client)
    videos = [first, creates_from_json(client), is_told_when_to_ask_again(client)]
    sends_pictures(client)
    reads_errors(client)
    downloads(client, first)
    videos.append(remixes(client, first))
    videos.append(unwraps_webhooks(client))
    videos.append(asyncio.run(works_asynchronously(base_url, api_key)))
    lists_pages(client, [video.id for video in reversed(videos)])
    deletes(client, first)


main(*sys.argv[1:])
