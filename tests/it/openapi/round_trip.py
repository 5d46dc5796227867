"""A message's way from an endpoint that fails through the dead-letter queue to its delivery, by the generated client alone."""

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tikku_client import AuthenticatedClient
from tikku_client.api.messages import get_message, list_messages, publish_message, retry_message
from tikku_client.models import BackoffRequest, ListMessagesStatus, Problem, PublishRequest


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
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}/hook"
    client = AuthenticatedClient(base_url=url, token=key, raise_on_unexpected_status=True)

    refused = publish_message.sync(client=client, body=PublishRequest(url="nowhere"))
    assert isinstance(refused, Problem) and refused.status == 400 and refused.errors[0].pointer == "/url", refused

    order = PublishRequest(url=endpoint, body={"order": 7}, max_attempts=1, labels=["python"], backoff=BackoffRequest(initial_seconds=1))
    accepted = good(publish_message.sync(client=client, body=order))
    failed = until(client, accepted.id, "failed")
    assert [attempt.response_status for attempt in failed.attempts] == [500], failed
    page = good(list_messages.sync(client=client, status=ListMessagesStatus.FAILED, label="python"))
    assert [message.id for message in page.data] == [accepted.id], page

    Endpoint.status = 200
    good(retry_message.sync(id=accepted.id, client=client))
    delivered = until(client, accepted.id, "delivered")
    assert [attempt.response_status for attempt in delivered.attempts] == [500, 200], delivered
    assert Endpoint.bodies == [b'{"order": 7}'] * 2 or Endpoint.bodies == [b'{"order":7}'] * 2, Endpoint.bodies


main(*sys.argv[1:])
