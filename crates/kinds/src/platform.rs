//! What the platforms themselves add to objects we own. It is no drift: it is neither shown nor taken away.
//!
//! Each line has its source; the read functions of the kinds use what stands here, and
//! `specs/drift.md` shows the table.

use ::aws::ec2::types::{Route, RouteOrigin};

use crate::policy::{Policy, Principal, Statement};

/// One thing a platform adds.
#[derive(Debug, Clone, Copy)]
pub struct Addition {
    /// Where.
    pub kind: &'static str,
    pub what: &'static str,
    /// Where that is documented.
    pub source: &'static str,
}

/// Everything we know of.
pub const ADDITIONS: &[Addition] = &[
    Addition {
        kind: "all kinds of AWS",
        what: "tags whose key begins with `aws:`",
        source: "EC2 user guide, tag restrictions: the prefix is reserved for AWS",
    },
    Addition {
        kind: "aws.route_table",
        what: "the local route of the VPC",
        source: "VPC user guide, route tables",
    },
    Addition {
        kind: "aws.route_table",
        what: "routes from a prefix list to a gateway endpoint",
        source: "VPC user guide, gateway endpoints: written by CreateVpcEndpoint and ModifyVpcEndpoint",
    },
    Addition {
        kind: "aws.vpc_endpoint",
        what: "the policy that allows everything, where none is asked for",
        source: "EC2 API reference, CreateVpcEndpoint, PolicyDocument",
    },
    Addition {
        kind: "databricks.vpc_endpoint",
        what: "the use case, and its older name `WORKSPACE_ACCESS` for `GENERAL_ACCESS`",
        source: "Databricks account API, VPC endpoint configurations",
    },
    Addition {
        kind: "databricks.network",
        what: "the status, warnings and errors of its own checks",
        source: "Databricks account API, network configurations",
    },
    Addition {
        kind: "databricks.workspace",
        what: "the pricing tier, where none is asked for",
        source: "Databricks account API, workspaces",
    },
    Addition {
        kind: "databricks.workspace",
        what: "the account's prefix before the deployment name",
        source: "Databricks account API, workspaces",
    },
];

/// Whether AWS itself set the tag.
pub(crate) fn is_tag(key: &str) -> bool {
    key.starts_with("aws:")
}

/// Whether AWS itself put the route there: the local one, or one to a gateway endpoint.
pub(crate) fn is_route(route: &Route) -> bool {
    let endpoint = route.gateway_id().is_some_and(|id| id.starts_with("vpce-"));
    route.gateway_id() == Some("local")
        || route.origin() == Some(&RouteOrigin::CreateRouteTable)
        || (route.destination_prefix_list_id().is_some() && endpoint)
}

/// The policy of an endpoint nobody gave one.
pub(crate) fn endpoint_policy() -> Policy {
    Policy::new([Statement {
        allow: true,
        principals: [Principal::Anyone].into(),
        actions: ["*".to_owned()].into(),
        resources: ["*".to_owned()].into(),
        ..Statement::default()
    }])
}

#[cfg(test)]
mod tests {
    use super::ADDITIONS;

    #[test]
    fn the_page_about_drift_shows_the_whole_table() {
        let page = include_str!("../../../specs/drift.md");
        for a in ADDITIONS {
            let line = format!("| {} | {} | {} |", a.kind, a.what, a.source);
            assert!(page.contains(&line), "specs/drift.md lacks: {line}");
        }
    }
}
