"""The page of `dbxctl graph --format html` in a browser; run by `cargo xtask test`.

A script that is added to a copy of the page points, clicks and types like a person, and writes what it
finds into the page. Everything the browser asks for goes through a proxy of this test, which serves the
page and counts the rest.
"""

import base64
import hashlib
import html
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
DBXCTL = Path(os.environ["ACCOUNT_SERVER_BIN"]).with_name("dbxctl")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PROBE = (HERE / "graph_probe.js").read_text()
PAGE = "http://picture.test/"

if CHROMIUM is None and os.environ.get("CI") == "true":
    sys.exit("test_graph.py needs Chromium, and there is none on PATH")


def dbxctl(*arguments):
    return subprocess.run([DBXCTL, *arguments], capture_output=True, text=True, check=False)


def fleet(workspaces):
    """A spec with many workspaces in three VPCs, some with long names, some in networks of Databricks."""
    vpcs = {
        name: {
            "cidr": f"10.{number}.0.0/16",
            "zones": ["us-east-1a", "us-east-1b", "us-east-1c"],
            "nat": nat,
            "private_link": {"backend": private, "frontend": private},
        }
        for number, (name, nat, private) in enumerate(
            [("production", "single", True), ("staging", "per_zone", False), ("closed", "none", True)]
        )
    }
    names = list(vpcs)
    spec = {
        "apiVersion": "dbxctl/v1",
        "name": "fleet",
        "region": "us-east-1",
        "aws": {"account": "123456789012"},
        "databricks": {"account": "3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77"},
        "vpcs": vpcs,
        "workspaces": {},
    }
    for number in range(workspaces):
        workspace = {"storage": {"bucket": f"fleet-{number}"}}
        if number % 10 != 9:
            workspace["vpc"] = names[number % 3]
            workspace["subnets"] = {"prefix": "/23", "block": number // 3}
        long = "-of-the-data-platform-team" if number % 4 == 1 else ""
        spec["workspaces"][f"ws{number:02}{long}"] = workspace
    return spec


def is_chromiums_own(url):
    """Whether the browser asks for it by itself, whatever the page."""
    host = url.split("//")[-1].split("/")[0].split(":")[0]
    return host.endswith((".google.com", ".googleapis.com", ".gvt1.com"))


class Proxy(http.server.BaseHTTPRequestHandler):
    """Serves the page; everything else is written down and refused."""

    def do_GET(self):
        if self.path == PAGE:
            body = self.server.page.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.server.served += 1
        else:
            self.refuse()

    def refuse(self):
        if not is_chromiums_own(self.path):
            self.server.others.append(f"{self.command} {self.path}")
        self.send_error(403)

    do_POST = do_CONNECT = do_HEAD = do_PUT = do_OPTIONS = refuse

    def log_message(self, *_):
        pass


@unittest.skipIf(CHROMIUM is None, "THERE IS NO CHROMIUM ON PATH: the page of `dbxctl graph` is not tested")
class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        threading.Thread(target=cls.proxy.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.proxy.shutdown()
        cls.proxy.server_close()
        cls.folder.cleanup()

    def page(self, *spec):
        made = dbxctl("graph", *map(str, spec), "--format", "html")
        self.assertEqual(made.returncode, 0, made.stderr)
        return made.stdout

    def look(self, page, dark=False):
        """What the probe finds in the page, which asks for nothing besides."""
        allowed = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
        page = page.replace("script-src '", f"script-src 'sha256-{allowed}' '", 1)
        page = page.replace("</body>", f"<script>{PROBE}</script></body>", 1)
        dom = self.browse(page, dark)
        self.assertEqual(self.proxy.others, [], "the page asks for something")
        found = re.search(r'<pre id="probe"[^>]*>(.*?)</pre>', dom, re.S)
        self.assertIsNotNone(found, dom[-2000:])
        return json.loads(html.unescape(found.group(1)))

    def browse(self, page, dark=False):
        """The page as it is once its scripts have run."""
        self.proxy.page, self.proxy.served, self.proxy.others = page, 0, []
        with tempfile.TemporaryDirectory() as profile:
            shown = subprocess.run(
                [
                    CHROMIUM,
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-quic",
                    "--no-first-run",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                    f"--user-data-dir={profile}",
                    f"--proxy-server=127.0.0.1:{self.proxy.server_port}",
                    "--proxy-bypass-list=<-loopback>",
                    f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                    "--window-size=1600,1000",
                    "--virtual-time-budget=10000",
                    "--dump-dom",
                    PAGE,
                ],
                capture_output=True,
                text=True,
                timeout=120,
                check=True,
            )
        self.assertEqual(self.proxy.served, 1, shown.stderr)
        return shown.stdout

    def check(self, page, spec, dark=False):
        """Whatever the spec: nothing goes wrong, all is readable, and it says what `check` says."""
        found = self.look(page, dark)
        self.assertEqual(found["dark"], dark)
        for what in ("errors", "resources", "clipped", "overlapping", "pale", "unlike"):
            self.assertEqual(found[what], [], what)
        checked = json.loads(dbxctl("check", str(spec), "--format", "json").stdout)
        expected = {}
        for proof in checked["proofs"]:
            verdict = proof["verdict"]["verdict"].replace("not_required", "not needed")
            ways = expected.setdefault(proof["workspace"], set())
            ways.add(f"{proof['class']} {proof['to']}: {verdict}")
        shown = {name: set(ways) for name, ways in found["ways"].items() if ways}
        self.assertEqual(shown, expected)
        for proof in checked["proofs"]:
            block = proof["verdict"].get("block")
            if block:
                told = found["told"][proof["workspace"]]
                self.assertIn(block["rule"], told)
                self.assertIn(block["fix"], told)
        return found

    def test_a_request_would_be_seen(self):
        self.browse("<body><img src='http://elsewhere.test/pixel'></body>")
        self.assertIn("GET http://elsewhere.test/pixel", self.proxy.others)

    def test_examples(self):
        for name in ("closed-network", "shared-vpc", "mixed", "peering", "managed-vpc"):
            with self.subTest(name):
                spec = ROOT / "examples" / f"{name}.yaml"
                self.check(self.page(spec), spec)

    def test_thirty_workspaces(self):
        spec = Path(self.folder.name) / "fleet.json"
        spec.write_text(json.dumps(fleet(30)))
        page = self.page(spec)
        self.assertLess(len(page), 600_000)
        for dark in (False, True):
            with self.subTest(dark=dark):
                found = self.check(page, spec, dark)
                self.assertEqual(len(found["ways"]), 30)
                self.assertEqual(found["found"], {"ws07": 1, "blocked": 9, "nobody": 0})

    def test_a_plan(self):
        """What a plan adds and removes is in the list of changes and in the picture."""
        two = (ROOT / "examples/shared-vpc.yaml").read_text()
        one = two.split("  wk2:")[0] + "allow_deletion: [wk2]\n"
        folder = Path(self.folder.name)
        (folder / "one.yaml").write_text(one)
        (folder / "two.yaml").write_text(two)
        cloud = ("--cloud", "sandbox", "--state-dir", str(folder / "state"))
        for mark, there, wanted in (("added", "one", "two"), ("removed", "two", "one")):
            with self.subTest(mark):
                done = dbxctl("apply", str(folder / f"{there}.yaml"), "--yes", *cloud)
                self.assertEqual(done.returncode, 0, done.stderr)
                found = self.look(self.page(folder / f"{wanted}.yaml", "--changes", *cloud))
                for what in ("errors", "resources", "clipped", "overlapping", "pale", "unlike"):
                    self.assertEqual(found[what], [], what)
                self.assertEqual(found["marks"]["wk2"], mark)
                self.assertIn(f"databricks.workspace/wk2 {mark}", found["changes"])
                self.assertIn("security group aws.security_group/wk2.nodes", found["told"]["wk2"])


if __name__ == "__main__":
    unittest.main()
