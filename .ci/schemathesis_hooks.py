"""Who schemathesis is, and what it holds against an answer besides its own checks."""

import json
import os
import threading
import urllib.request
import uuid

import schemathesis

REGION = os.environ["REGION"]


def register():
    """A new account's access token."""
    handle = "s" + uuid.uuid4().hex[:20]
    body = json.dumps({"handle": handle, "password": "correct horse battery staple"}).encode()
    request = urllib.request.Request(
        REGION + "/v1/accounts", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["access_token"]


class Session:
    """One account for many calls, and another one when its session is gone."""

    def __init__(self):
        self.lock = threading.Lock()
        self.token = None

    def get(self):
        with self.lock:
            if self.token is None:
                self.token = register()
            return self.token

    def is_gone(self, token):
        with self.lock:
            if self.token == token:
                self.token = None


SESSION = Session()


@schemathesis.auth(refresh_interval=None)
class Bearer:
    def get(self, case, context):
        return SESSION.get()

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def after_call(context, case, response):
    sent = (response.request.headers.get("Authorization") or "").removeprefix("Bearer ")
    ends = case.operation.path == "/v1/sessions/current" and case.method.upper() == "DELETE"
    if ends or response.status_code == 401:
        SESSION.is_gone(sent)


@schemathesis.check
def no_failure_of_the_server(context, response, case):
    if response.status_code < 500:
        return
    # Other regions cannot be reached from here, and the document says so of these calls.
    kind = (response.headers.get("content-type") or [""])[0]
    if response.status_code == 503 and kind == "application/problem+json":
        if response.json().get("code") == "region_unreachable":
            return
    raise AssertionError(f"the server has failed: {response.status_code}")
