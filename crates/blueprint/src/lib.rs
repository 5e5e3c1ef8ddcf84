//! From a spec to the graph of resources it asks for. Pure: the same spec gives the same graph,
//! whatever order its maps come in.

mod cidr;
mod iam;
mod labels;
mod mistakes;
mod moved;
mod names;
mod peering;
mod private_link;
mod storage;
mod variation;
mod vpc;
mod workspace;

use std::collections::BTreeMap;

use engine::{Graph, Group, Handle, Kind};
use kinds::Tags;
use kinds::aws::role::Role;
use spec::Spec;

pub use mistakes::mistakes;
pub use variation::{Effect, Variation, variations};

/// The resources a spec asks for.
///
/// The spec must be free of mistakes (`spec`'s own and those of [`mistakes`]); of one that is not,
/// the graph leaves out what has no sense.
pub fn expand(spec: &Spec) -> Graph {
    let mut graph = Graph::new(&spec.name);
    graph.home = home(spec);
    for name in &spec.allow_deletion {
        graph.deletion_allowed.insert(Group::Workspace(name.clone()));
    }
    for name in &spec.allow_emptying {
        graph.emptying_allowed.insert(Group::Workspace(name.clone()));
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
    labels::attach(&mut builder.graph, &spec.labels);
    builder.graph
}

fn home(spec: &Spec) -> BTreeMap<String, String> {
    let all = [
        ("AWS account", &spec.aws.account),
        ("Databricks account", &spec.databricks.account),
        ("region", &spec.region),
    ];
    all.into_iter().map(|(what, place)| (what.to_owned(), place.clone())).collect()
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

    /// The name of a role of that workspace: its label's, else the one given.
    fn role_name(&self, workspace: &str, place: &str, name: String) -> String {
        let group = Group::Workspace(workspace.to_owned());
        let address = self.graph.address_of(Role::NAME, place, &group);
        let label = self.spec.labels.get(address.as_str());
        label.and_then(|l| l.name.clone()).unwrap_or(name)
    }

    fn govcloud(&self) -> bool {
        facts::regions::is_govcloud(&self.spec.region)
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
