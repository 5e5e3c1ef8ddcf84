//! Proofs of one workspace, compared with a line of the reference's table.

use dbxctl_check as check;

use check::proof::{Ask, Block, Proof, Verdict, Via, prove};
use check::topology::{GroupRules, Key, Peer, Protocol, Rule, SecurityGroup, Topology};

use crate::stage::Stage;

/// A stage whose topology may be bent as well.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) topology: Topology,
}

impl Scene {
    pub(crate) fn of(stage: Stage) -> Scene {
        let topology = stage.topology();
        Scene { stage, topology }
    }

    pub(crate) fn edited(mut self, edit: impl FnOnce(&mut Topology)) -> Scene {
        edit(&mut self.topology);
        self
    }

    /// What is proven of the workspace `wk`; every proof is complete.
    pub(crate) fn proofs(&self) -> Vec<Proof> {
        let spec = &self.stage.spec;
        let workspace = &spec.workspaces["wk"];
        let vpc = spec.vpc_of(workspace);
        let ask = Ask {
            uses: &workspace.uses,
            requirements: &spec.requirements,
            user_names: vpc.and_then(|vpc| vpc.private_link.user_names),
            aws_account: &spec.aws.account,
        };
        let proofs = prove(&self.topology, "wk", &ask);
        proofs.iter().for_each(complete);
        proofs
    }

    /// Compares with a line such as `D1 P endpoint; D2-D4 B DBX-SGR-016; D16 N`: for every class the verdict
    /// from all subnets, and the way or the rule.
    pub(crate) fn expect(&self, line: &str) {
        let proofs = self.proofs();
        for part in line.split(';') {
            let words: Vec<&str> = part.split_whitespace().collect();
            for class in classes(words[0]) {
                let found: Vec<&Proof> = proofs.iter().filter(|p| p.class == class).collect();
                assert!(!found.is_empty(), "{class} is not proven at all");
                for proof in found {
                    let shown = shown(&proof.verdict);
                    assert_eq!(shown, words[1..].join(" "), "{class} in `{line}`: {proof:#?}");
                }
            }
        }
    }

    /// The block of a class, from the first subnet.
    pub(crate) fn block(&self, class: &str) -> Block {
        let found = self.proofs().into_iter().find(|p| p.class == class);
        match found.map(|p| p.verdict) {
            Some(Verdict::Blocked { block, .. }) => block,
            other => panic!("{class} is not blocked: {other:#?}"),
        }
    }
}

fn classes(word: &str) -> Vec<String> {
    let Some((from, to)) = word.split_once('-') else { return vec![word.to_owned()] };
    let number = |text: &str| text[1..].parse::<u8>().expect("a class");
    (number(from)..=number(to)).map(|n| format!("D{n}")).collect()
}

/// The verdict in two words.
pub(crate) fn shown(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Proven { via, .. } => {
            let way = match via {
                Via::Endpoint => "endpoint",
                Via::Gateway => "gateway",
                Via::Nat => "nat",
                Via::Peering => "peering",
                Via::Local => "local",
                Via::Public => "public",
            };
            format!("P {way}")
        }
        Verdict::Blocked { block, .. } => format!("B {}", block.rule),
        Verdict::Unknown { .. } => "U".to_owned(),
        Verdict::NotRequired { .. } => "N".to_owned(),
    }
}

/// A proof says how it works, or all that is needed to mend it.
fn complete(proof: &Proof) {
    match &proof.verdict {
        Verdict::Proven { path, .. } => {
            assert!(!path.is_empty(), "{proof:#?}");
            assert!(path.iter().all(|hop| !hop.what.is_empty()), "{proof:#?}");
        }
        Verdict::Blocked { path, block } => {
            let last = path.last().expect("the hop that blocks");
            assert_eq!((&last.at, &last.what), (&block.at, &block.message), "{proof:#?}");
            let words = [&block.message, &block.fix, &block.at];
            assert!(words.iter().all(|text| !text.is_empty()), "{proof:#?}");
            assert!(block.symptom.is_some() || block.rule == "DBX-REQ-001", "{proof:#?}");
        }
        Verdict::Unknown { why, .. } | Verdict::NotRequired { why } => {
            assert!(!why.is_empty(), "{proof:#?}");
        }
    }
}

/// TCP ports for a peer.
pub(crate) fn tcp(from: u16, to: u16, peer: Peer) -> Rule {
    Rule { protocol: Protocol::Tcp, ports: (from, to), peer }
}

/// Everything for the members of a group.
pub(crate) fn members(group: &str) -> Rule {
    Rule { protocol: Protocol::All, ports: (0, u16::MAX), peer: Peer::Group(group.to_owned()) }
}

pub(crate) fn range(text: &str) -> Peer {
    Peer::Cidr(text.parse().expect("a range"))
}

pub(crate) fn group(key: &str) -> Peer {
    Peer::Group(key.to_owned())
}

/// The rules of a group that was read.
pub(crate) fn rules<'a>(topology: &'a mut Topology, key: &str) -> &'a mut GroupRules {
    match topology.groups.get_mut(key) {
        Some(Some(SecurityGroup { rules: Some(rules), .. })) => rules,
        other => panic!("no rules of {key}: {other:?}"),
    }
}

pub(crate) const NODES: &str = "aws.security_group/wk.nodes";
pub(crate) const ENDPOINTS: &str = "aws.security_group/main.endpoints";
pub(crate) const VPC: &str = "aws.vpc/main";

/// Replaces what a group admits.
pub(crate) fn admit(topology: &mut Topology, ingress: Vec<Rule>) {
    rules(topology, ENDPOINTS).ingress = ingress;
}

/// Nodes carry a further group.
pub(crate) fn carry(topology: &mut Topology, key: &str) {
    let nodes = topology.workspaces.get_mut("wk").expect("the workspace");
    nodes.groups.push(Key::from(key));
}
