"""Builds what people build without dbxctl, and tells whether anything of it has changed.

Takes several commands one after the other, because starting the clients takes seconds:

    foreign.py build                makes a workspace `Legacy Prod` in the VPC `Corp Data`, with names
                                    and tags of its own making
    foreign.py neighbour            makes `Legacy Dev` beside it, in the same VPC
    foreign.py dump FILE            writes every attribute of everything in both clouds to FILE
    foreign.py unchanged FILE       checks that nothing differs from FILE but marks that were added
    foreign.py without FILE IDS     checks that exactly the objects with these ids (one per line of the
                                    file IDS) are gone, and that nothing else has changed
"""

import json
import sys

import verify
from databricks.sdk import AccountClient
from databricks.sdk.service import provisioning
from verify import ANYWHERE, DATABRICKS_AWS_ACCOUNT, Aws, check, problems

REGION = "us-east-1"
MARK = "dbxctl:"


def tags(kind, **named):
    return [{"ResourceType": kind, "Tags": [{"Key": k, "Value": v} for k, v in named.items()]}]


class Builder:
    def __init__(self):
        self.aws, self.account = Aws(REGION), AccountClient()
        self.ec2 = self.aws.ec2

    def network(self):
        ec2 = self.ec2
        vpc = ec2.create_vpc(
            CidrBlock="10.20.0.0/16", TagSpecifications=tags("vpc", Name="Corp Data", team="data")
        )["Vpc"]["VpcId"]
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(VpcId=vpc, InternetGatewayId=gateway)
        public = self.subnet(vpc, "10.20.255.0/26", "a", "corp-public")
        table = self.table(vpc, [public], GatewayId=gateway)
        address = ec2.allocate_address(Domain="vpc")["AllocationId"]
        nat = ec2.create_nat_gateway(SubnetId=public, AllocationId=address)["NatGateway"]
        ec2.create_tags(Resources=[table], Tags=[{"Key": "Name", "Value": "corp-public"}])
        return vpc, nat["NatGatewayId"]

    def subnet(self, vpc, cidr, zone, name):
        wanted = dict(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=REGION + zone)
        wanted["TagSpecifications"] = tags("subnet", Name=name, team="data")
        return self.ec2.create_subnet(**wanted)["Subnet"]["SubnetId"]

    def table(self, vpc, subnets, **target):
        table = self.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        self.ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, **target)
        for subnet in subnets:
            self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        return table

    def group(self, vpc, name):
        """With the rules that Databricks documents, as people copy them."""
        ec2 = self.ec2
        wanted = dict(VpcId=vpc, GroupName=name, Description="databricks clusters")
        id = ec2.create_security_group(**wanted)["GroupId"]
        group = ec2.describe_security_groups(GroupIds=[id])["SecurityGroups"][0]
        if group["IpPermissionsEgress"]:
            ec2.revoke_security_group_egress(
                GroupId=id, IpPermissions=group["IpPermissionsEgress"]
            )
        rule = lambda protocol, first, last, **peer: {  # noqa: E731
            "IpProtocol": protocol,
            "FromPort": first,
            "ToPort": last,
            **peer,
        }
        itself = {"UserIdGroupPairs": [{"GroupId": id}]}
        world = {"IpRanges": [{"CidrIp": ANYWHERE}]}
        within = [rule("tcp", 0, 65535, **itself), rule("udp", 0, 65535, **itself)]
        ports = [(443, 443), (2443, 2443), (3306, 3306), (8443, 8451)]
        out = [rule("tcp", first, last, **world) for first, last in ports]
        ec2.authorize_security_group_ingress(GroupId=id, IpPermissions=within)
        ec2.authorize_security_group_egress(GroupId=id, IpPermissions=within + out)
        return id

    def role(self, name):
        trust = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{DATABRICKS_AWS_ACCOUNT}:root"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": verify.os.environ["DATABRICKS_ACCOUNT_ID"]}},
        }
        policy = {"Effect": "Allow", "Action": ["ec2:*"], "Resource": ["*"]}
        document = lambda statement: json.dumps({"Version": "2012-10-17", "Statement": [statement]})  # noqa: E731
        made = self.aws.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))
        self.aws.iam.put_role_policy(
            RoleName=name, PolicyName="cross-account", PolicyDocument=document(policy)
        )
        return made["Role"]["Arn"]

    def bucket(self, name):
        s3 = self.aws.s3
        s3.create_bucket(Bucket=name)
        s3.put_public_access_block(
            Bucket=name,
            PublicAccessBlockConfiguration=dict.fromkeys(
                ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"],
                True,
            ),
        )
        arn = f"arn:aws:s3:::{name}"
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{DATABRICKS_AWS_ACCOUNT}:root"},
            "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"],
            "Resource": [arn, arn + "/*"],
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        s3.put_bucket_policy(Bucket=name, Policy=policy)

    def workspace(self, vpc, nat, display, word, cidrs):
        subnets = [
            self.subnet(vpc, cidr, zone, f"{word}-{zone}") for zone, cidr in zip("ab", cidrs)
        ]
        table = self.table(vpc, subnets, NatGatewayId=nat)
        group = self.group(vpc, f"{word}-clusters")
        self.bucket(f"{word}-dbfs")
        role = provisioning.CreateCredentialStsRole(role_arn=self.role(f"{word}-cross-account"))
        credentials = self.account.credentials.create(
            credentials_name=f"{word} credentials",
            aws_credentials=provisioning.CreateCredentialAwsCredentials(sts_role=role),
        )
        storage = self.account.storage.create(
            storage_configuration_name=f"{word} storage",
            root_bucket_info=provisioning.RootBucketInfo(bucket_name=f"{word}-dbfs"),
        )
        network = self.account.networks.create(
            network_name=f"{word} network",
            vpc_id=vpc,
            subnet_ids=subnets,
            security_group_ids=[group],
        )
        self.account.workspaces.create(
            workspace_name=display,
            aws_region=REGION,
            credentials_id=credentials.credentials_id,
            storage_configuration_id=storage.storage_configuration_id,
            network_id=network.network_id,
            custom_tags={"cost": "42"},
        ).result()
        return table


def build():
    builder = Builder()
    vpc, nat = builder.network()
    cidrs = ["10.20.0.0/22", "10.20.4.0/22"]
    table = builder.workspace(vpc, nat, "Legacy Prod", "legacy-prod", cidrs)
    builder.ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName=f"com.amazonaws.{REGION}.s3",
        VpcEndpointType="Gateway",
        RouteTableIds=[table],
    )


def neighbour():
    builder = Builder()
    nat = next(iter(builder.aws.live()["NatGatewayId"].values()))
    cidrs = ["10.20.8.0/22", "10.20.12.0/22"]
    builder.workspace(nat["VpcId"], nat["NatGatewayId"], "Legacy Dev", "legacy-dev", cidrs)


# Comparing.


def everything():
    """Every attribute of everything, by id; marks are no attributes."""
    aws, account = Aws(REGION), AccountClient()
    found = {}
    for kind, items in aws.live().items():
        for id, item in items.items():
            # The same numbers on another day.
            item.pop("AvailableIpAddressCount", None)
            found[id] = {kind: item}
    for name, role in aws.roles().items():
        inline = aws.iam.list_role_policies(RoleName=name)["PolicyNames"]
        policies = {p: aws.iam.get_role_policy(RoleName=name, PolicyName=p)["PolicyDocument"] for p in inline}
        attached = aws.iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        tags = aws.iam.list_role_tags(RoleName=name)["Tags"]
        found[f"role {name}"] = [role, policies, attached, {"Tags": tags}]
    for name in aws.buckets():
        policy = aws.s3.get_bucket_policy(Bucket=name)["Policy"]
        block = aws.s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
        found[name] = [policy, block]
    for objects, id in [
        (account.workspaces, "workspace_id"),
        (account.networks, "network_id"),
        (account.credentials, "credentials_id"),
        (account.storage, "storage_configuration_id"),
        (account.vpc_endpoints, "vpc_endpoint_id"),
        (account.private_access, "private_access_settings_id"),
    ]:
        found |= {str(getattr(item, id)): item.as_dict() for item in objects.list()}
    # As JSON once, so that times are text as in the file.
    return {id: without_marks(item) for id, item in json.loads(json.dumps(found, default=str)).items()}


def without_marks(value):
    if isinstance(value, dict):
        fields = {k: without_marks(v) for k, v in value.items()}
        if fields.get("Tags") == []:
            del fields["Tags"]
        return fields
    if isinstance(value, list):
        kept = [v for v in value if not (isinstance(v, dict) and str(v.get("Key", "")).startswith(MARK))]
        return sorted((without_marks(v) for v in kept), key=lambda v: json.dumps(v, sort_keys=True))
    return value


def compare(path, gone):
    before, now = json.load(open(path, encoding="utf-8")), everything()
    for id in sorted(set(before) | set(now)):
        if id in gone:
            check(id not in now, f"{id} is still there")
        elif check(id in now, f"{id} is gone") and check(id in before, f"{id} is new"):
            # Whoever loses a user, changes: gateways and tables list what uses them.
            check(now[id] == before[id], f"{id} was {before[id]} and is {now[id]}")


def run(words):
    """The first command of the words; what is left of them comes back."""
    match words:
        case ["build", *rest]:
            build()
        case ["neighbour", *rest]:
            neighbour()
        case ["dump", path, *rest]:
            json.dump(everything(), open(path, "w", encoding="utf-8"))
        case ["unchanged", path, *rest]:
            compare(path, set())
        case ["without", path, ids, *rest]:
            compare(path, set(open(ids, encoding="utf-8").read().split("\n")))
        case _:
            sys.exit(__doc__)
    return rest


def main():
    words = sys.argv[1:] or ["help"]
    while words:
        words = run(words)
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
