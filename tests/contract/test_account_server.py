"""Holds the account server to the contract of Databricks' own Python SDK.

Needs `databricks-sdk==0.156.0` and the server's binary in ACCOUNT_SERVER_BIN:

    ACCOUNT_SERVER_BIN=target/debug/dbxctl-account-server python tests/contract/test_account_server.py
"""

import json
import os
import subprocess
import time
import unittest
import urllib.request
import uuid
from datetime import timedelta

from databricks.sdk import AccountClient
from databricks.sdk.config import Config
from databricks.sdk.errors import (
    BadRequest,
    DatabricksError,
    InternalError,
    InvalidState,
    NotFound,
    OperationFailed,
    ResourceConflict,
    Unauthenticated,
)
from databricks.sdk.service import provisioning as p

ACCOUNT = "5f1e7a60-3c8b-4a55-9d1f-0f6b6f0a2c11"
ROLE = "arn:aws:iam::111122223333:role/cross"
REGION = "us-east-1"


class Server:
    def __init__(self):
        self.secret = uuid.uuid4().hex
        command = [
            os.environ["ACCOUNT_SERVER_BIN"],
            "--account", ACCOUNT,
            "--client-id", "contract",
            "--client-secret", self.secret,
            "--lifetime", "300",
            "--exit-with-stdin",
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        prefix = "listening on "
        if not line.startswith(prefix):
            self.stop()
            raise RuntimeError(f"unexpected first line: {line!r}")
        self.url = line.removeprefix(prefix).strip()

    def client(self, **other):
        options = {
            "host": self.url,
            "account_id": ACCOUNT,
            "client_id": "contract",
            "client_secret": self.secret,
            "retry_timeout_seconds": 20,
        }
        # A profile or variables of the machine must not change what is tested.
        return AccountClient(config=Config(**{**options, **other}))

    def control(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/_control/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def stop(self):
        """The server ends by itself once its standard input is closed."""
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.process.stdout.close()


class AccountServerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for name in [name for name in os.environ if name.startswith("DATABRICKS_")]:
            del os.environ[name]
        os.environ["DATABRICKS_CONFIG_FILE"] = os.devnull
        cls.server = Server()
        cls.addClassCleanup(cls.server.stop)
        cls.account = cls.server.client()

    def setUp(self):
        self.server.control("reset", {})

    def fault(self, **fault):
        self.server.control("faults", [fault])

    # Makers.

    def credentials(self, name="cred-1"):
        role = p.CreateCredentialStsRole(role_arn=ROLE)
        aws = p.CreateCredentialAwsCredentials(sts_role=role)
        return self.account.credentials.create(credentials_name=name, aws_credentials=aws)

    def storage(self, name="stor-1"):
        return self.account.storage.create(
            storage_configuration_name=name,
            root_bucket_info=p.RootBucketInfo(bucket_name="bucket"),
            role_arn=ROLE,
        )

    def network(self, name="net-1", endpoints=None):
        return self.account.networks.create(
            network_name=name,
            vpc_id="vpc-1",
            subnet_ids=["subnet-1", "subnet-2"],
            security_group_ids=["sg-1"],
            vpc_endpoints=endpoints,
        )

    def endpoint(self, name="end-1", aws_id="vpce-1"):
        return self.account.vpc_endpoints.create(
            vpc_endpoint_name=name, aws_vpc_endpoint_id=aws_id, region=REGION
        )

    def access(self, name="pas-1", public=True):
        return self.account.private_access.create(
            private_access_settings_name=name, region=REGION, public_access_enabled=public
        )

    def key(self, use_cases=(p.KeyUseCase.STORAGE,)):
        info = p.CreateAwsKeyInfo(key_arn=f"arn:aws:kms:{REGION}:111122223333:key/k")
        return self.account.encryption_keys.create(use_cases=list(use_cases), aws_key_info=info)

    def workspace(self, name="one", **other):
        return self.account.workspaces.create(
            workspace_name=name,
            aws_region=REGION,
            credentials_id=self.credentials(f"cred-{name}").credentials_id,
            storage_configuration_id=self.storage(f"stor-{name}").storage_configuration_id,
            **other,
        )

    def running(self, name="one", **other):
        return self.workspace(name, **other).result(timeout=timedelta(seconds=30))

    def gone(self, workspace_id):
        self.account.workspaces.delete(workspace_id)
        for _ in range(10):
            try:
                self.account.workspaces.get(workspace_id)
            except NotFound:
                return
        self.fail(f"workspace {workspace_id} does not go")

    # Tests.

    def test_every_family_is_created_listed_read_and_deleted(self):
        families = [
            (self.account.credentials, self.credentials, "credentials_id"),
            (self.account.storage, self.storage, "storage_configuration_id"),
            (self.account.networks, self.network, "network_id"),
            (self.account.vpc_endpoints, self.endpoint, "vpc_endpoint_id"),
            (self.account.private_access, self.access, "private_access_settings_id"),
            (self.account.encryption_keys, self.key, "customer_managed_key_id"),
            (self.account.workspaces, lambda: self.workspace().response, "workspace_id"),
        ]
        for api, make, id_field in families:
            with self.subTest(api=type(api).__name__):
                self.server.control("reset", {})
                self.assertEqual(list(api.list()), [])
                made = make()
                own_id = getattr(made, id_field)
                self.assertEqual(made.account_id, ACCOUNT)
                self.assertEqual([getattr(it, id_field) for it in api.list()], [own_id])
                self.assertEqual(getattr(api.get(own_id), id_field), own_id)
                self.assertEqual(getattr(api.delete(own_id), id_field), own_id)
                if api is self.account.workspaces:
                    self.gone(own_id)
                for call in (api.get, api.delete):
                    self.assertRaises(NotFound, call, own_id)

    def test_fields_come_back_as_sent(self):
        self.assertEqual(self.credentials().aws_credentials.sts_role.role_arn, ROLE)
        storage = self.storage()
        self.assertEqual((storage.root_bucket_info.bucket_name, storage.role_arn), ("bucket", ROLE))
        network = self.network()
        self.assertEqual(network.vpc_status, p.VpcStatus.UNATTACHED)
        self.assertEqual((network.subnet_ids, network.workspace_id), (["subnet-1", "subnet-2"], None))
        key = self.key()
        self.assertEqual((key.use_cases, key.aws_key_info.key_region), ([p.KeyUseCase.STORAGE], REGION))
        self.assertTrue(key.aws_key_info.reuse_key_for_cluster_volumes)

    def test_login_is_checked(self):
        wrong = self.server.client(client_secret="wrong")
        with self.assertRaisesRegex(Exception, "invalid_client"):
            wrong.credentials.list()
        elsewhere = self.server.client(account_id=str(uuid.uuid4()))
        with self.assertRaises((DatabricksError, ValueError)):
            elsewhere.credentials.list()

    def test_an_ended_token_is_refused(self):
        server = Server()
        self.addCleanup(server.stop)
        account = server.client()
        list(account.credentials.list())
        server.control("faults", [{"path": "/credentials", "kind": "expire_tokens"}])
        self.assertRaises(Unauthenticated, account.credentials.list)

    def test_duplicates_and_bad_input_are_refused(self):
        self.credentials(), self.storage(), self.network(), self.endpoint(), self.access()
        for make in (self.credentials, self.storage, self.network, self.endpoint, self.access):
            with self.subTest(make=make.__name__):
                self.assertRaises(ResourceConflict, make)
        with self.assertRaisesRegex(ResourceConflict, "cred-1 already exists in this account"):
            self.credentials()
        self.server.control("settings", {"unique_names": False, "duplicates_are_400": True})
        self.addCleanup(
            self.server.control, "settings", {"unique_names": True, "duplicates_are_400": False}
        )
        self.storage(), self.network(), self.access()
        self.assertRaises(BadRequest, self.credentials)
        for name in ("abc", "x" * 257):
            self.assertRaises(BadRequest, self.credentials, name)
        with self.assertRaisesRegex(BadRequest, "Missing required parameters: use_cases"):
            self.account.encryption_keys.create(
                use_cases=[], aws_key_info=p.CreateAwsKeyInfo(key_arn="arn:aws:kms:r:1:key/k")
            )
        with self.assertRaisesRegex(BadRequest, "Invalid credentialsId"):
            self.account.credentials.get("no-id")

    def test_a_workspace_reaches_running_and_uses_its_parts(self):
        network = self.network()
        key = self.key([p.KeyUseCase.MANAGED_SERVICES, p.KeyUseCase.STORAGE])
        workspace = self.running(
            network_id=network.network_id,
            storage_customer_managed_key_id=key.customer_managed_key_id,
            private_access_settings_id=self.access().private_access_settings_id,
            custom_tags={"env": "test"},
        )
        self.assertEqual(workspace.workspace_status, p.WorkspaceStatus.RUNNING)
        self.assertRegex(workspace.deployment_name, r"^dbc-[0-9a-f]{8}-[0-9a-f]{4}$")
        self.assertEqual(workspace.custom_tags, {"env": "test"})
        self.assertEqual(workspace.pricing_tier, p.PricingTier.ENTERPRISE)
        attached = self.account.networks.get(network.network_id)
        self.assertEqual(attached.vpc_status, p.VpcStatus.VALID)
        self.assertEqual(attached.workspace_id, workspace.workspace_id)

        deletes = [
            (self.account.credentials.delete, workspace.credentials_id),
            (self.account.storage.delete, workspace.storage_configuration_id),
            (self.account.private_access.delete, workspace.private_access_settings_id),
            (self.account.encryption_keys.delete, key.customer_managed_key_id),
            (self.account.networks.delete, network.network_id),
        ]
        for delete, own_id in deletes:
            with self.subTest(delete=delete.__qualname__):
                self.assertRaisesRegex(DatabricksError, "being used by", delete, own_id)
        # Only in plain text does the SDK find the code inside the message.
        self.assertRaises(InvalidState, self.account.networks.delete, network.network_id)
        self.server.control("settings", {"empty_in_use": True})
        self.addCleanup(self.server.control, "settings", {"empty_in_use": False})
        self.assertRaises(ResourceConflict, self.account.networks.delete, network.network_id)

        self.gone(workspace.workspace_id)
        for delete, own_id in deletes:
            delete(own_id)

    def test_a_workspace_is_updated_field_by_field(self):
        workspace = self.running(network_id=self.network("net-1").network_id)
        second = self.network("net-2").network_id

        def update(mask, **fields):
            return self.account.workspaces.update(
                workspace.workspace_id, p.Workspace(**fields), update_mask=mask
            ).response

        moved = update("network_id,custom_tags", network_id=second, custom_tags={"a": "b"})
        self.assertEqual((moved.network_id, moved.custom_tags), (second, {"a": "b"}))
        self.account.networks.delete(workspace.network_id)
        access = self.access().private_access_settings_id
        update("private_access_settings_id", private_access_settings_id=access)
        refused = [
            ("private_access_settings_id", {}),
            ("workspace_name", {"workspace_name": "other"}),
            ("aws_region", {"aws_region": "us-west-2"}),
            ("credentials_id", {"credentials_id": str(uuid.uuid4())}),
            ("", {"network_id": second}),
        ]
        for mask, fields in refused:
            with self.subTest(mask=mask):
                self.assertRaises(BadRequest, update, mask, **fields)
        now = self.account.workspaces.get(workspace.workspace_id)
        self.assertEqual((now.workspace_name, now.private_access_settings_id), ("one", access))
        self.fault(method="PATCH", path="/workspaces/", kind="compute_running")
        with self.assertRaisesRegex(DatabricksError, "terminate all pool & cluster"):
            update("custom_tags", custom_tags={"c": "d"})

    def test_private_link(self):
        rest, relay = self.endpoint("rest", "vpce-1"), self.endpoint("relay", "vpce-2")
        self.assertEqual(rest.use_case, p.EndpointUseCase.GENERAL_ACCESS)
        self.assertEqual(relay.use_case, p.EndpointUseCase.DATAPLANE_RELAY_ACCESS)
        self.assertNotEqual(rest.state, "available")
        states = {it.state for it in self.account.vpc_endpoints.list()}
        self.assertEqual(states, {"available"})
        network = self.network(
            endpoints=p.NetworkVpcEndpoints(
                rest_api=[rest.vpc_endpoint_id], dataplane_relay=[relay.vpc_endpoint_id]
            )
        )
        access = self.access(public=False)
        self.assertFalse(access.public_access_enabled)
        replaced = self.account.private_access.replace(
            access.private_access_settings_id,
            p.PrivateAccessSettings(
                private_access_settings_name="pas-2",
                region=REGION,
                private_access_level=p.PrivateAccessLevel.ENDPOINT,
                allowed_vpc_endpoint_ids=[rest.vpc_endpoint_id],
            ),
        )
        self.assertEqual(replaced.private_access_settings_name, "pas-2")
        self.assertEqual(replaced.allowed_vpc_endpoint_ids, [rest.vpc_endpoint_id])
        workspace = self.running(
            network_id=network.network_id,
            private_access_settings_id=access.private_access_settings_id,
        )
        with self.assertRaisesRegex(ResourceConflict, "INVALID_STATE"):
            self.account.vpc_endpoints.delete(rest.vpc_endpoint_id)
        self.gone(workspace.workspace_id)
        self.account.networks.delete(network.network_id)
        self.account.private_access.delete(access.private_access_settings_id)
        self.account.vpc_endpoints.delete(rest.vpc_endpoint_id)

    def test_serverless_needs_only_a_name_and_a_region(self):
        workspace = self.account.workspaces.create(
            workspace_name="serverless",
            aws_region=REGION,
            compute_mode=p.CustomerFacingComputeMode.SERVERLESS,
        ).response
        self.assertEqual(workspace.storage_mode, p.CustomerFacingStorageMode.DEFAULT_STORAGE)
        self.assertIsNone(workspace.credentials_id)

    def test_a_failed_workspace_says_why(self):
        self.fault(
            method="POST",
            path="/workspaces$",
            kind="workspace_failed",
            message="no way out",
            network_error="subnet is too small",
        )
        network = self.network()
        with self.assertRaisesRegex(OperationFailed, "no way out"):
            self.running(network_id=network.network_id)
        broken = self.account.networks.get(network.network_id)
        self.assertEqual(broken.vpc_status, p.VpcStatus.BROKEN)
        self.assertEqual(broken.error_messages[0].error_message, "subnet is too small")

    def test_faults_reach_the_client(self):
        self.fault(method="POST", path="/credentials", kind="500_after")
        self.assertRaises(InternalError, self.credentials)
        self.assertEqual(len(list(self.account.credentials.list())), 1)
        self.fault(path="/credentials", kind="plain_text", message="no")
        with self.assertRaisesRegex(BadRequest, "^no$"):
            self.account.credentials.list()
        self.fault(path="/credentials", kind="extra_fields")
        self.assertEqual(len(list(self.account.credentials.list())), 1)
        # The SDK repeats these by itself.
        for kind in ("throttle", "503", "drop_before"):
            with self.subTest(kind=kind):
                self.server.control("reset", {})
                self.fault(path="/credentials", kind=kind, millis=0)
                list(self.account.credentials.list())
                log = [(it["status"], it.get("fault")) for it in self.server.control("requests")]
                first = {"throttle": 429, "503": 503, "drop_before": 0}[kind]
                self.assertEqual(log, [(first, kind), (200, None)])

    def test_stdin_ends_the_server(self):
        server = Server()
        started = time.monotonic()
        server.stop()
        self.assertEqual(server.process.returncode, 0)
        self.assertLess(time.monotonic() - started, 5)


if __name__ == "__main__":
    unittest.main()
