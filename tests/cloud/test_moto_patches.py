"""What the patched moto promises, asked with boto3; run by `cargo xtask test`.

A patch that no longer takes effect would make the tests on top of it weaker without a sound.
"""

import json
import os
import subprocess
import sys
import time
import unittest

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

HERE = os.path.dirname(os.path.abspath(__file__))
DELAY = 0.4


class Patched(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.log = open(os.devnull, "w")
        cls.moto = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "launch_moto.py"), "--patched", "--delay", str(DELAY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=cls.log,
            text=True,
        )
        url = cls.moto.stdout.readline().split()[-1]
        settings = dict(
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )
        cls.ec2, cls.iam, cls.s3 = (boto3.client(s, **settings) for s in ("ec2", "iam", "s3"))

    @classmethod
    def tearDownClass(cls):
        cls.moto.stdin.close()
        cls.moto.wait(10)
        cls.moto.stdout.close()
        cls.log.close()

    def refused(self, code, call, **arguments):
        with self.assertRaises(ClientError) as refusal:
            call(**arguments)
        self.assertEqual(refusal.exception.response["Error"]["Code"], code)

    def test_network_in_use_and_gone(self):
        ec2 = self.ec2
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(VpcId=vpc, InternetGatewayId=gateway)
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
        address = ec2.allocate_address(Domain="vpc")["AllocationId"]
        tags = [{"ResourceType": "natgateway", "Tags": [{"Key": "who", "Value": "me"}]}]
        wanted = dict(
            SubnetId=subnet, AllocationId=address, ClientToken="one", TagSpecifications=tags
        )
        nat = ec2.create_nat_gateway(**wanted)["NatGateway"]
        self.assertEqual(nat["State"], "pending")
        nat = nat["NatGatewayId"]
        self.assertEqual(ec2.create_nat_gateway(**wanted)["NatGateway"]["NatGatewayId"], nat)
        for value, found in [("me", 1), ("you", 0)]:
            filters = [{"Name": "tag:who", "Values": [value]}]
            self.assertEqual(len(ec2.describe_nat_gateways(Filters=filters)["NatGateways"]), found)
        self.refused("NatGatewayNotFound", ec2.describe_nat_gateways, NatGatewayIds=["nat-0"])
        self.refused("NatGatewayNotFound", ec2.delete_nat_gateway, NatGatewayId="nat-0")

        groups = [
            ec2.create_security_group(VpcId=vpc, GroupName=name, Description=name)["GroupId"]
            for name in ("a", "b")
        ]
        rule = {
            "IpProtocol": "tcp",
            "FromPort": 1,
            "ToPort": 2,
            "UserIdGroupPairs": [{"GroupId": groups[0]}],
        }
        ec2.authorize_security_group_ingress(GroupId=groups[1], IpPermissions=[rule])
        endpoint = ec2.create_vpc_endpoint(
            VpcId=vpc,
            ServiceName="com.amazonaws.vpce.us-east-1.vpce-svc-0abc",
            VpcEndpointType="Interface",
            SubnetIds=[subnet],
            SecurityGroupIds=[groups[1]],
            PrivateDnsEnabled=False,
        )["VpcEndpoint"]
        self.assertEqual(endpoint["State"], "pendingAcceptance")
        endpoint = endpoint["VpcEndpointId"]
        ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, PrivateDnsEnabled=True)
        time.sleep(DELAY)
        seen = ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint])["VpcEndpoints"][0]
        self.assertEqual((seen["State"], seen["PrivateDnsEnabled"]), ("available", True))

        self.refused("DependencyViolation", ec2.delete_security_group, GroupId=groups[0])
        self.refused("DependencyViolation", ec2.delete_security_group, GroupId=groups[1])
        self.refused("DependencyViolation", ec2.delete_subnet, SubnetId=subnet)
        self.refused("DependencyViolation", ec2.delete_vpc, VpcId=vpc)
        self.refused("InvalidIPAddress.InUse", ec2.release_address, AllocationId=address)
        self.refused(
            "DependencyViolation", ec2.detach_internet_gateway, VpcId=vpc, InternetGatewayId=gateway
        )

        ec2.delete_nat_gateway(NatGatewayId=nat)
        ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])
        state = ec2.describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"][0]["State"]
        self.assertEqual(state, "deleting")
        self.refused("DependencyViolation", ec2.delete_subnet, SubnetId=subnet)
        time.sleep(2 * DELAY)
        self.refused(
            "InvalidVpcEndpointId.NotFound", ec2.describe_vpc_endpoints, VpcEndpointIds=[endpoint]
        )
        ec2.release_address(AllocationId=address)
        ec2.delete_subnet(SubnetId=subnet)
        ec2.detach_internet_gateway(VpcId=vpc, InternetGatewayId=gateway)
        self.refused("DependencyViolation", ec2.delete_vpc, VpcId=vpc)
        for group in reversed(groups):
            ec2.delete_security_group(GroupId=group)
        ec2.delete_vpc(VpcId=vpc)

    def test_pages(self):
        for n in range(12):
            self.ec2.create_vpc(CidrBlock=f"10.{n}.0.0/16")
        pages = self.ec2.get_paginator("describe_vpcs").paginate(PaginationConfig={"PageSize": 5})
        sizes = [len(page["Vpcs"]) for page in pages]
        self.assertGreater(len(sizes), 2)
        self.assertTrue(all(size <= 5 for size in sizes), sizes)

    def test_self_assuming_role(self):
        arn = "arn:aws:iam::123456789012:role/mine"
        statement = {"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        statement["Principal"] = {"AWS": "arn:aws:iam::414351767826:role/theirs"}
        foreign = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        policy = "MalformedPolicyDocument"
        make = dict(RoleName="mine", AssumeRolePolicyDocument=document)
        update = dict(RoleName="mine", PolicyDocument=document)
        self.refused(policy, self.iam.create_role, **make)
        self.iam.create_role(RoleName="mine", AssumeRolePolicyDocument=foreign)
        self.refused(policy, self.iam.update_assume_role_policy, **update)
        time.sleep(DELAY)
        self.iam.update_assume_role_policy(**update)

    def test_conditional_write(self):
        self.s3.create_bucket(Bucket="locks")
        self.s3.put_object(Bucket="locks", Key="a", Body=b"1", IfNoneMatch="*")
        self.refused(
            "PreconditionFailed",
            self.s3.put_object,
            Bucket="locks",
            Key="a",
            Body=b"2",
            IfNoneMatch="*",
        )


if __name__ == "__main__":
    unittest.main()
