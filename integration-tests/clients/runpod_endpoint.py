"""The client of RunPod's endpoints, as it comes from its package, against Kinora's `/v2`.

Arguments: the base URL with `/v2`, and an API key. Ends with an error at the first thing that is not as expected.
"""

import datetime
import importlib.util
import sys
import types

import requests

MODEL = "kinora-tiny-t2v"
INPUT = {"prompt": "a blue square moves left on a white background", "steps": 2}
PATIENCE_SECONDS = 180


def without_its_imports(name):
    """Makes a package known without running its `__init__`: that imports a web framework, clients of clouds, and much else
    which has nothing to do with calling an endpoint. The modules in it are imported as they are.
    """
    package = types.ModuleType(name)
    package.__path__ = importlib.util.find_spec(name).submodule_search_locations
    sys.modules[name] = package
    return package


runpod = without_its_imports("runpod")
without_its_imports("runpod.endpoint")

from runpod.endpoint.helpers import UNAUTHORIZED_MSG  # noqa: E402
from runpod.endpoint.runner import Endpoint  # noqa: E402


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


def check_clip(output):
    check(output["width"] > 0 and output["frames"] > 0, output)
    clip = requests.get(output["video_url"], timeout=PATIENCE_SECONDS)
    check(clip.content[4:8] == b"ftyp", "an MP4")


def runs_and_polls(endpoint):
    job = endpoint.run({**INPUT, "seed": 1})
    check(job.status() in ("IN_QUEUE", "IN_PROGRESS", "COMPLETED"), job.status())
    output = job.output(timeout=PATIENCE_SECONDS)
    check(job.status() == "COMPLETED" and output["seed"] == 1, output)
    check_clip(output)


def runs_with_the_input_named(endpoint):
    output = endpoint.run_sync({"input": {**INPUT, "seed": 2}}, timeout=PATIENCE_SECONDS)
    check(output["seed"] == 2, output)
    check_clip(output)


def streams(endpoint):
    job = endpoint.run({**INPUT, "seed": 3, "steps": 20})
    for item in job.stream():
        check(0 <= item["progress"] <= 100, item)
    check(job.status() == "COMPLETED", job.status())
    check_clip(job.output())


def waiting(endpoint, seed):
    """A job that no worker takes today."""
    tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    job = endpoint.run({**INPUT, "seed": seed, "not_before": tomorrow.isoformat()})
    check(job.status() == "IN_QUEUE", job.status())
    return job


def cancels(endpoint):
    job = waiting(endpoint, 4)
    answer = job.cancel(timeout=PATIENCE_SECONDS)
    check(answer == {"id": job.job_id, "status": "CANCELLED"}, answer)
    check((job.status(), job.output()) == ("CANCELLED", None), "a cancelled job")


def tells_its_health_and_purges_its_queue(endpoint):
    jobs = [waiting(endpoint, 5), waiting(endpoint, 6)]
    health = endpoint.health(timeout=PATIENCE_SECONDS)
    counts = {name: health["jobs"][name] for name in ("completed", "failed", "inProgress", "inQueue")}
    expected = {"completed": 3, "failed": 0, "inProgress": 0, "inQueue": 2}
    check(counts == expected, health)
    check(health["workers"]["ready"] == 1, health)
    answer = endpoint.purge_queue(timeout=PATIENCE_SECONDS)
    check((answer["removed"], answer["status"]) == (2, "completed"), answer)
    check([job.status() for job in jobs] == ["CANCELLED"] * 2, "all that waited")


def reads_errors(endpoint):
    stranger = Endpoint(MODEL, api_key="kk_nobody")
    error = refused(RuntimeError, lambda: stranger.run(INPUT))
    check(str(error) == UNAUTHORIZED_MSG, error)
    for name, body, status, reason in [
        (MODEL, {"prompt": "a star", "quality": "high"}, 400, "FIELD_INVALID"),
        ("mochi", {"positive_prompt": "a star"}, 404, "MODEL_NOT_SERVED"),
        ("nothing", INPUT, 404, "ENDPOINT_UNKNOWN"),
    ]:
        response = refused(requests.HTTPError, lambda: Endpoint(name).run(body)).response
        check(response.status_code == status, response.text)
        document = response.json()
        check(document["reason"] == reason and document["error"], document)


def main(base_url, api_key):
    runpod.endpoint_url_base, runpod.api_key = base_url, api_key
    endpoint = Endpoint(MODEL)
    runs_and_polls(endpoint)
    runs_with_the_input_named(endpoint)
    streams(endpoint)
    cancels(endpoint)
    tells_its_health_and_purges_its_queue(endpoint)
    reads_errors(endpoint)


main(*sys.argv[1:])
