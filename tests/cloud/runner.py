"""Stands in for the runners and hosts of GitHub Actions and GitLab CI.

Reads workflows, composite actions and GitLab jobs as they are, and runs their scripts with the shell
and the environment that the real runner would give them. What the scripts talk to is `Host`: the
REST API of a repository, as far as the workflows use it, and the issuer of OIDC tokens. Actions of
others (`uses:`) are replaced by the methods named in `Runner.stand_ins`.

Not here: containers, caches, concurrency, approval of environments.
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import yaml
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ISSUER = "https://token.actions.githubusercontent.com"


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Signs tokens (RS256)."""

    def __init__(self, url=ISSUER):
        self.url, self.key = url, rsa.generate_private_key(65537, 2048)

    def jwks(self):
        numbers = self.key.public_key().public_numbers()
        octets = lambda n: base64url(n.to_bytes((n.bit_length() + 7) // 8, "big"))  # noqa: E731
        key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1"}
        return {"keys": [{**key, "n": octets(numbers.n), "e": octets(numbers.e)}]}

    def token(self, subject, audience, seconds=300):
        now = int(time.time())
        claims = dict(iss=self.url, sub=subject, aud=audience, iat=now, nbf=now, exp=now + seconds)
        parts = [{"alg": "RS256", "typ": "JWT", "kid": "1"}, claims]
        text = ".".join(base64url(json.dumps(part).encode()) for part in parts)
        signature = self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{base64url(signature)}"


class Host:
    """GitHub's REST API of one repository, GitLab's notes of a merge request, and tokens for jobs."""

    def __init__(self, issuer):
        self.issuer = issuer
        self.comments, self.issues, self.artifacts, self.notes = [], [], [], []
        self.pulls = {}  # By the commit they were merged as.
        self.subjects = {}  # Of running jobs, by the bearer that may ask for a token.
        self.tokens = []  # Subject and audience of every token handed out.
        host = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("content-length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                status, value = host.answer(self.command, self.path, self.headers, body)
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_PUT = answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method, target, headers, body):
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        bearer = (headers.get("authorization") or "").removeprefix("Bearer ")
        if url.path == "/token":
            if bearer not in self.subjects:
                return 401, {"message": "not a token of a running job"}
            subject, audience = self.subjects[bearer], query.get("audience", "")
            self.tokens.append((subject, audience))
            return 200, {"value": self.issuer.token(subject, audience)}
        if bearer != "job-token" and headers.get("private-token") != "project-token":
            return 401, {"message": "Bad credentials"}
        page = int(query.get("page", 1)), int(query.get("per_page", 30))
        match method, *url.path.strip("/").split("/"):
            case "GET", "repos", _, _, "issues", number, "comments":
                return 200, self.some(page, self.comments, number=int(number))
            case "POST", "repos", _, _, "issues", number, "comments":
                return 201, self.add(self.comments, body, number=int(number))
            case "PATCH", "repos", _, _, "issues", "comments", id:
                return 200, self.change(self.comments, "id", id, body)
            case "GET", "repos", _, _, "issues":
                return 200, self.some(page, self.issues, state=query["state"])
            case "POST", "repos", _, _, "issues":
                return 201, self.add(self.issues, body, number=len(self.issues) + 1, state="open")
            case "PATCH", "repos", _, _, "issues", number:
                return 200, self.change(self.issues, "number", number, body)
            case "GET", "repos", _, _, "commits", sha, "pulls":
                return 200, [self.pulls[sha]] if sha in self.pulls else []
            case "GET", "repos", _, _, "actions", "artifacts":
                return 200, {"artifacts": self.some(page, self.artifacts, name=query["name"])}
            case "GET", "user":
                return 200, {"id": 1}
            case "GET", "projects", _, "merge_requests", _, "notes":
                return 200, self.some(page, self.notes)
            case "POST", "projects", _, "merge_requests", _, "notes":
                return 201, self.add(self.notes, body, author={"id": 1})
            case "PUT", "projects", _, "merge_requests", _, "notes", id:
                return 200, self.change(self.notes, "id", id, body)
        return 404, {"message": "Not Found"}

    @staticmethod
    def some(page, items, **wanted):
        number, size = page
        found = [i for i in items if all(i[field] == value for field, value in wanted.items())]
        return found[(number - 1) * size : number * size]

    def add(self, items, body, **more):
        made = {"id": len(items) + 1, "user": {"type": "Bot"}, "html_url": "", **more, **body}
        items.append(made)
        return made

    @staticmethod
    def change(items, field, value, body):
        item = next(i for i in items if str(i[field]) == value)
        item.update(body)
        return item


class Expression:
    """What stands in `${{ }}` and `if:`: names, strings, comparisons, `&& || ! ()` and functions that
    tell how the job stands."""

    TOKEN = re.compile(r"\s*('(?:[^']|'')*'|==|!=|&&|\|\||[!()]|[\w.-]+)")

    def __init__(self, text, lookup, functions):
        self.tokens, self.lookup, self.functions = self.TOKEN.findall(text), lookup, functions
        if "".join(self.tokens) != re.sub(r"\s(?=(?:[^']*'[^']*')*[^']*$)", "", text):
            raise ValueError(f"not understood: {text}")

    def value(self):
        value = self.either()
        if self.tokens:
            raise ValueError(f"not understood: {self.tokens}")
        return value

    def next(self, *expected):
        if self.tokens and self.tokens[0] in expected:
            return self.tokens.pop(0)
        return None

    def either(self):
        value = self.both()
        while self.next("||"):
            other = self.both()
            value = value or other
        return value

    def both(self):
        value = self.equal()
        while self.next("&&"):
            other = self.equal()
            value = value and other
        return value

    def equal(self):
        value = self.single()
        while operator := self.next("==", "!="):
            same = as_text(value) == as_text(self.single())
            value = same if operator == "==" else not same
        return value

    def single(self):
        if self.next("!"):
            return not self.single()
        if self.next("("):
            value = self.either()
            assert self.next(")")
            return value
        token = self.tokens.pop(0)
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if token in ("true", "false"):
            return token == "true"
        if self.next("("):
            assert self.next(")")
            return self.functions[token]()
        return self.lookup(token.split("."))


def as_text(value):
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


class Scope:
    """What expressions of a job or a composite action see, and how it has gone so far."""

    def __init__(self, cancelled, **contexts):
        self.contexts, self.failed, self.cancelled = contexts, False, cancelled
        self.contexts["steps"] = {}

    def lookup(self, path):
        value = self.contexts
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def evaluate(self, text):
        functions = {
            "always": lambda: True,
            "success": lambda: not self.failed and not self.cancelled(),
            "failure": lambda: self.failed,
            "cancelled": self.cancelled,
        }
        return Expression(text, self.lookup, functions).value()

    def fill(self, value):
        if not isinstance(value, str):
            return as_text(value)
        return re.sub(r"\$\{\{(.*?)\}\}", lambda m: as_text(self.evaluate(m[1].strip())), value)

    def holds(self, step):
        condition = as_text(step.get("if", "success()")).strip()
        condition = condition.removeprefix("${{").removesuffix("}}").strip()
        if not re.search(r"\b(always|success|failure|cancelled)\(", condition):
            condition = f"success() && ({condition})"
        return bool(self.evaluate(condition))


class Runner:
    """Runs jobs one after the other, each in a fresh folder below `folder`."""

    def __init__(self, host, folder, environment, repository="acme/platform"):
        self.host, self.folder, self.environment = host, folder, environment
        self.repository, self.runs = repository, 0
        # Variables by environment; those of the empty name are the repository's.
        self.variables = {}
        # Text in the log at which the job is cancelled (signals and pauses) or its machine dies.
        self.stop_at, self.stops = None, []
        self.stopped_by = None
        self.stand_ins = {
            "actions/checkout": self.checkout,
            "actions/upload-artifact": self.upload_artifact,
            "actions/download-artifact": self.download_artifact,
            "github/codeql-action/upload-sarif": self.upload_sarif,
        }
        self.findings = []

    # GitHub.

    def workflow(self, source, name, event_name, sha, head=None, event=None, from_fork=False):
        """Runs a workflow of the repository in the folder `source`. Returns its jobs by name and
        matrix value: `conclusion`, `log`, `summary` and `steps` (outcomes by name)."""
        self.runs += 1
        path = os.path.join(source, ".github/workflows", name)
        workflow = yaml.load(read(path), yaml.BaseLoader)
        github = {
            "event_name": event_name,
            "event": event or {},
            "repository": self.repository,
            "sha": sha,
            "token": "job-token",
            "run_id": str(self.runs),
            "head_sha": head or sha,
            "from_fork": from_fork,
        }
        jobs = {}
        for job_name, job in workflow["jobs"].items():
            strategy = job.get("strategy", {})
            [(key, values)] = (strategy.get("matrix") or {"": [""]}).items()
            for value in values:
                matrix = {key: value}
                done = self.job(source, workflow, job, {**github, "job": job_name}, matrix)
                jobs[f"{job_name} {value}".strip()] = done
                if done.conclusion != "success" and strategy.get("fail-fast") != "false":
                    break
        return {name: job for name, job in jobs.items() if job.conclusion != "skipped"}

    def job(self, source, workflow, job, github, matrix):
        self.stopped_by = None
        scope = Scope(lambda: self.stopped_by is not None, github=github, matrix=matrix)
        if not scope.holds(job):
            return SimpleNamespace(conclusion="skipped")
        workspace = os.path.join(self.folder, f"run-{github['run_id']}-{next(iter(matrix.values()))}")
        temp = workspace + "-temp"
        for folder in (workspace, temp):
            os.makedirs(folder)
        place = scope.fill(job.get("environment", ""))
        # A pull request of a fork sees no variables.
        names = [] if github["from_fork"] else ["", place]
        scope.contexts["vars"] = {k: v for n in names for k, v in self.variables.get(n, {}).items()}
        scope.contexts["runner"] = {"temp": temp}
        state = SimpleNamespace(
            source=source, workspace=workspace, temp=temp, github=github, path=[], log="", summary=""
        )
        state.environment = {**self.environment, **self.given(state, place, job)}
        for settings in (workflow, job):
            state.environment |= {k: scope.fill(v) for k, v in settings.get("env", {}).items()}
        scope.contexts["env"] = state.environment
        outcomes = self.steps(state, scope, job["steps"])
        self.host.subjects.pop(state.environment.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN"), None)
        conclusion = "failure" if scope.failed else "success"
        return SimpleNamespace(
            conclusion="cancelled" if self.stopped_by else conclusion,
            log=state.log,
            summary=state.summary,
            steps=outcomes,
            temp=temp,
        )

    def given(self, state, place, job):
        """The environment that the runner gives."""
        github = state.github
        given = {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.host.url,
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_EVENT_NAME": github["event_name"],
            "GITHUB_REPOSITORY": github["repository"],
            "GITHUB_RUN_ID": github["run_id"],
            "GITHUB_SHA": github["sha"],
            "GITHUB_WORKSPACE": state.workspace,
            "RUNNER_TEMP": state.temp,
        }
        permissions = job.get("permissions") or {}
        # GitHub gives a pull request of a fork no token, whatever the workflow says.
        if permissions.get("id-token") == "write" and not github["from_fork"]:
            what = f"environment:{place}" if place else github["event_name"]
            bearer = f"job-{github['run_id']}-{len(self.host.tokens)}"
            self.host.subjects[bearer] = f"repo:{self.repository}:{what}"
            given["ACTIONS_ID_TOKEN_REQUEST_URL"] = self.host.url + "/token?api-version=2.0"
            given["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = bearer
        return given

    def steps(self, state, scope, steps):
        outcomes = {}
        for number, step in enumerate(steps, 1):
            name = step.get("name") or step.get("uses") or str(number)
            if not scope.holds(step):
                outcomes[name] = "skipped"
                continue
            environment = {k: scope.fill(v) for k, v in step.get("env", {}).items()}
            inputs = {k: scope.fill(v) for k, v in step.get("with", {}).items()}
            state.log += f"##[group]{name}\n"
            if "run" in step:
                good, outputs = self.script(state, scope, step, environment)
            elif step["uses"].startswith("./"):
                good, outputs = self.composite(state, step["uses"], inputs, scope.contexts)
            else:
                action, version = step["uses"].split("@")
                assert re.fullmatch(r"v\d+", version), f"{action} is not pinned"
                good, outputs = self.stand_ins[action](state, inputs), {}
            outcomes[name] = outcome = "success" if good else "failure"
            if "id" in step:
                scope.contexts["steps"][step["id"]] = {"outputs": outputs, "outcome": outcome}
            if not good and step.get("continue-on-error") != "true":
                scope.failed = True
        return outcomes

    def composite(self, state, path, inputs, contexts):
        file = os.path.join(state.workspace, path, "action.yml")
        action = yaml.load(read(file), yaml.BaseLoader)
        unknown = set(inputs) - set(action["inputs"])
        assert not unknown, f"{path} has no inputs {unknown}"
        visible = {name: contexts[name] for name in ("github", "runner")}
        scope = Scope(lambda: self.stopped_by is not None, **visible)
        for name, input in action["inputs"].items():
            assert name in inputs or input.get("required") != "true", f"{name} is required"
        defaults = {k: scope.fill(i.get("default", "")) for k, i in action["inputs"].items()}
        scope.contexts["inputs"] = {**defaults, **inputs}
        self.steps(state, scope, action["runs"]["steps"])
        outputs = {name: scope.fill(o["value"]) for name, o in action["outputs"].items()}
        return not scope.failed, outputs

    def script(self, state, scope, step, environment):
        files = {}
        for name in ("ENV", "OUTPUT", "PATH", "STEP_SUMMARY"):
            files[name] = os.path.join(state.temp, f"_{name.lower()}")
            open(files[name], "w").close()
        path = ":".join([*reversed(state.path), state.environment["PATH"]])
        environment = {**state.environment, **environment, "PATH": path}
        environment |= {f"GITHUB_{name}": file for name, file in files.items()}
        assert "${{" not in step["run"], f"text of others in a script: {step['run']}"
        folder = os.path.join(state.workspace, scope.fill(step.get("working-directory", ".")))
        code, text = self.bash(step["run"], environment, folder, state.temp)
        state.log += text
        lines = lambda name: read(files[name]).splitlines()  # noqa: E731
        pairs = lambda name: dict(line.split("=", 1) for line in lines(name))  # noqa: E731
        state.environment |= pairs("ENV")
        state.path += lines("PATH")
        state.summary += read(files["STEP_SUMMARY"])
        return code == 0, pairs("OUTPUT")

    def bash(self, text, environment, folder, temp):
        file = os.path.join(temp, "_script.sh")
        with open(file, "w", encoding="utf-8") as script:
            script.write(text)
        process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", file],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(process.stdout))
        reader.start()
        while process.poll() is None:
            if self.stop_at and self.stop_at in b"".join(lines).decode(errors="replace"):
                self.stop(process)
            time.sleep(0.02)
        reader.join()
        process.stdout.close()
        return process.returncode, b"".join(lines).decode()

    def stop(self, process):
        """As GitHub's runner does it: signals to the shell alone, and in the end the death of all."""
        for number, pause in self.stops:
            process.send_signal(number)
            try:
                process.wait(pause)
            except subprocess.TimeoutExpired:
                continue
            self.stopped_by = number
            break
        else:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self.stopped_by = signal.SIGKILL
        self.stop_at = None

    # Actions of others.

    def checkout(self, state, inputs):
        assert inputs["persist-credentials"] == "false"
        shutil.copytree(state.source, state.workspace, dirs_exist_ok=True)
        return True

    def upload_artifact(self, state, inputs):
        github = state.github
        folder = os.path.join(self.folder, "artifacts", github["run_id"], inputs["name"])
        os.makedirs(folder)
        shutil.copy(inputs["path"], folder)
        run = {
            "id": int(github["run_id"]),
            "repository_id": 1,
            "head_repository_id": 2 if github["from_fork"] else 1,
            "head_sha": github["head_sha"],
        }
        artifact = {"name": inputs["name"], "expired": False, "workflow_run": run}
        self.host.artifacts.append(artifact)
        return True

    def download_artifact(self, state, inputs):
        folder = os.path.join(self.folder, "artifacts", inputs["run-id"], inputs["name"])
        shutil.copytree(folder, inputs["path"])
        return True

    def upload_sarif(self, state, inputs):
        sarif = json.loads(read(inputs["sarif_file"]))
        assert sarif["version"] == "2.1.0" and sarif["runs"][0]["tool"]["driver"]["name"]
        self.findings.append((inputs["category"], sarif["runs"][0]["results"]))
        return True

    # GitLab.

    def gitlab_job(self, source, file, name, variables):
        """Runs one job of a GitLab configuration in the folder `source`; returns code and log."""
        configuration = yaml.safe_load(read(os.path.join(source, file)))
        job = {}
        names = [name]
        while above := configuration[names[-1]].get("extends"):
            names.append(above)
        for name in reversed(names):
            for field, value in configuration[name].items():
                merged = isinstance(value, dict) and isinstance(job.get(field), dict)
                job[field] = {**job[field], **value} if merged else value
        temp = os.path.join(self.folder, f"gitlab-{len(os.listdir(self.folder))}")
        os.makedirs(temp)
        environment = {**self.environment, "CI": "true", "CI_API_V4_URL": self.host.url, "TMPDIR": temp}
        environment |= {k: as_text(v) for k, v in job.get("variables", {}).items()}
        subject = f"project_path:{self.repository}:ref_type:branch:ref:{variables['CI_COMMIT_REF_NAME']}"
        for token, wanted in job.get("id_tokens", {}).items():
            environment[token] = self.host.issuer.token(subject, wanted["aud"])
        script = "\n".join([*job.get("before_script", []), *job["script"]])
        return self.bash(script, {**environment, **variables}, source, temp)
