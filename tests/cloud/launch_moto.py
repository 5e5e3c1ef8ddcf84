"""Starts a moto server on a free port and ends when stdin closes.

Prints one line, `listening on http://127.0.0.1:PORT`, once EC2 is loaded. Access log and
tracebacks go to stderr. `--patched` closes moto's worst gaps in memory, see `moto_patches.py`.
"""

import argparse
import os
import sys
import threading
import urllib.request

# Read when moto is imported. Without the first, every reset leaks about 4 MB; without the second,
# AWS managed policies do not exist.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"

from moto.moto_server.werkzeug_app import (  # noqa: E402
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server  # noqa: E402

VERSION = "5.2.5"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patched", action="store_true", help="close moto's worst gaps in memory")
    parser.add_argument("--delay", type=float, default=0.3, help="seconds a pending state lasts")
    parser.add_argument("--jwks", help="file with the keys of whoever issues web identity tokens")
    parser.add_argument("--region", default="us-east-1", help="region to warm up")
    args = parser.parse_args()

    app = DomainDispatcherApplication(create_backend_app)
    if args.patched:
        import moto
        import moto_patches

        if moto.__version__ != VERSION:
            sys.exit(f"the patches fit moto {VERSION}, this is {moto.__version__}")
        app = moto_patches.apply(app, args.delay, args.jwks)

    app = one_at_a_time(app)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    # Moto calls itself for a few operations and reads the port from here.
    os.environ["MOTO_PORT"] = str(server.server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    warm_up(url, args.region)
    print(f"listening on {url}", flush=True)
    sys.stdin.read()
    # Worker threads may still be inside a request; all state is in memory and goes with us.
    os._exit(0)


def one_at_a_time(app):
    """EC2 requests one after the other: moto walks dictionaries to which other threads add, and a
    request that meets that ends in a 500."""
    lock = threading.Lock()

    def in_turn(environ, start_response):
        if "/ec2/aws4_request" not in environ.get("HTTP_AUTHORIZATION", ""):
            return app(environ, start_response)
        with lock:
            return app(environ, start_response)

    return in_turn


def warm_up(url: str, region: str) -> None:
    """Makes the first EC2 and IAM calls, which import the backends and take a second or two."""
    for service, version, action in [
        ("ec2", "2016-11-15", "DescribeVpcs"),
        ("iam", "2010-05-08", "ListRoles"),
    ]:
        scope = f"Credential=AKIAWARMUPWARMUPWARM/20260101/{region}/{service}/aws4_request"
        headers = {
            "Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        body = f"Action={action}&Version={version}".encode()
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
            answer.read()


if __name__ == "__main__":
    main()
