//! From a spec to the graph of resources it asks for. Pure: the same spec gives the same graph,
//! whatever order its maps come in.

mod cidr;
mod iam;
mod mistakes;
mod moved;
mod names;
mod peering;
mod private_link;
mod storage;
mod vpc;
mod workspace;

use engine::{Graph, Group, Handle};
use kinds::Tags;
use spec::Spec;

pub use mistakes::mistakes;

/// The resources a spec asks for.
///
/// The spec must be free of mistakes (`spec`'s own and those of [`mistakes`]); of one that is not,
/// the graph leaves out what has no sense.
pub fn expand(spec: &Spec) -> Graph {
    let mut graph = Graph::new(&spec.name);
    for name in &spec.allow_deletion {
        graph.deletion_allowed.insert(Group::Workspace(name.clone()));
    }
    moved::prepare(spec, &mut graph);
    let spec = &moved::as_first_named(spec);
    let mut builder = Builder { spec, graph };
    let vpcs = builder.vpcs();
    let peerings = builder.peerings(&vpcs);
    let nodes = builder.nodes(&vpcs, &peerings);
    builder.external_rules(&peerings, &nodes);
    let services = builder.endpoints(&vpcs, &nodes);
    builder.workspaces(&vpcs, &nodes, &services);
    builder.graph
}

struct Builder<'a> {
    spec: &'a Spec,
    graph: Graph,
}

impl Builder<'_> {
    /// The tags of an AWS object with that name.
    fn tags(&self, name: &str) -> Tags {
        let mut tags = self.spec.tags.clone();
        tags.insert("Name".to_owned(), format!("{}-{name}", self.spec.name));
        tags
    }

    fn govcloud(&self) -> bool {
        self.spec.region.starts_with("us-gov-")
    }
}

/// An expectation that a used object lies in the VPC.
fn in_vpc(vpc: &Handle<kinds::aws::vpc::Vpc>, because: &str) -> engine::Expect {
    let id = serde_json::to_value(vpc.id()).expect("ids are plain data");
    engine::Expect { field: "vpc".to_owned(), equals: id, because: because.to_owned() }
}

/// An expectation about a plain field of a used object.
fn expect(field: &str, equals: impl Into<serde_json::Value>, because: &str) -> engine::Expect {
    engine::Expect { field: field.to_owned(), equals: equals.into(), because: because.to_owned() }
}
