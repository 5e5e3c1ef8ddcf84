"""The pipelines of `examples/gitops` and the GitHub action, run step by step; run by `cargo xtask test`.

`runner.py` stands in for the runners and the hosts. Both clouds are the servers of the wire tests;
they take tokens only from the issuer of the stand-in, for the audience and the subject that the sample
policies in `examples/gitops/identity` name.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

import boto3
import yaml
from botocore.config import Config
from runner import Host, Issuer, Runner

HERE = Path(__file__).parent
TOP = HERE.parent.parent
BINARIES = Path(os.environ["ACCOUNT_SERVER_BIN"]).absolute().parent
SAMPLE = TOP / "examples/gitops"
ACCOUNT = "3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77"
CLIENT = "00000000-0000-4000-8000-00000000c11e"
REGION = "ap-northeast-1"
# What GitHub's runner does to a job that is cancelled.
CANCELLED = [(signal.SIGINT, 7.5), (signal.SIGTERM, 2.5)]


# What the scripts of a pipeline call, besides dbxctl.
MISSING = ", ".join(name for name in ("bash", "curl", "jq") if shutil.which(name) is None)

if MISSING and os.environ.get("CI") == "true":
    sys.exit(f"test_pipelines.py needs {MISSING} on PATH")


class Server:
    """A server that says where it listens, and ends when its stdin closes."""

    def __init__(self, *command):
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.process = subprocess.Popen(command, text=True, **pipes)
        self.url = self.process.stdout.readline().split()[-1]

    def post(self, path, body):
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/{path}", data, headers)
        urllib.request.urlopen(request, timeout=30).close()

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@unittest.skipIf(MISSING, f"pipelines need {MISSING}, and there is none on PATH")
class Pipelines(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.issuer = Issuer()
        cls.place = tempfile.TemporaryDirectory()
        jwks = os.path.join(cls.place.name, "jwks.json")
        with open(jwks, "w", encoding="utf-8") as file:
            json.dump(cls.issuer.jwks(), file)
        launcher = str(HERE / "launch_moto.py")
        cls.moto = Server(sys.executable, "-B", launcher, "--patched", "--jwks", jwks, "--region", REGION)
        secret = dict(aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="secret")
        where = dict(region_name=REGION, endpoint_url=cls.moto.url)
        config = Config(s3={"addressing_style": "path"})
        client = lambda service: boto3.client(service, **where, **secret, config=config)  # noqa: E731
        cls.ec2, cls.iam, cls.s3 = map(client, ("ec2", "iam", "s3"))
        cls.accounts = Server(
            os.environ["ACCOUNT_SERVER_BIN"], "--exit-with-stdin", "--account", ACCOUNT,
            "--client-id", CLIENT, "--client-secret", "nobody has it", "--aws", cls.moto.url,
        )  # fmt: skip

    @classmethod
    def tearDownClass(cls):
        cls.accounts.stop()
        cls.moto.stop()
        cls.place.cleanup()

    def setUp(self):
        self.moto.post("moto-api/reset", {})
        self.accounts.post("_control/reset", {})
        self.folder = Path(tempfile.mkdtemp(dir=self.place.name))
        self.host = Host(self.issuer)
        self.addCleanup(self.host.close)
        # The repository of the sample, as the README says how to make it.
        self.repository = self.folder / "repository"
        shutil.copytree(SAMPLE, self.repository)
        shutil.copytree(TOP / ".github/actions", self.repository / ".github/actions")
        home = self.folder / "home"
        home.mkdir()
        environment = {
            "PATH": f"{BINARIES}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(home),
            "AWS_ENDPOINT_URL": self.moto.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "DBXCTL_LEASE_SECONDS": "2",
            "DBXCTL_SANDBOX_PROFILE": "instant",
        }
        (self.folder / "runs").mkdir()
        self.runner = Runner(self.host, str(self.folder / "runs"), environment)
        self.runner.variables[""] = {
            "DATABRICKS_HOST": self.accounts.url,
            "DATABRICKS_CLIENT_ID": CLIENT,
        }
        self.trust()

    def trust(self):
        """What an administrator sets up once: the bucket of the state, roles, policies."""
        aws = (SAMPLE / "identity/aws-trust-policy.json").read_text()
        databricks = (SAMPLE / "identity/databricks-federation-policy.json").read_text()
        policies = []
        for name in ("dev", "prod"):
            bucket = f"acme-platform-{name}-dbxctl"
            self.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
            self.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
            for place in (name, f"{name}-plan"):
                document = aws.replace("environment:prod", f"environment:{place}")
                role = self.iam.create_role(RoleName=place, AssumeRolePolicyDocument=document)["Role"]
                self.runner.variables[place] = {"AWS_ROLE_ARN": role["Arn"]}
                policy = json.loads(databricks)["oidc_policy"]
                policies.append({
                    "issuer": policy["issuer"],
                    "audience": policy["audiences"][0],
                    "subject": policy["subject"].replace("environment:prod", f"environment:{place}"),
                    "jwks": self.issuer.jwks(),
                })  # fmt: skip
        settings = {"federation": policies, "to_running": {"polls": 2}}
        self.accounts.post("_control/settings", settings)

    # What people and hosts do.

    def change(self, change):
        """Writes the spec of prod anew."""
        path = self.repository / "environments/prod.yaml"
        spec = yaml.safe_load(path.read_text())
        change(spec)
        path.write_text(yaml.safe_dump(spec))

    def only_prod(self):
        """For what one environment shows as well as two."""
        for path in (self.repository / ".github/workflows").iterdir():
            path.write_text(path.read_text().replace("[dev, prod]", "[prod]"))

    def pull_request(self, number, head, owner="acme"):
        repository = f"{owner}/platform"
        pull = {"number": str(number), "head": {"sha": head, "repo": {"full_name": repository}}}
        event = {"pull_request": pull}
        from_fork = owner != "acme"
        merge = f"merge-of-{head}"
        return self.run_workflow("pull-request.yml", "pull_request", merge, head, event, from_fork)

    def merge(self, number, head, sha):
        merged = {"number": number, "merged_at": "now", "merge_commit_sha": sha, "head": {"sha": head}}
        self.host.pulls[sha] = merged
        return self.run_workflow("apply.yml", "push", sha)

    def run_workflow(self, *arguments):
        return self.runner.workflow(str(self.repository), *arguments)

    def comment(self, stack):
        marker = f"<!-- dbxctl:plan {stack} -->"
        found = [c for c in self.host.comments if c["body"].startswith(marker) and "user" in c]
        return [c["body"] for c in found if c["user"]["type"] == "Bot"]

    def succeeded(self, jobs):
        for name, job in jobs.items():
            self.assertEqual(job.conclusion, "success", f"{name}:\n{job.log}")

    def verified(self):
        """Other clients find in both clouds what the spec of prod says."""
        specs = ["base.yaml", "environments/prod.yaml"]
        command = [BINARIES / "dbxctl", "validate", "--effective", *specs]
        spec = subprocess.run(command, cwd=self.repository, capture_output=True, check=True).stdout
        path = self.folder / "spec.json"
        path.write_bytes(spec)
        environment = {
            "AWS_ENDPOINT_URL": self.moto.url,
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": REGION,
            "DATABRICKS_HOST": self.accounts.url,
            "DATABRICKS_ACCOUNT_ID": ACCOUNT,
            "DATABRICKS_CLIENT_ID": CLIENT,
            "DATABRICKS_CLIENT_SECRET": "nobody has it",
        }
        command = [sys.executable, "-B", HERE / "verify.py", "applied", path]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    # The tests.

    def test_a_pull_request_becomes_workspaces(self):
        # Somebody quotes the marker, and there is more than one page of talk.
        for number in range(120):
            quote = "<!-- dbxctl:plan platform-prod -->" if number == 3 else "nice"
            person = {"type": "User"}
            self.host.add(self.host.comments, {"body": quote}, number=7, user=person)

        opened = self.pull_request(7, "h1")
        self.succeeded(opened)
        self.assertEqual(list(opened), ["plan dev", "plan prod"])
        [first] = self.comment("platform-prod")
        self.assertEqual(len(self.comment("platform-dev")), 1)
        self.assertIn("science", first)
        self.assertEqual(first, opened["plan prod"].summary)
        self.assertEqual(
            {category for category, _ in self.runner.findings},
            {"dbxctl-platform-dev", "dbxctl-platform-prod"},
        )
        [dev] = [results for category, results in self.runner.findings if category.endswith("dev")]
        self.assertIn("DBX-RTE-005", {result["ruleId"] for result in dev})
        subject = "repo:acme/platform:environment:prod-plan"
        self.assertIn((subject, "sts.amazonaws.com"), self.host.tokens)
        self.assertIn((subject, ACCOUNT), self.host.tokens)

        self.only_prod()
        self.change(lambda spec: spec["workspaces"].update(finance={"vpc": "main"}))
        self.succeeded(self.pull_request(7, "h2"))
        [second] = self.comment("platform-prod")
        self.assertIn("finance", second)
        self.assertEqual(len(self.host.comments), 122)

        merged = self.merge(7, "h2", "m1")
        self.succeeded(merged)
        self.assertEqual(merged["apply prod"].steps["Apply it"], "success")
        self.assertIn("repo:acme/platform:environment:prod", {subject for subject, _ in self.host.tokens})
        self.verified()

        # Nothing was changed behind its back: no issue.
        self.succeeded(self.run_workflow("nightly.yml", "schedule", "m1"))
        self.assertEqual(self.host.issues, [])

        [vpc] = self.ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.20.0.0/16"]}])["Vpcs"]
        self.ec2.create_tags(Resources=[vpc["VpcId"]], Tags=[{"Key": "owner", "Value": "```somebody"}])
        for _ in range(2):
            self.succeeded(self.run_workflow("nightly.yml", "schedule", "m1"))
        [issue] = self.host.issues
        self.assertEqual((issue["title"], issue["state"]), ("Drift in platform-prod", "open"))
        self.assertIn("aws.vpc/main", issue["body"])
        self.ec2.create_tags(Resources=[vpc["VpcId"]], Tags=[{"Key": "owner", "Value": "data-platform"}])
        self.succeeded(self.run_workflow("nightly.yml", "schedule", "m1"))
        self.assertEqual([i["state"] for i in self.host.issues], ["closed"])

    def test_a_stale_plan_is_not_applied(self):
        self.only_prod()
        self.change(lambda spec: spec["workspaces"].pop("science"))
        self.succeeded(self.pull_request(1, "h1"))
        self.succeeded(self.pull_request(2, "h2"))
        self.succeeded(self.merge(1, "h1", "m1"))
        self.change(lambda spec: spec.update(tags={"environment": "prod", "team": "x"}))
        job = self.merge(2, "h2", "m2")["apply prod"]
        self.assertEqual(job.conclusion, "failure")
        self.assertIn("the saved plan is stale; nothing was touched (dbxctl exit code 5)", job.log)
        self.assertIn("start this workflow by hand", job.log)
        comments = {c["number"]: c["body"] for c in self.host.comments}
        self.assertIn("team", comments[2])
        # Somebody has looked at it.
        self.succeeded(self.run_workflow("apply.yml", "workflow_dispatch", "m2"))
        self.verified()
        # A push without a pull request has no plan, and here nothing to do either.
        self.succeeded(self.run_workflow("apply.yml", "push", "m3"))

    def test_a_fork_gets_no_identity(self):
        jobs = self.pull_request(8, "h1", owner="mallory")
        self.succeeded(jobs)
        self.assertEqual(list(jobs), ["rehearse dev", "rehearse prod"])
        self.assertIn("science", jobs["rehearse prod"].summary)
        self.assertEqual((self.host.tokens, self.host.comments), ([], []))
        # An artifact of theirs is not applied, whatever its name.
        self.only_prod()
        self.succeeded(self.pull_request(8, "h1"))
        for artifact in self.host.artifacts:
            artifact["workflow_run"]["head_repository_id"] = 2
        job = self.merge(8, "h1", "m1")["apply prod"]
        self.assertEqual((job.conclusion, job.steps["Apply it"]), ("failure", "skipped"))
        self.assertIn("plan of h1: not there", job.log)

    def test_the_program_is_what_its_hash_says(self):
        self.only_prod()
        self.runner.environment["PATH"] = "/usr/local/bin:/usr/bin:/bin"
        program = BINARIES / "dbxctl"
        right = hashlib.sha256(program.read_bytes()).hexdigest()
        path = self.repository / ".github/workflows/pull-request.yml"
        workflow = path.read_text().replace('_URL: ""', f'_URL: "file://{program}"')
        path.write_text(workflow.replace('256: ""', f'256: "{right}"'))
        self.succeeded(self.pull_request(9, "h1"))
        path.write_text(workflow.replace('256: ""', f'256: "{64 * "0"}"'))
        job = self.pull_request(9, "h2")["plan prod"]
        self.assertEqual(job.conclusion, "failure")
        self.assertEqual(len(self.host.artifacts), 1)

    def test_a_spec_that_is_refused_is_told_in_the_comment(self):
        self.only_prod()
        self.change(lambda spec: spec["workspaces"]["science"].update(vpc="mian"))
        job = self.pull_request(9, "h1")["plan prod"]
        self.assertEqual(job.conclusion, "failure")
        [comment] = self.comment("platform-prod")
        self.assertIn("refused by the spec or a check; nothing was touched** (exit 3)", comment)
        self.assertIn("mian", comment)
        self.assertEqual(self.host.artifacts, [])

    def test_gitlab_plans_applies_and_finds_drift(self):
        self.runner.host.issuer = gitlab = Issuer("https://gitlab.com")
        subject = "project_path:acme/platform:ref_type:branch:ref:main"
        policy = {"issuer": gitlab.url, "audience": ACCOUNT, "subject": subject}
        self.accounts.post("_control/settings", {"federation": [{**policy, "jwks": gitlab.jwks()}]})
        # AWS: whoever comes first. The trust policy of a role is asked in the other tests.
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            self.runner.environment[name] = "AKIAIOSFODNN7EXAMPLE"
        variables = {
            "CI_COMMIT_REF_NAME": "main",
            "CI_PROJECT_ID": "1",
            "CI_MERGE_REQUEST_IID": "5",
            "GITLAB_TOKEN": "project-token",
            "DATABRICKS_HOST": self.accounts.url,
            "DATABRICKS_CLIENT_ID": CLIENT,
        }

        def job(name, code=0, **more):
            source, settings = str(self.repository), {**variables, **more}
            done, log = self.runner.gitlab_job(source, ".gitlab-ci.yml", name, settings)
            self.assertEqual(done, code, log)
            return log

        job("check prod")
        for _ in range(2):
            job("plan prod")
        [note] = self.host.notes
        self.assertTrue(note["body"].startswith("<!-- dbxctl:plan platform-prod -->"), note)
        job("apply prod")
        self.verified()
        job("drift prod")
        self.assertIn("a federation policy must fit", job("plan prod", 1, CI_COMMIT_REF_NAME="mine"))

    def test_atlantis_and_pre_commit_run_the_same_commands(self):
        environment = {**self.runner.environment, "DBXCTL_CLOUD": "sandbox", "WORKSPACE": "dev"}
        environment["PLANFILE"] = "dev.tfplan"

        def run(command):
            code, log = self.runner.bash(command, environment, self.repository, str(self.folder))
            self.assertEqual(code, 0, log)

        atlantis = yaml.safe_load((SAMPLE / "atlantis.yaml").read_text())
        for stage in ("plan", "apply"):
            for step in atlantis["workflows"]["dbxctl"][stage]["steps"]:
                run(step["run"])
        for hook in yaml.safe_load((TOP / ".pre-commit-hooks.yaml").read_text()):
            run(f"{hook['entry']} base.yaml environments/prod.yaml")

    def test_tokens_of_others_are_refused(self):
        self.only_prod()
        refused = lambda: self.pull_request(9, "h1")["plan prod"]  # noqa: E731
        # Another repository.
        self.runner.repository = "mallory/platform"
        job = self.runner.workflow(str(self.repository), "nightly.yml", "schedule", "m1")["drift prod"]
        self.assertEqual(job.conclusion, "failure")
        self.assertIn("Not authorized to perform sts:AssumeRoleWithWebIdentity", job.log)
        self.runner.repository = "acme/platform"
        # The other audience.
        self.runner.environment["DATABRICKS_TOKEN_AUDIENCE"] = "somebody-else"
        job = refused()
        self.assertEqual(job.conclusion, "failure")
        self.assertIn("a federation policy must fit", job.log)
        del self.runner.environment["DATABRICKS_TOKEN_AUDIENCE"]
        # Another issuer that says the same.
        self.host.issuer = Issuer()
        job = refused()
        self.assertEqual(job.conclusion, "failure")
        self.assertIn("InvalidIdentityToken", job.log)
        self.assertNotIn("eyJ", job.log, "tokens are nobody's business")

    def test_a_cancelled_apply_loses_nothing(self):
        self.only_prod()
        self.succeeded(self.pull_request(1, "h1"))
        # Workspaces take longer than it takes to stop two runs that wait for them.
        self.accounts.post("_control/settings", {"to_running": {"millis": 15_000}})
        self.runner.stop_at, self.runner.stops = "wait databricks.workspace/", CANCELLED
        job = self.merge(1, "h1", "m1")["apply prod"]
        self.assertEqual(job.conclusion, "cancelled", job.log)
        self.assertEqual(self.runner.stopped_by, signal.SIGINT)
        self.assertIn("stopping: what is under way is finished and saved", job.log)
        # The lock is free and the state knows what was made. The new plan's run loses its machine.
        self.assertIn("start this workflow by hand", self.again("m1").log)
        self.runner.stop_at, self.runner.stops = "wait databricks.workspace/", []
        self.assertEqual(self.again("m1").conclusion, "cancelled")
        self.assertEqual(self.runner.stopped_by, signal.SIGKILL)
        self.assertIn("another run holds the state", self.again("m1").log)
        time.sleep(2)
        while self.again("m1").conclusion != "success":
            self.assertLess(self.runner.runs, 12, "every run begins where the one before stopped")
        self.verified()

    def again(self, sha):
        return self.run_workflow("apply.yml", "workflow_dispatch", sha)["apply prod"]


if __name__ == "__main__":
    unittest.main(verbosity=2)
