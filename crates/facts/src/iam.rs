//! What the role with which Databricks works in an AWS account may do.
//!
//! Source: Databricks' Terraform provider (684f442), the three policy types of its cross-account
//! policy; the statements R1 to R10 scope the restricted one.

/// What an action is needed for, and how narrowly it can be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Only to build networks: for VPCs that Databricks manages.
    NetworkBuilding,
    /// For clusters; cannot be scoped.
    Anywhere,
    /// For clusters; the restricted policy grants it in a scoped statement.
    Scoped,
}
use Use::{Anywhere, NetworkBuilding, Scoped};

/// Actions on `*` for a VPC that Databricks manages.
pub fn managed() -> Vec<String> {
    actions(|_| true)
}

/// Actions on `*` for a VPC of the customer.
pub fn customer() -> Vec<String> {
    actions(|u| u != NetworkBuilding)
}

/// Actions on `*` in the restricted policy; [`RESTRICTED`] has the rest.
pub fn restricted() -> Vec<String> {
    actions(|u| u == Anywhere)
}

fn actions(wanted: impl Fn(Use) -> bool) -> Vec<String> {
    let wanted = EC2.iter().filter(|(_, u)| wanted(*u));
    wanted.map(|(action, _)| format!("ec2:{action}")).collect()
}

/// The condition of a scoped statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// None: the resources say it all.
    Nothing,
    /// `ec2:ResourceTag/Vendor` is `Databricks`.
    Ec2ResourceTag,
    /// `aws:ResourceTag/Vendor` is `Databricks`.
    AwsResourceTag,
    /// `aws:RequestTag/Vendor` is `Databricks`.
    RequestTag,
    /// `ec2:vpc` is the ARN of the VPC.
    Vpc,
}

/// A scoped statement of the restricted policy.
#[derive(Debug, Clone, Copy)]
pub struct ScopedStatement {
    pub sid: &'static str,
    /// Without the prefix `ec2:`.
    pub actions: &'static [&'static str],
    /// Types of EC2 resources in the region and account (`image` in any account). `SG` stands for
    /// the workspace's security group.
    pub resources: &'static [&'static str],
    /// Whether the statement is about all resources but those.
    pub others: bool,
    pub scope: Scope,
}

/// The statements R1 to R10 of the restricted policy.
pub const RESTRICTED: [ScopedStatement; 10] = [
    scoped(
        "InstancePoolsSupport",
        &[
            "AssociateIamInstanceProfile",
            "DisassociateIamInstanceProfile",
            "ReplaceIamInstanceProfileAssociation",
        ],
        &["instance"],
        Scope::Ec2ResourceTag,
    ),
    scoped("AllowEc2RunInstancePerTag", RUN, &["volume", "instance"], Scope::RequestTag),
    scoped("AllowEc2RunInstanceImagePerTag", RUN, &["image"], Scope::AwsResourceTag),
    scoped(
        "AllowEc2RunInstancePerVPCid",
        RUN,
        &["network-interface", "subnet", "security-group"],
        Scope::Vpc,
    ),
    ScopedStatement {
        sid: "AllowEc2RunInstanceOtherResources",
        actions: RUN,
        resources: &[
            "image",
            "network-interface",
            "subnet",
            "security-group",
            "volume",
            "instance",
        ],
        others: true,
        scope: Scope::Nothing,
    },
    scoped(
        "EC2TerminateInstancesTag",
        &["TerminateInstances"],
        &["instance"],
        Scope::Ec2ResourceTag,
    ),
    scoped(
        "EC2AttachDetachVolumeTag",
        &["AttachVolume", "DetachVolume"],
        &["instance", "volume"],
        Scope::Ec2ResourceTag,
    ),
    scoped("EC2CreateVolumeByTag", &["CreateVolume"], &["volume"], Scope::RequestTag),
    scoped("EC2DeleteVolumeByTag", &["DeleteVolume"], &["volume"], Scope::Ec2ResourceTag),
    scoped(
        "VpcNonresourceSpecificActions",
        &[
            "AuthorizeSecurityGroupEgress",
            "AuthorizeSecurityGroupIngress",
            "RevokeSecurityGroupEgress",
            "RevokeSecurityGroupIngress",
        ],
        &["SG"],
        Scope::Vpc,
    ),
];

const RUN: &[&str] = &["RunInstances"];

const fn scoped(
    sid: &'static str,
    actions: &'static [&'static str],
    resources: &'static [&'static str],
    scope: Scope,
) -> ScopedStatement {
    ScopedStatement { sid, actions, resources, others: false, scope }
}

/// What Databricks may do with the objects of a root bucket.
pub const ROOT_BUCKET: [&str; 6] = [
    "s3:DeleteObject",
    "s3:GetBucketLocation",
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:ListBucket",
    "s3:PutObject",
];

/// What Unity Catalog's storage role may do with its bucket: data, multipart uploads, lifecycle.
pub const CATALOG_BUCKET: [&str; 10] = [
    "s3:AbortMultipartUpload",
    "s3:DeleteObject",
    "s3:GetBucketLocation",
    "s3:GetLifecycleConfiguration",
    "s3:GetObject",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:ListMultipartUploadParts",
    "s3:PutLifecycleConfiguration",
    "s3:PutObject",
];

const EC2: [(&str, Use); 76] = [
    ("AllocateAddress", NetworkBuilding),
    ("AssignPrivateIpAddresses", Anywhere),
    ("AssociateDhcpOptions", NetworkBuilding),
    ("AssociateIamInstanceProfile", Scoped),
    ("AssociateRouteTable", NetworkBuilding),
    ("AttachInternetGateway", NetworkBuilding),
    ("AttachVolume", Scoped),
    ("AuthorizeSecurityGroupEgress", Scoped),
    ("AuthorizeSecurityGroupIngress", Scoped),
    ("CancelSpotInstanceRequests", Anywhere),
    ("CreateDhcpOptions", NetworkBuilding),
    ("CreateFleet", Anywhere),
    ("CreateInternetGateway", NetworkBuilding),
    ("CreateLaunchTemplate", Anywhere),
    ("CreateLaunchTemplateVersion", Anywhere),
    ("CreateNatGateway", NetworkBuilding),
    ("CreateRoute", NetworkBuilding),
    ("CreateRouteTable", NetworkBuilding),
    ("CreateSecurityGroup", NetworkBuilding),
    ("CreateSubnet", NetworkBuilding),
    ("CreateTags", Anywhere),
    ("CreateVolume", Scoped),
    ("CreateVpc", NetworkBuilding),
    ("CreateVpcEndpoint", NetworkBuilding),
    ("DeleteDhcpOptions", NetworkBuilding),
    ("DeleteFleets", Anywhere),
    ("DeleteInternetGateway", NetworkBuilding),
    ("DeleteLaunchTemplate", Anywhere),
    ("DeleteLaunchTemplateVersions", Anywhere),
    ("DeleteNatGateway", NetworkBuilding),
    ("DeleteRoute", NetworkBuilding),
    ("DeleteRouteTable", NetworkBuilding),
    ("DeleteSecurityGroup", NetworkBuilding),
    ("DeleteSubnet", NetworkBuilding),
    ("DeleteTags", Anywhere),
    ("DeleteVolume", Scoped),
    ("DeleteVpc", NetworkBuilding),
    ("DeleteVpcEndpoints", NetworkBuilding),
    ("DescribeAvailabilityZones", Anywhere),
    ("DescribeFleetHistory", Anywhere),
    ("DescribeFleetInstances", Anywhere),
    ("DescribeFleets", Anywhere),
    ("DescribeIamInstanceProfileAssociations", Anywhere),
    ("DescribeInstanceStatus", Anywhere),
    ("DescribeInstances", Anywhere),
    ("DescribeInternetGateways", Anywhere),
    ("DescribeLaunchTemplateVersions", Anywhere),
    ("DescribeLaunchTemplates", Anywhere),
    ("DescribeNatGateways", Anywhere),
    ("DescribeNetworkAcls", Anywhere),
    ("DescribePrefixLists", Anywhere),
    ("DescribeReservedInstancesOfferings", Anywhere),
    ("DescribeRouteTables", Anywhere),
    ("DescribeSecurityGroups", Anywhere),
    ("DescribeSpotInstanceRequests", Anywhere),
    ("DescribeSpotPriceHistory", Anywhere),
    ("DescribeSubnets", Anywhere),
    ("DescribeVolumes", Anywhere),
    ("DescribeVpcAttribute", Anywhere),
    ("DescribeVpcs", Anywhere),
    ("DetachInternetGateway", NetworkBuilding),
    ("DetachVolume", Scoped),
    ("DisassociateIamInstanceProfile", Scoped),
    ("DisassociateRouteTable", NetworkBuilding),
    ("GetLaunchTemplateData", Anywhere),
    ("GetSpotPlacementScores", Anywhere),
    ("ModifyFleet", Anywhere),
    ("ModifyLaunchTemplate", Anywhere),
    ("ModifyVpcAttribute", NetworkBuilding),
    ("ReleaseAddress", NetworkBuilding),
    ("ReplaceIamInstanceProfileAssociation", Scoped),
    ("RequestSpotInstances", Anywhere),
    ("RevokeSecurityGroupEgress", Scoped),
    ("RevokeSecurityGroupIngress", Scoped),
    ("RunInstances", Scoped),
    ("TerminateInstances", Scoped),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn counts_are_those_of_the_source() {
        assert_eq!((managed().len(), customer().len(), restricted().len()), (76, 50, 37));
    }

    #[test]
    fn restricted_grants_what_customer_does() {
        let scoped = RESTRICTED.iter().flat_map(|s| s.actions).map(|a| format!("ec2:{a}"));
        let granted: BTreeSet<_> = restricted().into_iter().chain(scoped).collect();
        assert_eq!(granted, customer().into_iter().collect());
    }
}
