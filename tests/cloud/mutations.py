"""What somebody may do behind dbxctl's back to a deployment of examples/shared-vpc.yaml.

Each mutation is a function that changes one thing with boto3 or the Databricks SDK; above it stands
the address at which dbxctl has to notice. `verify.py mutations` lists them, `verify.py mutate SPEC.json NAME`
carries one out.

Not possible here, because the service refuses it or moto cannot do it (the sandbox shows these):
deleting account objects a workspace uses, deleting a VPC, subnets or groups in use, propagation of routes.
"""

import json
import time

from databricks.sdk import AccountClient
from databricks.sdk.service import provisioning
from verify import ANYWHERE, Aws

NORTH_A, NORTH_C = "ap-northeast-1a", "ap-northeast-1c"
MUTATIONS = {}


def mutation(address):
    def register(function):
        MUTATIONS[function.__name__] = (address, function)
        return function

    return register


class Cloud:
    """Both clouds, and the ids of what dbxctl made, by its marks and names."""

    def __init__(self, spec):
        self.aws, self.account = Aws(spec["region"]), AccountClient()
        self.ec2, self.iam, self.s3 = self.aws.ec2, self.aws.iam, self.aws.s3
        self.role = f"{spec['name']}-shared-databricks"
        self.buckets = {n: w["storage"]["bucket"] for n, w in spec["workspaces"].items()}
        self.prefix, self.ids = spec["name"], {}
        for objects in self.aws.live().values():
            for id, described in objects.items():
                tags = {t["Key"]: t["Value"] for t in described.get("Tags", [])}
                self.ids[tags.get("dbxctl:address")] = id

    def __getitem__(self, address):
        return self.ids[f"aws.{address}"]

    def tag(self, address, key, value):
        self.ec2.create_tags(Resources=[self[address]], Tags=[{"Key": key, "Value": value}])

    def untag(self, address, key):
        self.ec2.delete_tags(Resources=[self[address]], Tags=[{"Key": key}])

    def rules(self, address):
        return self.aws.all("security_groups", "SecurityGroups", GroupIds=[self[address]])[0]

    def document(self, bucket):
        return json.loads(self.s3.get_bucket_policy(Bucket=bucket)["Policy"])

    def put_document(self, bucket, document):
        self.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))

    def bucket_tags(self, bucket):
        tags = self.s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
        return {t["Key"]: t["Value"] for t in tags}

    def put_bucket_tags(self, bucket, tags):
        tags = [{"Key": k, "Value": v} for k, v in tags.items()]
        self.s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})

    def trust(self):
        return self.iam.get_role(RoleName=self.role)["Role"]["AssumeRolePolicyDocument"]

    def workspace(self, name):
        wanted = f"{self.prefix}-{name}"
        return next(w for w in self.account.workspaces.list() if w.workspace_name == wanted)

    def retag_workspace(self, name, change):
        workspace = self.workspace(name)
        tags = dict(workspace.custom_tags or {})
        change(tags)
        body = provisioning.Workspace(custom_tags=tags)
        self.account.workspaces.update(workspace.workspace_id, body, update_mask="custom_tags")

    def settings(self):
        return next(iter(self.account.private_access.list()))

    def replace_settings(self, **changes):
        now = self.settings()
        body = provisioning.PrivateAccessSettings(
            private_access_settings_name=now.private_access_settings_name,
            region=now.region,
            public_access_enabled=now.public_access_enabled,
            private_access_level=now.private_access_level,
            allowed_vpc_endpoint_ids=now.allowed_vpc_endpoint_ids,
        )
        for field, value in changes.items():
            setattr(body, field, value)
        self.account.private_access.replace(now.private_access_settings_id, body)


# VPC.


@mutation("aws.vpc/shared")
def vpc_host_names_off(c):
    c.ec2.modify_vpc_attribute(VpcId=c["vpc/shared"], EnableDnsHostnames={"Value": False})


@mutation("aws.vpc/shared")
def vpc_dns_off(c):
    c.ec2.modify_vpc_attribute(VpcId=c["vpc/shared"], EnableDnsSupport={"Value": False})


@mutation("aws.vpc/shared")
def vpc_tag_added(c):
    c.tag("vpc/shared", "by-hand", "yes")


@mutation("aws.vpc/shared")
def vpc_tag_changed(c):
    c.tag("vpc/shared", "owner", "somebody else")


@mutation("aws.vpc/shared")
def vpc_address_mark_removed(c):
    c.untag("vpc/shared", "dbxctl:address")


@mutation("aws.vpc/shared")
def vpc_stack_mark_changed(c):
    c.tag("vpc/shared", "dbxctl:stack", "another")


# Subnets.

WK1_A, WK1_C = f"subnet/wk1.{NORTH_A}", f"subnet/wk1.{NORTH_C}"


@mutation(f"aws.{WK1_A}")
def subnet_public_addresses_on(c):
    c.ec2.modify_subnet_attribute(SubnetId=c[WK1_A], MapPublicIpOnLaunch={"Value": True})


@mutation(f"aws.{WK1_A}")
def subnet_name_tag_changed(c):
    c.tag(WK1_A, "Name", "renamed")


@mutation(f"aws.{WK1_C}")
def subnet_marks_removed(c):
    c.untag(WK1_C, "dbxctl:address")
    c.untag(WK1_C, "dbxctl:stack")


@mutation(f"aws.subnet/wk2.{NORTH_A}")
def subnet_of_a_workspace_removed(c):
    c.ec2.delete_subnet(SubnetId=c[f"subnet/wk2.{NORTH_A}"])


@mutation(f"aws.subnet/shared.public-{NORTH_A}")
def public_subnet_tag_removed(c):
    c.untag(f"subnet/shared.public-{NORTH_A}", "owner")


# Gateways and addresses.

NAT, ADDRESS = f"nat_gateway/shared.{NORTH_A}", f"elastic_ip/shared.{NORTH_A}"


@mutation("aws.internet_gateway/shared")
def internet_gateway_tag_removed(c):
    c.untag("internet_gateway/shared", "Name")


@mutation(f"aws.{ADDRESS}")
def address_tag_changed(c):
    c.tag(ADDRESS, "owner", "somebody else")


@mutation(f"aws.{NAT}")
def nat_tag_added(c):
    c.tag(NAT, "by-hand", "yes")


@mutation(f"aws.{NAT}")
def nat_removed(c):
    c.ec2.delete_nat_gateway(NatGatewayId=c[NAT])


@mutation(f"aws.{NAT}")
def nat_and_its_address_removed(c):
    c.ec2.delete_nat_gateway(NatGatewayId=c[NAT])
    for _ in range(100):
        time.sleep(0.1)
        try:
            return c.ec2.release_address(AllocationId=c[ADDRESS])
        except c.ec2.exceptions.ClientError:
            continue
    raise TimeoutError("the address stays in use")


# Route tables.

WK1_TABLE, PUBLIC, ENDPOINTS = "route_table/wk1.private", "route_table/shared.public", "route_table/shared.endpoints"


def association(c, table, subnet):
    tables = c.aws.all("route_tables", "RouteTables", RouteTableIds=[c[table]])
    found = [a for a in tables[0]["Associations"] if a.get("SubnetId") == c[subnet]]
    return found[0]["RouteTableAssociationId"]


@mutation(f"aws.{WK1_TABLE}")
def default_route_removed(c):
    c.ec2.delete_route(RouteTableId=c[WK1_TABLE], DestinationCidrBlock=ANYWHERE)


@mutation(f"aws.{WK1_TABLE}")
def default_route_past_the_nat(c):
    c.ec2.replace_route(
        RouteTableId=c[WK1_TABLE],
        DestinationCidrBlock=ANYWHERE,
        GatewayId=c["internet_gateway/shared"],
    )


@mutation(f"aws.{WK1_TABLE}")
def route_added(c):
    c.ec2.create_route(
        RouteTableId=c[WK1_TABLE], DestinationCidrBlock="192.0.2.0/24", NatGatewayId=c[NAT]
    )


@mutation("aws.route_table/wk2.private")
def ipv6_route_added(c):
    c.ec2.create_route(
        RouteTableId=c["route_table/wk2.private"],
        DestinationIpv6CidrBlock="::/0",
        GatewayId=c["internet_gateway/shared"],
    )


@mutation(f"aws.{WK1_TABLE}")
def subnet_left_its_route_table(c):
    c.ec2.disassociate_route_table(AssociationId=association(c, WK1_TABLE, WK1_A))


@mutation(f"aws.{PUBLIC}")
def subnet_moved_to_the_public_route_table(c):
    c.ec2.replace_route_table_association(
        AssociationId=association(c, WK1_TABLE, WK1_C), RouteTableId=c[PUBLIC]
    )


@mutation(f"aws.{PUBLIC}")
def public_default_route_removed(c):
    c.ec2.delete_route(RouteTableId=c[PUBLIC], DestinationCidrBlock=ANYWHERE)


@mutation(f"aws.{ENDPOINTS}")
def way_out_of_the_endpoints_added(c):
    c.ec2.create_route(
        RouteTableId=c[ENDPOINTS], DestinationCidrBlock=ANYWHERE, NatGatewayId=c[NAT]
    )


@mutation(f"aws.{ENDPOINTS}")
def route_table_tag_removed(c):
    c.untag(ENDPOINTS, "owner")


# Security groups and their rules.

NODES, DOORS = "security_group/wk1.nodes", "security_group/shared.endpoints"
SSH = [
    {
        "IpProtocol": "tcp",
        "FromPort": 22,
        "ToPort": 22,
        "IpRanges": [{"CidrIp": ANYWHERE}],
    }
]
ALL_OUT = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": ANYWHERE}]}]


@mutation(f"aws.{NODES}")
def group_tag_changed(c):
    c.tag(NODES, "owner", "somebody else")


@mutation(f"aws.{DOORS}")
def group_mark_changed(c):
    c.tag(DOORS, "dbxctl:address", "aws.security_group/other")


@mutation("aws.security_group_rules/wk1.nodes")
def ssh_from_anywhere_added(c):
    c.ec2.authorize_security_group_ingress(GroupId=c[NODES], IpPermissions=SSH)


@mutation("aws.security_group_rules/wk1.nodes")
def everything_may_leave_added(c):
    c.ec2.authorize_security_group_egress(GroupId=c[NODES], IpPermissions=ALL_OUT)


@mutation("aws.security_group_rules/wk1.nodes")
def ingress_rules_removed(c):
    rules = c.rules(NODES)["IpPermissions"]
    c.ec2.revoke_security_group_ingress(GroupId=c[NODES], IpPermissions=rules)


@mutation("aws.security_group_rules/wk2.nodes")
def egress_rules_removed(c):
    group = "security_group/wk2.nodes"
    rules = c.rules(group)["IpPermissionsEgress"]
    c.ec2.revoke_security_group_egress(GroupId=c[group], IpPermissions=rules)


@mutation("aws.security_group_rules/shared.endpoints")
def one_endpoint_rule_removed(c):
    rule = dict(c.rules(DOORS)["IpPermissions"][0])
    rule["UserIdGroupPairs"] = rule["UserIdGroupPairs"][:1]
    c.ec2.revoke_security_group_ingress(GroupId=c[DOORS], IpPermissions=[rule])


@mutation("aws.security_group_rules/shared.endpoints")
def endpoints_open_to_the_world(c):
    rule = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}]
    c.ec2.authorize_security_group_ingress(GroupId=c[DOORS], IpPermissions=rule)


# VPC endpoints.


def modify(c, endpoint, **changes):
    c.ec2.modify_vpc_endpoint(VpcEndpointId=c[f"vpc_endpoint/shared.{endpoint}"], **changes)


def closed():
    statement = {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@mutation("aws.vpc_endpoint/shared.sts")
def endpoint_private_dns_off(c):
    modify(c, "sts", PrivateDnsEnabled=False)


@mutation("aws.vpc_endpoint/shared.sts")
def endpoint_policy_narrowed(c):
    modify(c, "sts", PolicyDocument=closed())


@mutation("aws.vpc_endpoint/shared.s3")
def gateway_endpoint_policy_narrowed(c):
    modify(c, "s3", PolicyDocument=closed())


@mutation("aws.vpc_endpoint/shared.s3")
def gateway_endpoint_left_a_route_table(c):
    modify(c, "s3", RemoveRouteTableIds=[c[WK1_TABLE]])


@mutation("aws.vpc_endpoint/shared.s3")
def gateway_endpoint_got_a_route_table(c):
    modify(c, "s3", AddRouteTableIds=[c[PUBLIC]])


@mutation("aws.vpc_endpoint/shared.kinesis")
def endpoint_left_a_subnet(c):
    modify(c, "kinesis", RemoveSubnetIds=[c[f"subnet/shared.endpoints-{NORTH_C}"]])


@mutation("aws.vpc_endpoint/shared.relay")
def endpoint_in_another_group(c):
    modify(c, "relay", AddSecurityGroupIds=[c[NODES]], RemoveSecurityGroupIds=[c[DOORS]])


@mutation("aws.vpc_endpoint/shared.rest")
def private_endpoint_tag_removed(c):
    c.untag("vpc_endpoint/shared.rest", "dbxctl:stack")


@mutation("aws.vpc_endpoint/shared.kinesis")
def endpoint_removed(c):
    c.ec2.delete_vpc_endpoints(VpcEndpointIds=[c["vpc_endpoint/shared.kinesis"]])


@mutation("aws.vpc_endpoint/shared.s3")
def gateway_endpoint_removed(c):
    c.ec2.delete_vpc_endpoints(VpcEndpointIds=[c["vpc_endpoint/shared.s3"]])


# The role of Databricks.

ROLE = "aws.role/account.databricks"
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


@mutation(ROLE)
def stranger_trusted(c):
    trust = c.trust()
    stranger = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    stranger["Principal"] = {"AWS": "arn:aws:iam::999999999999:root"}
    trust["Statement"].append(stranger)
    c.iam.update_assume_role_policy(RoleName=c.role, PolicyDocument=json.dumps(trust))


@mutation(ROLE)
def external_id_no_longer_asked_for(c):
    trust = c.trust()
    for statement in trust["Statement"]:
        statement.pop("Condition", None)
    c.iam.update_assume_role_policy(RoleName=c.role, PolicyDocument=json.dumps(trust))


@mutation(ROLE)
def inline_policy_added(c):
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    c.iam.put_role_policy(RoleName=c.role, PolicyName="by-hand", PolicyDocument=document)


@mutation(ROLE)
def inline_policy_removed(c):
    name = c.iam.list_role_policies(RoleName=c.role)["PolicyNames"][0]
    c.iam.delete_role_policy(RoleName=c.role, PolicyName=name)


@mutation(ROLE)
def inline_policy_changed(c):
    name = c.iam.list_role_policies(RoleName=c.role)["PolicyNames"][0]
    document = c.iam.get_role_policy(RoleName=c.role, PolicyName=name)["PolicyDocument"]
    document["Statement"] = document["Statement"][:1]
    document = json.dumps(document)
    c.iam.put_role_policy(RoleName=c.role, PolicyName=name, PolicyDocument=document)


def customer_policy(c):
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    existing = c.iam.list_policies(Scope="Local")["Policies"]
    for policy in existing:
        return policy["Arn"]
    return c.iam.create_policy(PolicyName="by-hand", PolicyDocument=document)["Policy"]["Arn"]


@mutation(ROLE)
def managed_policy_attached(c):
    c.iam.attach_role_policy(RoleName=c.role, PolicyArn=customer_policy(c))


@mutation(ROLE)
def boundary_set(c):
    c.iam.put_role_permissions_boundary(RoleName=c.role, PermissionsBoundary=customer_policy(c))


@mutation(ROLE)
def longer_sessions(c):
    now = c.iam.get_role(RoleName=c.role)["Role"].get("Description", "")
    c.iam.update_role(RoleName=c.role, Description=now, MaxSessionDuration=43200)


@mutation(ROLE)
def role_description_changed(c):
    c.iam.update_role_description(RoleName=c.role, Description="by hand")


@mutation(ROLE)
def role_tag_changed(c):
    c.iam.tag_role(RoleName=c.role, Tags=[{"Key": "owner", "Value": "somebody else"}])


@mutation(ROLE)
def role_mark_removed(c):
    c.iam.untag_role(RoleName=c.role, TagKeys=["dbxctl:stack"])


@mutation(ROLE)
def role_removed(c):
    for name in c.iam.list_role_policies(RoleName=c.role)["PolicyNames"]:
        c.iam.delete_role_policy(RoleName=c.role, PolicyName=name)
    c.iam.delete_role(RoleName=c.role)


# Buckets and their policies.


@mutation("aws.bucket/wk1")
def encryption_removed(c):
    c.s3.delete_bucket_encryption(Bucket=c.buckets["wk1"])


@mutation("aws.bucket/wk1")
def encryption_with_another_key(c):
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/by-hand"}
    rules = [{"ApplyServerSideEncryptionByDefault": default}]
    c.s3.put_bucket_encryption(
        Bucket=c.buckets["wk1"], ServerSideEncryptionConfiguration={"Rules": rules}
    )


@mutation("aws.bucket/wk1")
def public_access_no_longer_blocked(c):
    c.s3.delete_public_access_block(Bucket=c.buckets["wk1"])


@mutation("aws.bucket/wk2")
def one_public_access_setting_off(c):
    settings = dict(
        BlockPublicAcls=True,
        IgnorePublicAcls=True,
        BlockPublicPolicy=False,
        RestrictPublicBuckets=True,
    )
    c.s3.put_public_access_block(
        Bucket=c.buckets["wk2"], PublicAccessBlockConfiguration=settings
    )


@mutation("aws.bucket/wk1")
def versioning_switched(c):
    now = c.s3.get_bucket_versioning(Bucket=c.buckets["wk1"]).get("Status")
    status = "Suspended" if now == "Enabled" else "Enabled"
    c.s3.put_bucket_versioning(
        Bucket=c.buckets["wk1"], VersioningConfiguration={"Status": status}
    )


@mutation("aws.bucket/wk2")
def ownership_changed(c):
    controls = {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    c.s3.put_bucket_ownership_controls(Bucket=c.buckets["wk2"], OwnershipControls=controls)


@mutation("aws.bucket/wk2")
def ownership_removed(c):
    c.s3.delete_bucket_ownership_controls(Bucket=c.buckets["wk2"])


@mutation("aws.bucket/wk1")
def bucket_tag_changed(c):
    tags = c.bucket_tags(c.buckets["wk1"])
    c.put_bucket_tags(c.buckets["wk1"], tags | {"owner": "somebody else"})


@mutation("aws.bucket/wk2")
def bucket_tags_removed(c):
    c.s3.delete_bucket_tagging(Bucket=c.buckets["wk2"])


@mutation("aws.bucket_policy/wk1")
def bucket_policy_removed(c):
    c.s3.delete_bucket_policy(Bucket=c.buckets["wk1"])


@mutation("aws.bucket_policy/wk1")
def bucket_policy_lets_a_stranger_read(c):
    bucket = c.buckets["wk1"]
    document = c.document(bucket)
    stranger = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    stranger["Principal"] = {"AWS": "arn:aws:iam::999999999999:root"}
    document["Statement"].append(stranger)
    c.put_document(bucket, document)


@mutation("aws.bucket_policy/wk2")
def bucket_policy_statement_removed(c):
    document = c.document(c.buckets["wk2"])
    document["Statement"] = document["Statement"][:-1]
    c.put_document(c.buckets["wk2"], document)


@mutation("aws.bucket/wk2")
def bucket_removed(c):
    c.s3.delete_bucket(Bucket=c.buckets["wk2"])


# The Databricks account.

SETTINGS = "databricks.private_access_settings/account.closed"


@mutation(SETTINGS)
def public_access_opened(c):
    c.replace_settings(public_access_enabled=True)


@mutation(SETTINGS)
def access_settings_renamed(c):
    c.replace_settings(private_access_settings_name="renamed-by-hand")


@mutation(SETTINGS)
def access_narrowed_to_one_endpoint(c):
    registration = next(iter(c.account.vpc_endpoints.list())).vpc_endpoint_id
    c.replace_settings(
        private_access_level=provisioning.PrivateAccessLevel.ENDPOINT,
        allowed_vpc_endpoint_ids=[registration],
    )


@mutation("databricks.workspace/wk1")
def workspace_tag_changed(c):
    c.retag_workspace("wk1", lambda tags: tags.update(owner="somebody else"))


@mutation("databricks.workspace/wk1")
def workspace_tag_added(c):
    c.retag_workspace("wk1", lambda tags: tags.update(by_hand="yes"))


@mutation("databricks.workspace/wk1")
def workspace_on_other_credentials(c):
    stranger = "by-hand-databricks"
    if stranger not in c.aws.roles():
        trust = json.dumps(c.trust())
        arn = c.iam.create_role(RoleName=stranger, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        for name in c.iam.list_role_policies(RoleName=c.role)["PolicyNames"]:
            document = c.iam.get_role_policy(RoleName=c.role, PolicyName=name)["PolicyDocument"]
            c.iam.put_role_policy(
                RoleName=stranger, PolicyName=name, PolicyDocument=json.dumps(document)
            )
        role = provisioning.CreateCredentialStsRole(role_arn=arn)
        wanted = provisioning.CreateCredentialAwsCredentials(sts_role=role)
        c.account.credentials.create(credentials_name=stranger, aws_credentials=wanted)
    other = next(x for x in c.account.credentials.list() if x.credentials_name == stranger)
    body = provisioning.Workspace(credentials_id=other.credentials_id)
    id = c.workspace("wk1").workspace_id
    c.account.workspaces.update(id, body, update_mask="credentials_id")


@mutation("databricks.workspace/wk2")
def workspace_deleted(c):
    id = c.workspace("wk2").workspace_id
    c.account.workspaces.delete(id)
    for _ in range(100):
        if all(w.workspace_id != id for w in c.account.workspaces.list()):
            return
        time.sleep(0.1)
    raise TimeoutError("the workspace stays")


@mutation("databricks.network/wk2")
def workspace_and_its_network_deleted(c):
    network = c.workspace("wk2").network_id
    workspace_deleted(c)
    c.account.networks.delete(network)


@mutation("databricks.storage_configuration/wk2")
def workspace_and_its_storage_configuration_deleted(c):
    storage = c.workspace("wk2").storage_configuration_id
    workspace_deleted(c)
    c.account.storage.delete(storage)


def mutate(spec, name):
    """Carries it out; returns the address at which it has to be noticed."""
    address, change = MUTATIONS[name]
    change(Cloud(spec))
    return address
