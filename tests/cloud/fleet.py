"""What somebody may do behind dbxctl's back to a small stack of many, and how such a stack looks.

Every stack has one workspace, `wk1`, with a bucket of its own, and may have one VPC.
"""

import json

from databricks.sdk import AccountClient
from databricks.sdk.service import provisioning
from verify import Aws

STRANGER = {"AWS": "arn:aws:iam::999999999999:root"}
DISTURBANCES = {}


def disturbance(function):
    DISTURBANCES[function.__name__] = function
    return function


class Stack:
    """The objects of one stack, by its name, in both clouds."""

    def __init__(self, spec):
        self.aws, self.account = Aws(spec["region"]), AccountClient()
        self.iam, self.s3, self.ec2 = self.aws.iam, self.aws.s3, self.aws.ec2
        self.name = spec["name"]
        self.bucket = spec["workspaces"]["wk1"]["storage"]["bucket"]
        self.has_vpc = "vpcs" in spec

    def role(self):
        return next(n for n in sorted(self.aws.roles()) if n.startswith(f"{self.name}-"))

    def trust(self):
        return self.iam.get_role(RoleName=self.role())["Role"]["AssumeRolePolicyDocument"]

    def workspace(self):
        wanted = f"{self.name}-wk1"
        return next(w for w in self.account.workspaces.list() if w.workspace_name == wanted)

    def network(self, what, key):
        ours = [{"Name": "tag:dbxctl:stack", "Values": [self.name]}]
        return self.aws.all(what, key, Filters=ours)

    def vpc(self):
        return self.network("vpcs", "Vpcs")[0]

    def host_names(self):
        attribute = {"VpcId": self.vpc()["VpcId"], "Attribute": "enableDnsHostnames"}
        return self.ec2.describe_vpc_attribute(**attribute)["EnableDnsHostnames"]["Value"]

    def policy(self):
        return json.loads(self.s3.get_bucket_policy(Bucket=self.bucket)["Policy"])

    def bucket_tags(self):
        return self.s3.get_bucket_tagging(Bucket=self.bucket)["TagSet"]


@disturbance
def role_trust_widened(s):
    document = s.trust()
    document["Statement"].append(
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": STRANGER}
    )
    s.iam.update_assume_role_policy(RoleName=s.role(), PolicyDocument=json.dumps(document))


@disturbance
def role_policy_removed(s):
    for name in s.iam.list_role_policies(RoleName=s.role())["PolicyNames"][:1]:
        s.iam.delete_role_policy(RoleName=s.role(), PolicyName=name)


@disturbance
def role_tag_changed(s):
    s.iam.tag_role(RoleName=s.role(), Tags=[{"Key": "owner", "Value": "somebody else"}])


@disturbance
def bucket_tag_added(s):
    tags = [t for t in s.bucket_tags() if t["Key"] != "by-hand"]
    tags.append({"Key": "by-hand", "Value": "yes"})
    s.s3.put_bucket_tagging(Bucket=s.bucket, Tagging={"TagSet": tags})


@disturbance
def bucket_opened(s):
    s.s3.delete_public_access_block(Bucket=s.bucket)


@disturbance
def bucket_policy_widened(s):
    document = s.policy()
    grant = {"Effect": "Allow", "Action": "s3:GetObject", "Principal": STRANGER}
    document["Statement"].append({**grant, "Resource": f"arn:aws:s3:::{s.bucket}/*"})
    s.s3.put_bucket_policy(Bucket=s.bucket, Policy=json.dumps(document))


@disturbance
def workspace_tag_changed(s):
    workspace = s.workspace()
    tags = {**(workspace.custom_tags or {}), "owner": "somebody else"}
    body = provisioning.Workspace(custom_tags=tags)
    s.account.workspaces.update(workspace.workspace_id, body, update_mask="custom_tags")


@disturbance
def vpc_host_names_off(s):
    if s.has_vpc:
        s.ec2.modify_vpc_attribute(VpcId=s.vpc()["VpcId"], EnableDnsHostnames={"Value": False})
    else:
        role_trust_widened(s)


@disturbance
def subnet_tag_changed(s):
    if s.has_vpc:
        subnet = s.network("subnets", "Subnets")[0]["SubnetId"]
        s.ec2.create_tags(Resources=[subnet], Tags=[{"Key": "owner", "Value": "somebody else"}])
    else:
        workspace_tag_changed(s)


def disturb(spec, name):
    DISTURBANCES[name](Stack(spec))


def look(spec):
    """Everything that a disturbance can change, as text."""
    s = Stack(spec)
    role, by_key = s.role(), lambda tags: sorted((t["Key"], t["Value"]) for t in tags)
    block = s.s3.get_public_access_block(Bucket=s.bucket)["PublicAccessBlockConfiguration"]
    policies = {
        name: s.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in s.iam.list_role_policies(RoleName=role)["PolicyNames"]
    }
    seen = {
        "trust": s.trust(),
        "policies": policies,
        "role tags": by_key(s.iam.list_role_tags(RoleName=role)["Tags"]),
        "bucket tags": by_key(s.bucket_tags()),
        "block": block,
        "policy": s.policy(),
        "workspace": [s.workspace().workspace_id, s.workspace().custom_tags],
    }
    if s.has_vpc:
        subnets = s.network("subnets", "Subnets")
        seen["host names"] = s.host_names()
        seen["subnets"] = sorted((n["SubnetId"], by_key(n["Tags"])) for n in subnets)
    return json.dumps(seen, sort_keys=True)
