"""What schemathesis may not ask, because it would be gone then, and which of its findings are none."""

import json
import os
import time
import urllib.error
import urllib.request

import requests
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData, ServerError
from schemathesis.openapi.checks import IgnoredAuth, RejectedPositiveData

CALLER = os.environ["KINORA_CALLER"]

# What ends the one who asks: the caller's account or its sessions, or the worker, with which `kinora up` ends as a whole. The
# same calls are made for everybody and everything else.
SPARED = {
    "disableUser": CALLER,
    "resetSecondFactors": CALLER,
    "revokeSession": os.environ["KINORA_SESSION"],
    "setOperator": CALLER,
    "signOutUser": CALLER,
    "drainWorker": "local",
}

# After what no video would be made any more, and how that is undone at once.
UNDONE = {
    "setFrozen": ("POST", "/v1/admin/balance:setFrozen", {"payer": {"user_id": CALLER}, "frozen": False, "note": "again"}),
    "setSpendCap": ("PUT", "/v1/spendCap", {}),
    "cordonWorker": ("POST", "/v1/admin/workers/local:uncordon", {}),
}

# A document that permits what is refused like this says less than the contract does.
MALFORMED = {"BODY_INVALID", "QUERY_INVALID", "CONTENT_TYPE_UNSUPPORTED", "ROUTE_NOT_FOUND", "METHOD_NOT_ALLOWED"}
UNKNOWN = ("is no field of this call", "is no parameter of this call", "cannot be given together with another choice")


@schemathesis.auth()
class Session:
    """One session from the beginning to the end. Its tokens are renewed, also when the key that signed them was revoked:
    whoever signs in again has to wait once enough wrong passwords were made up."""

    refresh_token = os.environ["KINORA_REFRESH_TOKEN"]
    access_token = None
    renew_at = 0.0

    def get(self, case, context):
        if time.monotonic() > Session.renew_at:
            base = case.operation.schema.get_base_url().rstrip("/")
            tokens = ask(base, "POST", "/v1/auth:refresh", {"refresh_token": Session.refresh_token}, None)["tokens"]
            Session.refresh_token, Session.access_token = tokens["refresh_token"], tokens["access_token"]
            # They are good for ten minutes.
            Session.renew_at = time.monotonic() + 300
        return Session.access_token

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def filter_case(context, case):
    """Leaves the caller what it calls with, and whom it calls."""
    spared = SPARED.get(operation_id(case))
    return spared is None or spared not in (case.path_parameters or {}).values()


@schemathesis.hook
def after_call(context, case, response):
    """Lets the caller go on, and videos be made."""
    if response.status_code == 429 and problem_of(response).get("reason") == "RATE_LIMITED":
        # So that most calls are looked at.
        time.sleep(2)
    authorization = response.request.headers.get("Authorization")
    if response.status_code == 401 and authorization == f"Bearer {Session.access_token}":
        Session.renew_at = 0.0
    # Other verbs of its path are asked for as well.
    is_itself = response.request.method.lower() == case.operation.method.lower()
    if response.status_code != 200 or not is_itself:
        return
    base = response.request.url.split("/v1/")[0]
    if operation_id(case) == "publishTerms":
        terms = response.json()["terms"]
        accepted = {"version": terms["version"], "sha256": terms["sha256"]}
        ask(base, "POST", "/v1/terms:accept", accepted, authorization)
    elif operation_id(case) in UNDONE:
        ask(base, *UNDONE[operation_id(case)], authorization)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Keeps what is a fault of the interface or of its document."""
    problem = problem_of(response)
    if problem.get("reason") == "RATE_LIMITED":
        # A call without a good caller, of which an address may make ten a second: it was not looked at.
        return False
    if isinstance(failure, IgnoredAuth) and "`429 " in failure.message:
        # The same of the calls without a caller that schemathesis makes itself; `response` is the one before them.
        return not is_refused_to_strangers(response.request)
    if "" in (case.path_parameters or {}).values():
        # The path is another one without it.
        return False
    if isinstance(failure, RejectedPositiveData):
        return is_malformed(problem)
    if isinstance(failure, AcceptedNegativeData):
        # Canonical JSON has `null` for the absence of a value, and takes the numbers of an enumeration for its names.
        return not holds_null(case.body) and not holds_number(case.body, enumerations(case))
    if isinstance(failure, ServerError) and response.status_code == 504:
        # A caller who waits for a thousandth of a second is told that it was not enough.
        is_asked_for = any(name.lower() == "x-request-timeout" for name in (case.headers or {}))
        return not (is_asked_for and problem.get("reason") == "DEADLINE_EXCEEDED")
    return True


def is_refused_to_strangers(request):
    """Asks the same without a caller until it is looked at."""
    request = request.copy()
    request.headers.pop("Authorization", None)
    while True:
        time.sleep(2)
        answer = requests.Session().send(request, timeout=30)
        if answer.status_code != 429:
            return answer.status_code in (401, 403)


def operation_id(case):
    return case.operation.definition.raw.get("operationId")


def ask(base, verb, path, body, authorization):
    headers = {"Content-Type": "application/json"} | ({"Authorization": authorization} if authorization else {})
    data = None if body is None else json.dumps(body).encode()
    while True:
        try:
            asked = urllib.request.Request(base + path, data, headers, method=verb)
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if problem_of(error).get("reason") != "RATE_LIMITED":
                raise
            time.sleep(2)


def problem_of(response):
    try:
        content = response.read() if isinstance(response, urllib.error.HTTPError) else response.content
        problem = json.loads(content)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def holds_null(value):
    if isinstance(value, dict):
        return any(holds_null(member) for member in value.values())
    if isinstance(value, list):
        return any(holds_null(item) for item in value)
    return value is None


def enumerations(case):
    """The names of fields that are an enumeration."""
    schemas = case.operation.schema.raw_schema["components"]["schemas"]
    names = set()
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            target = field.get("items", field).get("$ref", "").rsplit("/", 1)[-1]
            if "enum" in schemas.get(target, {}):
                names.add(name)
    return names


def holds_number(value, names):
    """Whether a field of one of these names is a number, or has one in its list."""
    if isinstance(value, list):
        return any(holds_number(item, names) for item in value)
    if not isinstance(value, dict):
        return False
    for name, member in value.items():
        items = member if isinstance(member, list) else [member]
        if name in names and any(isinstance(item, int) for item in items):
            return True
        if holds_number(member, names):
            return True
    return False


def is_malformed(problem):
    """Whether the request was refused before any rule of a service was looked at."""
    details = [error.get("detail", "") for error in problem.get("errors", [])]
    is_header = any(error.get("field", "").startswith("X-") for error in problem.get("errors", []))
    return problem.get("reason") in MALFORMED or is_header or any(word in text for text in details for word in UNKNOWN)
