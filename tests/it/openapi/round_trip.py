"""By the generated client alone: a message's way from an endpoint that fails through the dead-letter queue to its delivery; a fanout; a schedule."""

import importlib
import json
import pkgutil
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import tikku_client
from tikku_client import AuthenticatedClient
from tikku_client.api.dlq import list_dead_letters, retry_dead_letters
from tikku_client.api.fanouts import put_fanout
from tikku_client.api.messages import get_message, publish_message
from tikku_client.api.schedules import create_schedule, delete_schedule, get_schedule, run_schedule
from tikku_client.models import (
    BackoffRequest,
    BulkRequest,
    EndpointRequest,
    FanoutRequest,
    MessageSelector,
    Problem,
    PublishRequest,
    ScheduleRequest,
)


class Endpoint(BaseHTTPRequestHandler):
    """Answers with `status`, which a repair changes, and keeps what came."""

    status = 500
    bodies: list[bytes] = []

    def do_POST(self):
        self.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(self.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def good(answer):
    assert answer is not None and not isinstance(answer, Problem), answer
    return answer


def until(client, message, status, seconds=30):
    deadline = time.monotonic() + seconds
    while True:
        shown = good(get_message.sync(id=message, client=client))
        if shown.status == status:
            return shown
        assert time.monotonic() < deadline, shown
        time.sleep(0.1)


def main(url, key):
    for module in pkgutil.walk_packages(tikku_client.__path__, "tikku_client."):
        importlib.import_module(module.name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}/hook"
    client = AuthenticatedClient(base_url=url, token=key, raise_on_unexpected_status=True)
    refusal(client)
    from_failure_to_delivery(client, endpoint)
    by_fanout(client, endpoint)
    by_schedule(client, endpoint)


def refusal(client):
    refused = publish_message.sync(client=client, body=PublishRequest(url="nowhere"))
    assert isinstance(refused, Problem) and refused.status == 400 and refused.errors[0].pointer == "/url", refused


def from_failure_to_delivery(client, endpoint):
    order = PublishRequest(url=endpoint, body={"order": 7}, max_attempts=1, labels=["python"], backoff=BackoffRequest(initial_seconds=1))
    accepted = good(publish_message.sync(client=client, body=order))
    failed = until(client, accepted.id, "failed")
    assert [attempt.response_status for attempt in failed.attempts] == [500], failed
    dead = good(list_dead_letters.sync(client=client, label="python"))
    assert [message.id for message in dead.data] == [accepted.id], dead

    Endpoint.status = 200
    done = good(retry_dead_letters.sync(client=client, body=BulkRequest(filter_=MessageSelector(label="python"))))
    assert (done.count, done.remaining) == (1, 0), done
    delivered = until(client, accepted.id, "delivered")
    assert [attempt.response_status for attempt in delivered.attempts] == [500, 200], delivered
    assert [json.loads(body) for body in Endpoint.bodies] == [{"order": 7}] * 2, Endpoint.bodies
    assert good(list_dead_letters.sync(client=client, label="python")).data == []


def by_fanout(client, endpoint):
    both = FanoutRequest(endpoints=[EndpointRequest(url=endpoint + "/a"), EndpointRequest(url=endpoint + "/b", paused=True)])
    made = put_fanout.sync_detailed("orders", client=client, body=both)
    assert made.status_code == 201 and made.headers["etag"] == f'"{made.parsed.revision}"', made
    stale = put_fanout.sync("orders", client=client, body=both, if_match='"99"')
    assert isinstance(stale, Problem) and stale.status == 412, stale
    accepted = good(publish_message.sync(client=client, body=PublishRequest(fanout="orders", body=1)))
    assert [message.url for message in accepted.messages] == [endpoint + "/a"], accepted
    until(client, accepted.messages[0].id, "delivered")


def by_schedule(client, endpoint):
    made = good(create_schedule.sync(client=client, body=ScheduleRequest(name="nightly", cron="0 3 * * *", timezone="Europe/London", url=endpoint)))
    shown = good(get_schedule.sync(made.id, client=client))
    assert shown.next_run_at.hour in (2, 3) and shown.next_run_at.tzinfo is not None, shown
    fired = good(run_schedule.sync(made.id, client=client))
    until(client, fired.messages[0].id, "delivered")
    assert delete_schedule.sync_detailed(made.id, client=client).status_code == 204


main(*sys.argv[1:])
