"""Looks at both clouds with clients that are not ours: boto3 and Databricks' Python SDK.

    verify.py prepare EXAMPLE FOLDER   makes what the example only uses, and writes to FOLDER
                                       spec.json (the example for the accounts at hand) and
                                       before.json (what is there now)
    verify.py applied SPEC.json        checks that everything the spec says is there
    verify.py empty SPEC.json          checks that all is as in the before.json beside the spec;
                                       without one, that nothing is there
    verify.py fill BUCKET              puts more into the bucket than one call can delete
    verify.py bucket NAME              makes a bucket that keeps versions
    verify.py close SPEC.json          takes the way out of the route tables that are only used
    verify.py marks SPEC.json          prints what is there, by mark or name and without ids: two
                                       clouds that had the same spec print the same
    verify.py mutations                prints the names of what can be changed behind dbxctl's back
    verify.py mutate SPEC.json NAME    changes it, and prints the address at which that shows
    verify.py serve                    reads such arguments as one JSON list a line, and answers
                                       each with [exit code, output] on one line

Prints every difference it finds and ends with 1 when there is one. Only live states count: AWS
lists deleted NAT gateways and endpoints for a while.
"""

import ipaddress
import json
import os
import re
import sys

import boto3
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError
from databricks.sdk import AccountClient
from databricks.sdk.service import provisioning

DATABRICKS_AWS_ACCOUNT = "414351767826"
LIVE = ["pendingAcceptance", "pending", "available"]
ANYWHERE = "0.0.0.0/0"

problems = []


def check(holds, what):
    if not holds:
        problems.append(what)
    return holds


def same(have, want, what):
    return check(have == want, f"{what}: {have!r}, not {want!r}")


class Aws:
    def __init__(self, region):
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 2})
        client = lambda service: boto3.client(service, region_name=region, config=config)  # noqa: E731
        self.ec2, self.iam, self.s3, self.sts = map(client, ("ec2", "iam", "s3", "sts"))

    def all(self, what, key, **arguments):
        return getattr(self.ec2, f"describe_{what}")(**arguments)[key]

    def live(self):
        """Everything of the network that lives and is not AWS's own, by type: {id: description}."""
        default = {v["VpcId"] for v in self.all("vpcs", "Vpcs") if v["IsDefault"]}
        ours = lambda items: [i for i in items if i.get("VpcId") not in default]  # noqa: E731
        nats = self.all("nat_gateways", "NatGateways")
        endpoints = self.all("vpc_endpoints", "VpcEndpoints")
        peerings = self.all("vpc_peering_connections", "VpcPeeringConnections")
        gateways = [
            g
            for g in self.all("internet_gateways", "InternetGateways")
            if not any(a["VpcId"] in default for a in g["Attachments"])
        ]
        tables = [
            t
            for t in ours(self.all("route_tables", "RouteTables"))
            if not any(a.get("Main") for a in t["Associations"])
        ]
        groups = ours(self.all("security_groups", "SecurityGroups"))
        found = {
            "VpcId": ours(self.all("vpcs", "Vpcs")),
            "SubnetId": ours(self.all("subnets", "Subnets")),
            "InternetGatewayId": gateways,
            "NatGatewayId": [n for n in nats if n["State"] in LIVE],
            "AllocationId": self.all("addresses", "Addresses"),
            "RouteTableId": tables,
            "GroupId": [g for g in groups if g["GroupName"] != "default"],
            "VpcEndpointId": [e for e in endpoints if e["State"] in LIVE],
            "VpcPeeringConnectionId": [
                p for p in peerings if p["Status"]["Code"] in ("pending-acceptance", "active")
            ],
        }
        return {key: {item[key]: item for item in items} for key, items in found.items()}

    def roles(self):
        return {r["RoleName"]: r for r in self.iam.list_roles()["Roles"]}

    def buckets(self):
        return {b["Name"] for b in self.s3.list_buckets()["Buckets"]}


# Preparing.


def prepare(example, folder):
    text = open(example, encoding="utf-8").read()
    # A variable that is not set stands for an id, and every id is replaced below.
    text = re.sub(r"\$\{env:(\w+)\}", lambda m: os.environ.get(m[1], f"unset-{m[1]}"), text)
    spec = yaml.safe_load(text)
    aws, account = Aws(spec["region"]), AccountClient()
    spec["aws"]["account"] = aws.sts.get_caller_identity()["Account"]
    spec["databricks"]["account"] = os.environ["DATABRICKS_ACCOUNT_ID"]
    used = Used(aws, spec)
    for name, vpc in (spec.get("vpcs") or {}).items():
        if vpc.get("use"):
            used.vpc(name, vpc)
    for peering in (spec.get("peerings") or {}).values():
        used.peer(peering["to"])
    for settings in (spec.get("credentials") or {}).values():
        used.credentials(settings)
    for name, workspace in (spec.get("workspaces") or {}).items():
        used.workspace(name, workspace)
    used.account_objects(account)
    write(folder, "spec.json", spec)
    write(folder, "before.json", everything(aws, account))


def bucket(s3, name):
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


def write(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)


def service_name(region, service):
    return f"com.amazonaws.{region}.{'kinesis-streams' if service == 'kinesis' else service}"


class Used:
    """Makes what a spec uses without owning it, and puts the ids in."""

    def __init__(self, aws, spec):
        self.aws, self.spec, self.ec2 = aws, spec, aws.ec2
        zones = aws.all("availability_zones", "AvailabilityZones")
        self.zones = [z["ZoneName"] for z in zones]
        # By name of the VPC in the spec.
        self.vpcs, self.free, self.tables, self.gateways = {}, {}, {}, {}

    def new_vpc(self, cidr):
        vpc = self.ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
        self.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
        return vpc

    def vpc(self, name, vpc):
        use = vpc["use"]
        cidr = use.get("cidr") or vpc.get("cidr") or "10.180.0.0/16"
        self.vpcs[name] = use["vpc"] = id = self.new_vpc(cidr)
        # From the top, where nothing is made for workspaces by default.
        size = max(ipaddress.ip_network(cidr).prefixlen + 1, 24)
        self.free[name] = list(ipaddress.ip_network(cidr).subnets(new_prefix=size))
        gateway = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(VpcId=id, InternetGatewayId=gateway)
        if "internet_gateway" in use:
            use["internet_gateway"] = gateway
        self.tables[name] = [self.table(id) for _ in use.get("route_tables") or [None]]
        if use.get("route_tables"):
            use["route_tables"] = self.tables[name]
        nats = use.get("nat_gateways") or {}
        for zone in nats:
            nats[zone] = self.nat(name, zone, gateway)
        for table in self.tables[name]:
            nat = next(iter(nats.values()), None) or self.nat(name, self.zones[0], gateway)
            self.ec2.create_route(
                RouteTableId=table, DestinationCidrBlock=ANYWHERE, NatGatewayId=nat
            )
        for subnets in ("public_subnets", "endpoint_subnets"):
            existing = (vpc.get(subnets) or {}).get("use") or {}
            for zone in existing:
                existing[zone] = self.subnet(name, zone)
        if vpc.get("endpoint_group"):
            vpc["endpoint_group"]["use"] = self.group(id, "endpoints")
        endpoints = vpc.get("use_endpoints") or {}
        for service in endpoints:
            endpoints[service] = self.endpoint(name, service)
        private = (vpc.get("private_link") or {}).get("use") or {}
        for which in private:
            private[which] = self.endpoint(name, which, f"vpce-svc-0{which.encode().hex()}")

    def table(self, vpc):
        return self.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]

    def subnet(self, name, zone):
        cidr = str(self.free[name].pop())
        wanted = dict(VpcId=self.vpcs[name], CidrBlock=cidr, AvailabilityZone=zone)
        return self.ec2.create_subnet(**wanted)["Subnet"]["SubnetId"]

    def nat(self, name, zone, gateway):
        subnet, table = self.subnet(name, zone), self.table(self.vpcs[name])
        self.ec2.create_route(
            RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId=gateway
        )
        self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        address = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
        nat = self.ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)
        return nat["NatGateway"]["NatGatewayId"]

    def group(self, vpc, name):
        wanted = dict(VpcId=vpc, GroupName=f"used-{name}", Description="made before dbxctl")
        return self.ec2.create_security_group(**wanted)["GroupId"]

    def endpoint(self, name, service, private=None):
        region, vpc = self.spec["region"], self.vpcs[name]
        full = f"com.amazonaws.vpce.{region}.{private}" if private else service_name(region, service)
        wanted = dict(VpcId=vpc, ServiceName=full)
        if service == "s3":
            wanted |= dict(VpcEndpointType="Gateway", RouteTableIds=self.tables[name])
        else:
            group = self.group(vpc, f"endpoint-{service}")
            subnets = [self.subnet(name, zone) for zone in self.zones[:2]]
            wanted |= dict(VpcEndpointType="Interface", SubnetIds=subnets)
            wanted |= dict(SecurityGroupIds=[group], PrivateDnsEnabled=True)
        return self.ec2.create_vpc_endpoint(**wanted)["VpcEndpoint"]["VpcEndpointId"]

    def peer(self, to):
        if to.get("account") or to.get("region"):
            raise SystemExit("a peer in another account or region cannot be prepared")
        to["vpc"] = self.new_vpc(to["cidr"])
        if to.get("route_tables"):
            to["route_tables"] = [self.table(to["vpc"]) for _ in to["route_tables"]]

    def role(self, arn, service):
        name = arn.rsplit("/", 1)[-1]
        statement = {"Effect": "Allow", "Principal": service, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        made = self.aws.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
        return made["Role"]["Arn"]

    def credentials(self, settings):
        if settings.get("role"):
            principal = {"AWS": f"arn:aws:iam::{DATABRICKS_AWS_ACCOUNT}:root"}
            settings["role"] = self.role(settings["role"], principal)

    def workspace(self, name, workspace):
        vpc = workspace.get("vpc")
        subnets = workspace.get("subnets") or {}
        if subnets.get("use"):
            tables = self.tables[vpc]
            made = [self.subnet(vpc, zone) for zone, _ in zip(self.zones, subnets["use"])]
            for place, subnet in enumerate(made):
                table = tables[place % len(tables)]
                self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
            subnets["use"] = made
        if workspace.get("security_group"):
            workspace["security_group"]["use"] = self.group(self.vpcs[vpc], name)
        storage = workspace.get("storage") or {}
        if storage.get("use"):
            place = {"LocationConstraint": self.spec["region"]}
            extra = {} if self.spec["region"] == "us-east-1" else {"CreateBucketConfiguration": place}
            self.aws.s3.create_bucket(Bucket=storage["use"], **extra)
        self.credentials(workspace.get("credentials") or {})
        for profile in (workspace.get("instance_profiles") or {}).values():
            if profile.get("use"):
                role = self.role(profile["use"], {"Service": "ec2.amazonaws.com"})
                profile["use"], short = role, role.rsplit("/", 1)[-1]
                self.aws.iam.create_instance_profile(InstanceProfileName=short)
                self.aws.iam.add_role_to_instance_profile(InstanceProfileName=short, RoleName=short)

    def account_objects(self, account):
        """Objects of the Databricks account that the spec uses."""
        for name, workspace in (self.spec.get("workspaces") or {}).items():
            credentials, storage = workspace.get("credentials") or {}, workspace.get("storage") or {}
            if credentials.get("use"):
                credentials["use"] = self.account_credentials(account, name)
            if storage.get("use_configuration"):
                info = provisioning.RootBucketInfo(bucket_name=f"used-{name}")
                made = account.storage.create(
                    storage_configuration_name=f"used-{name}", root_bucket_info=info
                )
                storage["use_configuration"] = made.storage_configuration_id
        for name, shared in (self.spec.get("credentials") or {}).items():
            if shared.get("use"):
                shared["use"] = self.account_credentials(account, f"shared-{name}")

    def account_credentials(self, account, name):
        principal = {"AWS": f"arn:aws:iam::{DATABRICKS_AWS_ACCOUNT}:root"}
        role = provisioning.CreateCredentialStsRole(role_arn=self.role(f"used-{name}", principal))
        wanted = provisioning.CreateCredentialAwsCredentials(sts_role=role)
        made = account.credentials.create(credentials_name=f"used-{name}", aws_credentials=wanted)
        return made.credentials_id


# Checking what was applied.


def applied(spec):
    aws, account = Aws(spec["region"]), AccountClient()
    live = aws.live()
    wanted = spec.get("workspaces") or {}
    found = {w.workspace_name: w for w in account.workspaces.list()}
    names = {w.get("display_name") or f"{spec['name']}-{name}": name for name, w in wanted.items()}
    same(sorted(found), sorted(names), "workspaces")
    networks = {n.network_id: n for n in account.networks.list()}
    for name, vpc in (spec.get("vpcs") or {}).items():
        check_vpc(spec, aws, live, name, vpc, networks)
    for shown in sorted(set(found) & set(names)):
        check_workspace(spec, aws, live, account, networks, names[shown], found[shown])
    for credentials in account.credentials.list():
        check_credentials(spec, aws, credentials)
    for name, peering in (spec.get("peerings") or {}).items():
        check_peering(spec, live, name, peering)


def own_tags(spec, resource, what):
    tags = {t["Key"]: t["Value"] for t in resource.get("Tags", [])}
    check(tags.get("dbxctl:stack"), f"{what} has no mark: {tags}")
    check(tags.get("dbxctl:address"), f"{what} has no address: {tags}")
    for key, value in (spec.get("tags") or {}).items():
        same(tags.get(key), str(value), f"tag {key} of {what}")


def check_vpc(spec, aws, live, name, vpc, networks):
    if vpc.get("use"):
        id = vpc["use"]["vpc"]
        check(id in live["VpcId"], f"used VPC {id} is gone")
    else:
        ids = [id for id, v in live["VpcId"].items() if v["CidrBlock"] == vpc["cidr"]]
        if not same(len(ids), 1, f"VPCs with {vpc['cidr']} for {name}"):
            return
        id = ids[0]
        own_tags(spec, live["VpcId"][id], id)
        for attribute in ("enableDnsSupport", "enableDnsHostnames"):
            answer = aws.ec2.describe_vpc_attribute(VpcId=id, Attribute=attribute)
            value = answer[attribute[0].upper() + attribute[1:]]["Value"]
            same(value, True, f"{attribute} of {id}")
        zones = len(vpc["zones"])
        nats = [n for n in live["NatGatewayId"].values() if n["VpcId"] == id]
        count = {"single": 1, "per_zone": zones, "none": 0}[vpc.get("nat") or "single"]
        same(len(nats), count, f"NAT gateways of {id}")
        for nat in nats:
            same(nat["State"], "available", nat["NatGatewayId"])
            own_tags(spec, nat, nat["NatGatewayId"])
            same(way_out(live, nat["SubnetId"], id), "internet gateway", f"way out of {nat['SubnetId']}")
    endpoints = [e for e in live["VpcEndpointId"].values() if e["VpcId"] == id]
    used = vpc.get("use_endpoints") or {}
    for service in set(vpc.get("endpoints", ["s3", "sts", "kinesis"])) - set(used):
        full = service_name(spec["region"], service)
        own = [e for e in endpoints if e["ServiceName"] == full]
        if same(len(own), 1, f"endpoints to {full} in {id}"):
            check_endpoint(spec, live, own[0])
    if (vpc.get("private_link") or {}).get("backend"):
        private = [e for e in endpoints if ".vpce-svc-" in e["ServiceName"]]
        check(len({e["ServiceName"] for e in private}) >= 2, f"{id} lacks private endpoints")
        # A second endpoint to the REST service, for users, cannot have private DNS as well.
        for service in {e["ServiceName"] for e in private}:
            dns = [e["PrivateDnsEnabled"] for e in private if e["ServiceName"] == service]
            same(dns.count(True), 1, f"endpoints with private DNS to {service} in {id}")
        for endpoint in private:
            check_endpoint(spec, live, endpoint, private_dns=False)


def check_endpoint(spec, live, endpoint, private_dns=True):
    id = endpoint["VpcEndpointId"]
    same(endpoint["State"], "available", id)
    if id not in json.dumps(spec):
        own_tags(spec, endpoint, id)
    if endpoint["VpcEndpointType"] == "Gateway":
        check(endpoint["RouteTableIds"], f"{id} has no route tables")
        return
    if private_dns:
        same(endpoint["PrivateDnsEnabled"], True, f"private DNS of {id}")
    zones = [live["SubnetId"][s]["AvailabilityZone"] for s in endpoint["SubnetIds"]]
    check(zones and len(zones) == len(set(zones)), f"zones of {id}: {zones}")
    check(endpoint["Groups"], f"{id} has no security group")


def way_out(live, subnet, vpc):
    """Where a subnet's default route leads."""
    for table in live["RouteTableId"].values():
        if table["VpcId"] == vpc and any(a.get("SubnetId") == subnet for a in table["Associations"]):
            for route in table["Routes"]:
                if route.get("DestinationCidrBlock") == ANYWHERE:
                    if route.get("NatGatewayId") in live["NatGatewayId"]:
                        return "NAT gateway"
                    if route.get("GatewayId") in live["InternetGatewayId"]:
                        return "internet gateway"
                    return f"broken: {route}"
            return "none"
    return "no route table"


def check_workspace(spec, aws, live, account, networks, name, workspace):
    wanted = spec["workspaces"][name]
    what = f"workspace {name}"
    same(workspace.workspace_status.value, "RUNNING", what)
    same(workspace.aws_region, spec["region"], f"region of {what}")
    tags = {**(spec.get("tags") or {}), **(wanted.get("tags") or {})}
    for key, value in tags.items():
        same((workspace.custom_tags or {}).get(key), str(value), f"tag {key} of {what}")
    check_storage(spec, aws, account, name, workspace)

    vpc = (spec.get("vpcs") or {}).get(wanted.get("vpc"))
    same(workspace.network_id is not None, vpc is not None, f"{what} has a network")
    if vpc is None or workspace.network_id is None:
        return
    private = vpc.get("private_link") or {}
    backend = wanted.get("private_link", private.get("backend", False))
    frontend = wanted.get("private_link") is not False and private.get("frontend", False)
    network = networks[workspace.network_id]
    check_network(live, wanted, what, vpc, network)
    registrations = {r.vpc_endpoint_id: r for r in account.vpc_endpoints.list()}
    check_private_link(live, what, network, registrations, backend)

    settings_id = workspace.private_access_settings_id
    public = wanted.get("public_access", True)
    if backend or frontend or not public:
        if check(settings_id, f"{what} has no private access settings"):
            settings = account.private_access.get(settings_id)
            same(bool(settings.public_access_enabled), public, f"public access of {what}")
            same(settings.region, spec["region"], f"region of the access settings of {what}")
            asked = wanted.get("private_access") or {}
            shared = (spec.get("private_access_settings") or {}).get(asked.get("shared"), asked)
            level = (shared.get("level") or "account").upper()
            same(settings.private_access_level.value, level, f"access level of {what}")
            allowed = set(settings.allowed_vpc_endpoint_ids or [])
            same(bool(allowed), level == "ENDPOINT", f"{what} has a list of endpoints")
            check(allowed <= set(registrations), f"{what} allows unknown endpoints: {allowed}")
    else:
        same(settings_id, None, f"private access settings of {what}")
    if not public:
        check(backend, f"{what} is closed to the internet without private nodes")

    nat = vpc.get("nat") or ("none" if vpc.get("use") else "single")
    for subnet in network.subnet_ids:
        out = way_out(live, subnet, network.vpc_id)
        if not vpc.get("use"):
            same(out, "none" if nat == "none" else "NAT gateway", f"way out of {subnet}")
    if not wanted.get("security_group"):
        check_cluster_group(live, what, network, backend, nat)


def check_network(live, wanted, what, vpc, network):
    same(network.vpc_status.value, "VALID", f"network of {what}: {network.error_messages}")
    subnets = [live["SubnetId"].get(s) for s in network.subnet_ids]
    if not check(all(subnets), f"{what} has subnets that are gone: {network.subnet_ids}"):
        return
    check(all(s["VpcId"] == network.vpc_id for s in subnets), f"{what}: subnets of another VPC")
    zones = sorted(s["AvailabilityZone"] for s in subnets)
    check(len(zones) >= 2 and len(zones) == len(set(zones)), f"zones of {what}: {zones}")
    asked = wanted.get("subnets") or {}
    if vpc.get("zones") and not any(asked.get(k) for k in ("use", "cidrs", "share", "zones")):
        same(zones, sorted(vpc["zones"]), f"zones of {what}")
    for zone, cidr in (asked.get("cidrs") or {}).items():
        same([s["CidrBlock"] for s in subnets if s["AvailabilityZone"] == zone], [cidr], what)
    if asked.get("use"):
        same(sorted(network.subnet_ids), sorted(asked["use"]), f"subnets of {what}")
    for subnet in subnets:
        size = ipaddress.ip_network(subnet["CidrBlock"])
        check(17 <= size.prefixlen <= 26, f"{subnet['SubnetId']} is a /{size.prefixlen}")
        nodes = asked.get("nodes_per_zone")
        # Two addresses per node, and AWS keeps five.
        check(not nodes or (size.num_addresses - 5) // 2 >= nodes, f"{size} is too small for {nodes}")
        same(subnet["MapPublicIpOnLaunch"], False, f"public addresses in {subnet['SubnetId']}")
    check(1 <= len(network.security_group_ids) <= 5, f"groups of {what}")


def check_private_link(live, what, network, registrations, backend):
    endpoints = network.vpc_endpoints
    rest = (endpoints and endpoints.rest_api) or []
    relay = (endpoints and endpoints.dataplane_relay) or []
    same((len(rest), len(relay)), (1, 1) if backend else (0, 0), f"private endpoints of {what}")
    group_id = network.security_group_ids[0]
    for ids, ports in ((rest, [443]), (relay, [6666])):
        for id in ids:
            registration = registrations[id]
            same(registration.state.lower(), "available", f"registration {id}")
            endpoint = live["VpcEndpointId"].get(registration.aws_vpc_endpoint_id)
            if not check(endpoint, f"{registration.aws_vpc_endpoint_id} of {what} is gone"):
                continue
            same(endpoint["VpcId"], network.vpc_id, f"VPC of {endpoint['VpcEndpointId']}")
            groups = [live["GroupId"][g["GroupId"]] for g in endpoint["Groups"]]
            rules = [r for g in groups for r in g["IpPermissions"]]
            for port in ports:
                admitted = any(admits(r, port, group_id, network, live) for r in rules)
                check(admitted, f"{endpoint['VpcEndpointId']} does not admit {what} on {port}")
    if backend:
        same(len(set(rest + relay)), 2, f"different private endpoints of {what}")


def admits(rule, port, group, network, live):
    """Whether an ingress rule lets the nodes of a network in."""
    if rule["IpProtocol"] != "-1":
        if rule["IpProtocol"] != "tcp" or not rule["FromPort"] <= port <= rule["ToPort"]:
            return False
    if any(pair["GroupId"] == group for pair in rule["UserIdGroupPairs"]):
        return True
    ranges = [ipaddress.ip_network(r["CidrIp"]) for r in rule["IpRanges"]]
    subnets = [ipaddress.ip_network(live["SubnetId"][s]["CidrBlock"]) for s in network.subnet_ids]
    return all(any(s.subnet_of(r) for r in ranges) for s in subnets)


def check_cluster_group(live, what, network, backend, nat):
    group = live["GroupId"].get(network.security_group_ids[0])
    if not check(group, f"the security group of {what} is gone"):
        return
    id = group["GroupId"]
    for direction in ("IpPermissions", "IpPermissionsEgress"):
        for protocol in ("tcp", "udp"):
            free = [
                r
                for r in group[direction]
                if r["IpProtocol"] in (protocol, "-1")
                and any(p["GroupId"] == id for p in r["UserIdGroupPairs"])
                and (r["IpProtocol"] == "-1" or (r["FromPort"], r["ToPort"]) == (0, 65535))
            ]
            check(free, f"{what}: {protocol} within {id} is not free in {direction}")
    for rule in group["IpPermissions"]:
        for opened in rule["IpRanges"] + rule.get("Ipv6Ranges", []):
            check(False, f"{what}: {id} admits {opened}")
    for port in [443, 8443, 8444, 8451] + ([6666, 2443] if backend else []):
        leaves = [
            r
            for r in group["IpPermissionsEgress"]
            if r["IpProtocol"] == "-1"
            or (r["IpProtocol"] == "tcp" and r["FromPort"] <= port <= r["ToPort"])
        ]
        outside = [
            r
            for r in leaves
            if r["IpRanges"]
            or r["PrefixListIds"]
            or any(p["GroupId"] != id for p in r["UserIdGroupPairs"])
        ]
        check(outside, f"{what}: {port} cannot leave {id}")
    default = [r for r in group["IpPermissionsEgress"] if r["IpProtocol"] == "-1" and r["IpRanges"]]
    check(not default, f"{what}: AWS's own allow-all rule is still in {id}")


def check_credentials(spec, aws, credentials):
    arn = credentials.aws_credentials.sts_role.role_arn
    what = f"role of {credentials.credentials_name}"
    role = next((r for r in aws.roles().values() if r["Arn"] == arn), None)
    if not check(role, f"{what}: {arn} does not exist") or role["RoleName"].startswith("used-"):
        return
    if not role_is_ours(aws, role["RoleName"]):
        return
    trust = role["AssumeRolePolicyDocument"]
    statements = trust["Statement"] if isinstance(trust["Statement"], list) else [trust["Statement"]]
    text = json.dumps(statements)
    check(f":iam::{DATABRICKS_AWS_ACCOUNT}:root" in text, f"{what} does not trust Databricks: {text}")
    ids = [s.get("Condition", {}).get("StringEquals", {}).get("sts:ExternalId") for s in statements]
    account = spec["databricks"]["account"]
    check(account in ids or [account] in ids, f"{what}: external id is {ids}")
    inline = aws.iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
    actions = json.dumps(
        [aws.iam.get_role_policy(RoleName=role["RoleName"], PolicyName=n)["PolicyDocument"] for n in inline]
    )
    for action in ("ec2:RunInstances", "ec2:TerminateInstances", "iam:CreateServiceLinkedRole"):
        check(action in actions, f"{what} lacks {action}")


def check_peering(spec, live, name, peering):
    found = [
        p
        for p in live["VpcPeeringConnectionId"].values()
        if p["AccepterVpcInfo"]["VpcId"] == peering["to"]["vpc"]
    ]
    if not same(len(found), 1, f"peerings {name}"):
        return
    connection, here = found[0], found[0]["RequesterVpcInfo"]
    id = connection["VpcPeeringConnectionId"]
    same(connection["Status"]["Code"], "active", id)
    own_tags(spec, connection, id)
    ways = {
        table: {r["DestinationCidrBlock"] for r in t["Routes"] if r.get("VpcPeeringConnectionId") == id}
        for table, t in live["RouteTableId"].items()
    }
    for table in peering["to"].get("route_tables") or []:
        same(ways[table], {here["CidrBlock"]}, f"ways of {table} over {id}")
    there = peering["to"]["cidr"]
    leading = [t for t, w in ways.items() if live["RouteTableId"][t]["VpcId"] == here["VpcId"] and there in w]
    check(leading, f"no route in {here['VpcId']} leads over {id}")


def role_is_ours(aws, name):
    tags = aws.iam.list_role_tags(RoleName=name)["Tags"]
    return any(t["Key"] == "dbxctl:stack" for t in tags)


def check_storage(spec, aws, account, name, workspace):
    wanted = spec["workspaces"][name].get("storage") or {}
    if wanted.get("use_configuration"):
        same(workspace.storage_configuration_id, wanted["use_configuration"], f"storage of {name}")
        return
    storage = account.storage.get(workspace.storage_configuration_id)
    bucket = storage.root_bucket_info.bucket_name
    default = f"{spec['name']}-{name}-root-{spec['aws']['account']}"
    same(bucket, wanted.get("use") or wanted.get("bucket") or default, f"bucket of {name}")
    if not check(bucket in aws.buckets(), f"bucket {bucket} does not exist") or wanted.get("use"):
        return
    s3 = aws.s3
    place = s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] or "us-east-1"
    same(place, spec["region"], f"region of {bucket}")
    try:
        block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        check(all(block.values()), f"{bucket} may become public: {block}")
        rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        method = rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]
        same(method, "aws:kms" if wanted.get("kms_key") else "AES256", f"encryption of {bucket}")
        tags = s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
        own_tags(spec, {"Tags": tags}, bucket)
        versions = s3.get_bucket_versioning(Bucket=bucket).get("Status", "none")
        same(versions == "Enabled", bool(wanted.get("versioning")), f"versioning of {bucket}")
        policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    except ClientError as error:
        check(False, f"{bucket}: {error}")
        return
    for part in (f":iam::{DATABRICKS_AWS_ACCOUNT}:root", spec["databricks"]["account"], bucket):
        check(part in policy, f"policy of {bucket} does not name {part}")


# Checking that all is gone.


def empty(spec, before):
    """Compares with what was there before the spec was applied for the first time."""
    now = everything(Aws(spec["region"]), AccountClient())
    for kind, names in now.items():
        for name in sorted(set(names) - set(before.get(kind, []))):
            check(False, f"{kind} {name} is left")
        for name in sorted(set(before.get(kind, [])) - set(names)):
            check(False, f"{kind} {name} was there before and is gone")


def everything(aws, account):
    """What is live in both clouds: names or ids by type."""
    live = aws.live()
    found = {kind: sorted(items) for kind, items in live.items()}
    found["route"] = [
        f"{id} to {route['DestinationCidrBlock']}"
        for id, table in live["RouteTableId"].items()
        for route in table["Routes"]
        if "DestinationCidrBlock" in route
    ]
    found["role"] = sorted(aws.roles())
    profiles = aws.iam.list_instance_profiles()["InstanceProfiles"]
    found["instance profile"] = [p["InstanceProfileName"] for p in profiles]
    found["bucket"] = sorted(aws.buckets())
    for kind, objects, name in account_objects(account):
        found[kind] = [getattr(item, name) for item in objects.list()]
    return found


def marks(spec):
    """What is live in both clouds, one line each, by mark or name."""
    aws, account = Aws(spec["region"]), AccountClient()
    live = aws.live()

    def name(item):
        tags = {t["Key"]: t["Value"] for t in item.get("Tags", [])}
        return tags.get("dbxctl:address", "not ours")

    names = {id: name(item) for items in live.values() for id, item in items.items()}
    lines = [f"{kind} {names[id]}" for kind, items in live.items() for id in items]
    for id, table in live["RouteTableId"].items():
        for route in table["Routes"]:
            to = route.get("DestinationCidrBlock") or "prefix list"
            via = [names.get(route.get(key)) for key in ("GatewayId", "NatGatewayId")]
            lines.append(f"route of {names[id]} to {to} via {[v for v in via if v]}")
        subnets = [names.get(a.get("SubnetId")) for a in table["Associations"]]
        lines.append(f"{names[id]} is for {sorted(s for s in subnets if s)}")
    for id, group in live["GroupId"].items():
        for way in ("IpPermissions", "IpPermissionsEgress"):
            lines.append(f"{way} of {names[id]}: {len(group[way])}")
    lines += [f"role {role}" for role in aws.roles()]
    profiles = aws.iam.list_instance_profiles()["InstanceProfiles"]
    lines += [f"instance profile {p['InstanceProfileName']}" for p in profiles]
    lines += [f"bucket {bucket}" for bucket in aws.buckets()]
    for what, objects, field in account_objects(account):
        lines += [f"{what} {getattr(item, field)}" for item in objects.list()]
    return "\n".join(sorted(lines))


def account_objects(account):
    return [
        ("workspace", account.workspaces, "workspace_name"),
        ("network", account.networks, "network_name"),
        ("credentials", account.credentials, "credentials_name"),
        ("storage configuration", account.storage, "storage_configuration_name"),
        ("registration", account.vpc_endpoints, "vpc_endpoint_name"),
        ("private access settings", account.private_access, "private_access_settings_name"),
    ]


def fill(bucket):
    """Puts more into the bucket than one call can delete, some of it in several versions."""
    s3 = Aws("us-east-1").s3
    # The policy refuses plain HTTP, which is all the emulator has.
    policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    s3.delete_bucket_policy(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for number in range(1001):
        s3.put_object(Bucket=bucket, Key=f"object {number}", Body=b"x")
    s3.put_object(Bucket=bucket, Key="object 1", Body=b"again")
    s3.delete_object(Bucket=bucket, Key="object 2")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)


def close(spec):
    """Takes the way out of every route table that the spec only uses."""
    ec2 = Aws(spec["region"]).ec2
    for vpc in spec["vpcs"].values():
        for table in vpc.get("use", {}).get("route_tables", []):
            ec2.delete_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE)


def before(path):
    path = os.path.join(os.path.dirname(path), "before.json")
    return json.load(open(path, encoding="utf-8")) if os.path.exists(path) else {}


def main(arguments):
    """Does what the arguments say; returns the exit code and the output."""
    problems.clear()
    output = []
    match arguments:
        case ["prepare", example, folder]:
            prepare(example, folder)
        case ["applied", path]:
            applied(json.load(open(path, encoding="utf-8")))
        case ["bucket", name]:
            bucket(Aws(os.environ["AWS_REGION"]).s3, name)
        case ["empty", path]:
            empty(json.load(open(path, encoding="utf-8")), before(path))
        case ["fill", name]:
            fill(name)
        case ["close", path]:
            close(json.load(open(path, encoding="utf-8")))
        case ["marks", path]:
            output.append(marks(json.load(open(path, encoding="utf-8"))))
        case ["disturbances"]:
            import fleet

            output.extend(fleet.DISTURBANCES)
        case ["disturb", path, name]:
            import fleet

            fleet.disturb(json.load(open(path, encoding="utf-8")), name)
        case ["look", path]:
            import fleet

            output.append(fleet.look(json.load(open(path, encoding="utf-8"))))
        case ["mutations"]:
            import mutations

            output.extend(mutations.MUTATIONS)
        case ["mutate", path, name]:
            import mutations

            output.append(mutations.mutate(json.load(open(path, encoding="utf-8")), name))
        case _:
            sys.exit(__doc__)
    return (1 if problems else 0), "\n".join(output + problems)


def serve():
    for line in sys.stdin:
        try:
            answer = main(json.loads(line))
        except Exception as error:  # Told to the test, which fails with it.
            answer = (2, f"{type(error).__name__}: {error}")
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        code, text = main(sys.argv[1:])
        if text:
            print(text)
        sys.exit(code)
