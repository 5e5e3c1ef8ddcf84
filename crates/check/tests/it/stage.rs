//! From the text of a spec to what the analyser looks at.

use std::path::{Path, PathBuf};

use dbxctl_check as check;

use check::topology::Topology;
use engine::{Address, Graph, Role, World};
use serde_json::Value;
use spec::{SourceFile, Spec};

/// A spec and everything made of it, to be bent before it is judged.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) spec: Spec,
    pub(crate) graph: Graph,
    /// Instead of what the graph asks for.
    topology: Option<Topology>,
}

impl Stage {
    /// From YAML; it must be free of mistakes.
    pub(crate) fn of(yaml: &str) -> Stage {
        let file = SourceFile { name: "spec.yaml".to_owned(), text: yaml.to_owned() };
        let loaded = spec::load(&[file], &|_| None).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
        let graph = blueprint::expand(&loaded.spec);
        Stage { spec: loaded.spec, graph, topology: None }
    }

    /// From an example, by its name.
    pub(crate) fn example(name: &str) -> Stage {
        let path = examples().join(format!("{name}.yaml"));
        Stage::of(&std::fs::read_to_string(path).expect("a readable example"))
    }

    /// The props of what dbxctl makes at an address, to be changed before the topology is edited.
    pub(crate) fn props(&mut self, address: &str) -> &mut Value {
        assert!(self.topology.is_none(), "the topology was edited already");
        let node = self.graph.nodes.get_mut(&Address::from(address.to_owned()));
        match node.map(|node| &mut node.role) {
            Some(Role::Managed { props }) => props,
            _ => panic!("nothing is made at {address}"),
        }
    }

    /// The same with other props of what dbxctl makes at an address.
    pub(crate) fn with(mut self, address: &str, change: impl FnOnce(&mut Value)) -> Stage {
        change(self.props(address));
        self
    }

    /// The same with a topology that the graph alone could not have: network ACLs, private zones, DHCP
    /// options, objects that were read.
    pub(crate) fn edited(mut self, edit: impl FnOnce(&mut Topology)) -> Stage {
        let mut topology = self.topology();
        edit(&mut topology);
        self.topology = Some(topology);
        self
    }

    pub(crate) fn topology(&self) -> Topology {
        let asked = || Topology::of(&self.spec.region, &self.graph, &World::default());
        self.topology.clone().unwrap_or_else(asked)
    }

    pub(crate) fn check(&self) -> check::Report {
        check::judge(&self.spec, &self.graph, &self.topology())
    }
}

pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

#[test]
fn a_graph_becomes_a_topology() {
    let stage = Stage::example("shared-vpc");
    let topology = stage.topology();
    let unread = |all: Vec<bool>| all.into_iter().filter(|there| !there).count();
    assert_eq!(unread(topology.subnets.values().map(Option::is_some).collect()), 0);
    assert_eq!(topology.workspaces.len(), stage.spec.workspaces.len());
    insta::assert_debug_snapshot!(topology);
}
