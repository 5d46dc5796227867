"""What schemathesis cannot know of the API under test: where a test may push, what it must not take away from itself, and what no schema
says of valid requests."""

import datetime
import os
import re

import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core import NOT_SET

# Nothing listens on port 9 of this machine: a push fails at once.
NOWHERE = "http://127.0.0.1:9/"
# Made before the run: publishes go to this fanout, flows are asked for by this key, and this API key makes the requests.
FANOUT, FLOW, KEY = "everyone", "everything", os.environ["TIKKU_KEY_ID"]
# A run whose endpoint works on it, and a workflow whose runs end at once.
RUN, WORKFLOW = os.environ["TIKKU_RUN"], os.environ["TIKKU_WORKFLOW"]
# The apps that serve them, which must stay as they are.
APPS = [WORKFLOW, os.environ["TIKKU_HELD"]]

schemathesis.openapi.format("uri", st.text("abcxyz0189-_~", max_size=2000).map(lambda path: NOWHERE + path))
# A time before 1970 or more than ten years ahead is refused.
times = st.datetimes(min_value=datetime.datetime(1971, 1, 1), max_value=datetime.datetime(2029, 1, 1))
for name in ["date-time", "rfc3339"]:
    schemathesis.openapi.format(name, times.map(lambda time: time.strftime("%Y-%m-%dT%H:%M:%SZ")))
schemathesis.openapi.format("cron", st.sampled_from(["* * * * *", "*/5 8-17 * * mon-fri", "0 0 1 1 *", "30 4 1,15 * sun"]))
schemathesis.openapi.format("iana-time-zone", st.sampled_from(["UTC", "Europe/London", "America/New_York", "Asia/Kolkata"]))


# What is asked of a run that is there; all else gets the id of none.
OF_THE_RUN = ["/v1/runs/{id}", "/v1/runs/{id}/steps", "/v1/runs/{id}/checkpoint", "/v1/runs/{id}/journal", "/v1/runs/{id}/resume/{name}", "/v1/runs/{id}/signals/{name}"]


@schemathesis.hook
def before_call(context, case, kwargs):
    case.body = local(case.body)
    if case.path_parameters.get("id") == KEY:
        case.path_parameters["id"] = "key_" + "0" * 32
    if case.path_parameters.get("name") == FANOUT:
        case.path_parameters["name"] = "someone"
    if case.operation.path.startswith("/v1/apps/") and case.path_parameters.get("name") in APPS:
        case.path_parameters["name"] = "someone"
    if case.meta is None or case.meta.generation.mode is GenerationMode.POSITIVE:
        case.body = valid(case.body)
        valid_options(case.headers)
        if "destination" in case.path_parameters:
            case.path_parameters["destination"] = FANOUT
        if "key" in case.path_parameters:
            case.path_parameters["key"] = FLOW
        if case.operation.path.startswith("/v1/workflows/"):
            case.path_parameters["name"] = WORKFLOW
        if case.operation.path == "/v1/approvals":
            # No pattern says which texts stand for a step.
            case.query.pop("cursor", None)
        if case.operation.path == "/v1/schedule-preview":
            # One of the two; no schema of a parameter says which texts are expressions.
            every = {"everySeconds": case.query["everySeconds"]} if "everySeconds" in case.query else None
            case.query = every or {"cron": "*/5 8-17 * * mon-fri", "timezone": "Europe/London"}
        if case.operation.path in OF_THE_RUN:
            case.path_parameters.update({"id": RUN, "name": "go"} if "name" in case.path_parameters else {"id": RUN})
    elif case.body is NOT_SET and case.operation.body:
        # Where a body may be absent, an absent one is passed off as invalid.
        case.body = []


def local(value):
    """Examples in the document, and what was listed, name hosts that a test must not push to."""
    if isinstance(value, str):
        return re.sub("^(https://example.com|http://127.0.0.1:[0-9]+)/", NOWHERE, value)
    return each(local, value)


def valid(value):
    """Mends what is between fields, or known to the database alone."""
    value = each(valid, value)
    if isinstance(value, dict):
        ascending(value, "initialSeconds", "maxSeconds")
        if isinstance(value.get("fanout"), str):
            value["fanout"] = FANOUT
        if isinstance(value.get("fromStep"), str) and isinstance(value.get("results"), dict):
            # Each step once, and none that runs again.
            steps = {key(name): name for name in value["results"]}
            steps.pop(key(value["fromStep"]), None)
            value["results"] = {name: value["results"][name] for name in steps.values()}
        if isinstance(value.get("endpoints"), list):
            # A fanout has a url once, and a workflow.
            value["endpoints"] = list({endpoint.get("url") or endpoint["workflow"]: endpoint for endpoint in value["endpoints"]}.values())
    return value


def key(name):
    """What a step's name stands for."""
    return name if re.search("#[0-9]{1,9}$", name) else name + "#0"


def valid_options(headers):
    """The same for the options of a publish as bytes."""
    ascending(headers, "Tikku-Backoff-Initial-Seconds", "Tikku-Backoff-Max-Seconds")
    for name, other in [
        ("Tikku-Not-Before", "Tikku-Delay-Seconds"),
        ("Tikku-Content-Based-Deduplication", "Tikku-Idempotency-Key"),
        ("Tikku-Callback-Workflow", "Tikku-Callback-Url"),
        ("Tikku-Failure-Callback-Workflow", "Tikku-Failure-Callback-Url"),
    ]:
        if other in headers:
            headers.pop(name, None)
    for name, needed in [
        ("Tikku-Flow-Control-Period-Seconds", "Tikku-Flow-Control-Rate"),
        ("Tikku-Flow-Control-Rate", "Tikku-Flow-Control-Key"),
        ("Tikku-Flow-Control-Period-Seconds", "Tikku-Flow-Control-Key"),
        ("Tikku-Flow-Control-Parallelism", "Tikku-Flow-Control-Key"),
    ]:
        if needed not in headers:
            headers.pop(name, None)


def ascending(fields, low, high):
    try:
        if float(fields[low]) > float(fields[high]):
            fields[low], fields[high] = fields[high], fields[low]
    except (KeyError, TypeError, ValueError):
        pass


def each(change, value):
    if isinstance(value, list):
        return [change(entry) for entry in value]
    if isinstance(value, dict):
        return {name: change(member) for name, member in value.items()}
    return value
