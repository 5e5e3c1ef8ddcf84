"""Patches for moto's worst gaps, in memory.

What they do is our reading of the AWS documentation, not an independent opinion; one suite
therefore runs on moto as it is. They depend on moto's internals: `launch_moto.py` checks the
version.

- NAT gateways and interface endpoints are `pending` first and `deleting` before they are gone; an
  endpoint to a `vpce-svc-` service is `pendingAcceptance` first; a deleted endpoint is not found.
- A repeated `ClientToken` gets the first answer again; with other parameters it is refused.
- A trust policy that names a role of the same account which does not exist, or has existed for
  less than the delay, is refused.
- With the issuer's keys, `AssumeRoleWithWebIdentity` asks the role's trust policy.
- Deletes refuse what is in use: security groups, subnets, VPCs, internet gateways, addresses.
- `MaxResults` and `NextToken` work on the describes of the VPC family.
- NAT gateways can be filtered by tag and be missing; peerings can be filtered.
- `ModifyVpcEndpoint` changes private DNS and the routes of a gateway endpoint, and resets its policy.
- A bucket keeps the tags it is created with.
- `GetBucketVersioning` answers with the element that S3 names.
- One S3 `PUT` or `DELETE` at a time, so that conditional writes are atomic.
"""

import base64
import json
import re
import threading
import time
from xml.sax.saxutils import unescape

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from flask import request
from moto.core.responses import ActionResult
from moto.ec2.exceptions import DependencyViolationError, EC2ClientError
from moto.ec2.models.nat_gateways import NatGateway
from moto.ec2.models.vpcs import VPCEndPoint
from moto.ec2.responses import EC2Response
from moto.iam.exceptions import MalformedPolicyDocument
from moto.iam.models import IAMBackend, iam_backends
from moto.s3.models import S3Backend
from moto.sts.exceptions import STSClientError
from moto.sts.responses import TokenResponse

PAGED = [
    "describe_vpcs",
    "describe_subnets",
    "describe_route_tables",
    "describe_security_groups",
    "describe_security_group_rules",
    "describe_internet_gateways",
    "describe_nat_gateways",
    "describe_vpc_endpoints",
    "describe_vpc_peering_connections",
    "describe_network_acls",
    "describe_network_interfaces",
    "describe_dhcp_options",
    "describe_tags",
]
WITH_TOKEN = [
    "create_vpc_endpoint",
    "create_nat_gateway",
    "create_route_table",
    "create_network_acl",
]


def apply(app, delay, jwks=None):
    """Patches moto's classes and returns the application to serve."""
    timed_states(delay)
    deletes(delay)
    filters()
    endpoints()
    # Outermost last: a replayed or paged answer has everything above behind it.
    for name in WITH_TOKEN:
        wrap(EC2Response, name, remembering_tokens(name))
    for name in PAGED:
        wrap(EC2Response, name, in_pages)
    principals(delay)
    if jwks:
        web_identities(jwks)
    bucket_tags()
    return one_s3_write_at_a_time(versioning_of_buckets(app))


def wrap(cls, name, around):
    """Replaces a method; `around` gets the object and a call of the original."""
    original = getattr(cls, name)

    def method(self, *args, **kwargs):
        return around(self, lambda: original(self, *args, **kwargs))

    method.__name__ = name
    setattr(cls, name, method)


def later(seconds, work):
    timer = threading.Timer(seconds, work)
    timer.daemon = True
    timer.start()


# States.


def timed_states(delay):
    def state(first):
        def get(self):
            value, since = self._phase
            fresh = time.monotonic() - since < delay
            if value == "available" and fresh:
                return first(self)
            if value == "deleted" and fresh:
                return "deleting"
            return value

        def put(self, value):
            self._phase = (value, time.monotonic())

        return property(get, put)

    def first_of_endpoint(endpoint):
        if (endpoint.vpc_endpoint_type or "").lower() != "interface":
            return "available"
        return "pendingAcceptance" if ".vpce-svc-" in endpoint.service_name else "pending"

    NatGateway.state = state(lambda nat: "pending")
    VPCEndPoint.state = state(first_of_endpoint)


def living(resource):
    return resource.state not in ("deleted", "failed")


# Deletes.


def deletes(delay):
    def delete_nat_gateway(self, call):
        backend = self.ec2_backend
        nat = backend.nat_gateways.get(self._get_param("NatGatewayId"))
        if nat is None or not living(nat):
            raise missing_nat(self._get_param("NatGatewayId"))
        answer = call()

        def release():
            for address in nat.address_set:
                if address.get("publicIp"):
                    backend.disassociate_address(address=address["publicIp"])
            backend.enis.pop(nat._eni.id, None)

        later(delay, release)
        return answer

    def delete_vpc_endpoints(self, call):
        backend, ids = self.ec2_backend, self._get_param("VpcEndpointIds", [])
        call()
        unknown = [id for id in ids if id not in backend.vpc_end_points]
        for id in ids:
            later(delay, lambda id=id: backend.vpc_end_points.pop(id, None))
        error = {"Code": "InvalidVpcEndpointId.NotFound", "Message": "it does not exist"}
        return ActionResult({"Unsuccessful": [{"ResourceId": i, "Error": error} for i in unknown]})

    def delete_security_group(self, call):
        backend, id = self.ec2_backend, self._get_param("GroupId")
        group = backend.get_security_group_from_id(id) if id else None
        if group is None:
            return call()
        if group.name == "default":
            raise EC2ClientError("CannotDelete", f"the specified group: {id} is the default group")
        for groups in backend.groups.values():
            for other in groups.values():
                for rule in [*other.ingress_rules, *other.egress_rules]:
                    if other.id != id and rule.source_group.get("GroupId") == id:
                        raise in_use(id)
        for endpoint in backend.vpc_end_points.values():
            if living(endpoint) and id in endpoint.security_group_ids:
                raise in_use(id)
        return call()

    def delete_subnet(self, call):
        backend, id = self.ec2_backend, self._get_param("SubnetId")
        for nat in backend.nat_gateways.values():
            if living(nat) and nat.subnet_id == id:
                raise in_use(id)
        for endpoint in backend.vpc_end_points.values():
            if living(endpoint) and id in (endpoint.subnet_ids or []):
                raise in_use(id)
        answer = call()
        for table in backend.route_tables.values():
            for association, subnet in list(table._associations.items()):
                if subnet == id:
                    del table._associations[association]
        for acl in backend.network_acls.values():
            for key, association in list(acl._associations.items()):
                if association.subnet_id == id:
                    del acl._associations[key]
        return answer

    def delete_vpc(self, call):
        backend, id = self.ec2_backend, self._get_param("VpcId")
        gateways = [g for g in backend.internet_gateways.values() if g.vpc and g.vpc.id == id]
        groups = [g for g in backend.groups.get(id, {}).values() if g.name != "default"]
        endpoints = [e for e in backend.vpc_end_points.values() if living(e) and e.vpc_id == id]
        nats = [n for n in backend.nat_gateways.values() if living(n) and n.vpc_id == id]
        if gateways or groups or endpoints or nats:
            raise in_use(id)
        return call()

    def detach_internet_gateway(self, call):
        backend, id = self.ec2_backend, self._get_param("VpcId")
        if any(living(n) and n.vpc_id == id for n in backend.nat_gateways.values()):
            raise in_use(id)
        return call()

    def release_address(self, call):
        backend, id = self.ec2_backend, self._get_param("AllocationId")
        for nat in backend.nat_gateways.values():
            if living(nat) and any(a.get("allocationId") == id for a in nat.address_set):
                raise EC2ClientError("InvalidIPAddress.InUse", f"Address {id} is in use.")
        return call()

    for around in [
        delete_nat_gateway,
        delete_vpc_endpoints,
        delete_security_group,
        delete_subnet,
        delete_vpc,
        detach_internet_gateway,
        release_address,
    ]:
        wrap(EC2Response, around.__name__, around)


def in_use(id):
    return DependencyViolationError(f"{id} has dependencies and cannot be deleted.")


def missing_nat(id):
    return EC2ClientError("NatGatewayNotFound", f"The Nat Gateway {id} was not found")


# Describes.


def filters():
    def describe_nat_gateways(self, call):
        wanted = self._get_param("NatGatewayIds", [])
        for id in wanted:
            if id not in self.ec2_backend.nat_gateways:
                raise missing_nat(id)
        answer = call()
        nats = answer.result["NatGateways"]
        answer.result["NatGateways"] = [n for n in nats if tagged(self, n)]
        return answer

    def describe_vpc_peering_connections(self, call):
        for id in self._get_param("VpcPeeringConnectionIds", []):
            self.ec2_backend.get_vpc_peering_connection(id)
        answer = call()
        key = "VpcPeeringConnections"
        status = self._filters_from_querystring().get("status-code")
        answer.result[key] = [
            p
            for p in answer.result[key]
            if tagged(self, p) and (status is None or p._status.code in status)
        ]
        return answer

    wrap(EC2Response, "describe_nat_gateways", describe_nat_gateways)
    wrap(EC2Response, "describe_vpc_peering_connections", describe_vpc_peering_connections)


def tagged(response, resource):
    tags = response.ec2_backend.tags.get(resource.id, {})
    for name, values in (response._filters_from_querystring() or {}).items():
        if name == "tag-key" and not any(key in tags for key in values):
            return False
        if name.startswith("tag:") and tags.get(name.removeprefix("tag:")) not in values:
            return False
    return True


def in_pages(response, call):
    """Cuts the one list of a describe's answer. A token is the place to go on from."""
    answer = call()
    size = response._get_int_param("MaxResults")
    start = int(response._get_param("NextToken") or 0)
    lists = [key for key, value in answer.result.items() if isinstance(value, (list, tuple))]
    if size is None or len(lists) != 1:
        return answer
    key, everything = lists[0], list(answer.result[lists[0]])
    answer.result[key] = everything[start : start + size]
    if start + size < len(everything):
        answer.result["NextToken"] = str(start + size)
    return answer


def remembering_tokens(action):
    seen, lock = {}, threading.Lock()

    def around(response, call):
        token = response._get_param("ClientToken")
        if not token:
            return call()
        key = (response.current_account, response.region, token)
        with lock:
            if key not in seen:
                seen[key] = (response.body, call())
            body, answer = seen[key]
            if body != response.body:
                raise EC2ClientError("IdempotentParameterMismatch", f"{action}: {token} was used")
            return answer

    return around


# Endpoints.


def endpoints():
    def modify_vpc_endpoint(self, call):
        backend = self.ec2_backend
        endpoint = backend.get_vpc_end_point(self._get_param("VpcEndpointId"))
        tables = set(endpoint.route_table_ids)
        answer = call()
        private_dns = self._get_bool_param("PrivateDnsEnabled")
        if private_dns is not None:
            endpoint.private_dns_enabled = private_dns
        if self._get_bool_param("ResetPolicy"):
            endpoint.policy_document = json.dumps(VPCEndPoint.DEFAULT_POLICY)
        prefix_list = endpoint.destination_prefix_list_id
        if prefix_list:
            for id in set(endpoint.route_table_ids) - tables:
                backend.create_route(
                    id, None, gateway_id=endpoint.id, destination_prefix_list_id=prefix_list
                )
            for id in tables - set(endpoint.route_table_ids):
                backend.delete_route(id, prefix_list)
        return answer

    wrap(EC2Response, "modify_vpc_endpoint", modify_vpc_endpoint)


# IAM.


def principals(delay):
    made = {}
    create, update = IAMBackend.create_role, IAMBackend.update_assume_role_policy

    def check(backend, document):
        try:
            statements = json.loads(document)["Statement"]
        except (ValueError, KeyError, TypeError):
            raise MalformedPolicyDocument("This policy contains invalid Json") from None
        for statement in statements if isinstance(statements, list) else [statements]:
            principal = statement.get("Principal", {})
            named = principal.get("AWS", []) if isinstance(principal, dict) else []
            for arn in [named] if isinstance(named, str) else named:
                own = re.fullmatch(rf"arn:[^:]*:iam::{backend.account_id}:role/(.*/)?([^/]+)", arn)
                if own and not known(backend, own[2]):
                    raise MalformedPolicyDocument(f'Invalid principal in policy: "AWS":"{arn}"')

    def known(backend, name):
        for role in backend.get_roles():
            if role.name == name:
                return time.monotonic() - made.get(role.id, 0) >= delay
        return False

    def create_role(self, role_name, assume_role_policy_document, *args, **kwargs):
        check(self, assume_role_policy_document)
        role = create(self, role_name, assume_role_policy_document, *args, **kwargs)
        made[role.id] = time.monotonic()
        return role

    def update_assume_role_policy(self, role_name, policy_document):
        check(self, policy_document)
        return update(self, role_name, policy_document)

    IAMBackend.create_role = create_role
    IAMBackend.update_assume_role_policy = update_assume_role_policy


def web_identities(file):
    """A token must be signed, still good, and fit the role's trust policy. As far as roles for
    pipelines need it: one federated statement with `StringEquals`."""
    with open(file, encoding="utf-8") as keys:
        numbers = [{n: int.from_bytes(decoded(k[n])) for n in "ne"} for k in json.load(keys)["keys"]]
    keys = [rsa.RSAPublicNumbers(n["e"], n["n"]).public_key() for n in numbers]

    def check(responses, call):
        role = responses._get_param("RoleArn").rsplit("/", 1)[-1]
        text, _, signature = responses._get_param("WebIdentityToken").rpartition(".")
        claims = json.loads(decoded(text.split(".")[1]))
        if not any(signed(key, text, signature) for key in keys):
            words = "Couldn't retrieve verification key from your identity provider"
            raise STSClientError("InvalidIdentityToken", words)
        if claims["exp"] < time.time():
            raise STSClientError("InvalidIdentityToken", "Token expired")
        backend = iam_backends[responses.current_account]["aws"]
        document = json.loads(backend.get_role(role).assume_role_policy_document)
        [statement] = document["Statement"]
        issuer = claims["iss"].removeprefix("https://")
        wanted = statement["Condition"]["StringEquals"]
        if claims["aud"] != wanted[f"{issuer}:aud"]:
            raise STSClientError("InvalidIdentityToken", "Incorrect token audience")
        if claims["sub"] != wanted[f"{issuer}:sub"]:
            words = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
            raise STSClientError("AccessDenied", words)
        return call()

    def signed(key, text, signature):
        try:
            key.verify(decoded(signature), text.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True

    wrap(TokenResponse, "assume_role_with_web_identity", check)


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


# S3.


def versioning_of_buckets(app):
    def renamed(environ, start_response):
        answer = app(environ, start_response)
        if not environ.get("QUERY_STRING", "").startswith("versioning"):
            return answer
        # Of one length.
        theirs, right = b"GetBucketVersioningResponse", b"VersioningConfiguration    "
        return [part.replace(theirs, right) for part in answer]

    return renamed


def bucket_tags():
    original = S3Backend.create_bucket

    def create_bucket(self, bucket_name, *args, **kwargs):
        bucket = original(self, bucket_name, *args, **kwargs)
        tags = re.findall(
            r"<Tag>\s*<Key>(.*?)</Key>\s*<Value>(.*?)</Value>\s*</Tag>",
            request.get_data(as_text=True),
        )
        if tags:
            self.put_bucket_tagging(bucket_name, {unescape(k): unescape(v) for k, v in tags})
        return bucket

    S3Backend.create_bucket = create_bucket


def one_s3_write_at_a_time(app):
    lock = threading.Lock()

    def serve(environ, start_response):
        # Only S3 uses these methods among the services under test.
        if environ["REQUEST_METHOD"] in ("PUT", "DELETE"):
            with lock:
                return list(app(environ, start_response))
        return app(environ, start_response)

    return serve
