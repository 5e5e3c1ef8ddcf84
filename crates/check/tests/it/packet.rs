//! The proof against packets: random networks, every one of them walked by hand.

mod random;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use dbxctl_check as check;

use check::proof::{Ask, Verdict, prove};
use check::topology::{Objects, Topology};
use random::{Case, WORKSPACE};
use walk::{Fate, Fates};

/// How many networks.
const CASES: u64 = 100_000;

fn ask(case: &Case) -> Ask<'_> {
    Ask {
        uses: &case.uses,
        requirements: &case.requirements,
        user_names: None,
        aws_account: random::account(),
    }
}

/// What the analyser says, in the same words.
fn proven(case: &Case) -> Fates {
    let proofs = prove(&case.topology, WORKSPACE, &ask(case));
    let nodes = proofs.into_iter().filter(|proof| !proof.from.is_empty());
    nodes.map(|proof| ((proof.from, proof.class, proof.to), fate(&proof.verdict))).collect()
}

fn fate(verdict: &Verdict) -> Fate {
    match verdict {
        Verdict::Proven { via, .. } => Fate::Proven(*via),
        Verdict::Blocked { .. } => Fate::Blocked,
        Verdict::Unknown { .. } => Fate::Unknown,
        Verdict::NotRequired { .. } => Fate::NotRequired,
    }
}

fn walked(case: &Case) -> Fates {
    walk::walk(&case.topology, WORKSPACE, &ask(case))
}

/// Where the two differ; a verdict that only one of them has counts.
fn differences(case: &Case) -> Vec<String> {
    let (proven, walked) = (proven(case), walked(case));
    if proven == walked {
        return Vec::new();
    }
    let keys: BTreeSet<_> = proven.keys().chain(walked.keys()).collect();
    let differing = keys.into_iter().filter(|key| proven.get(key) != walked.get(key));
    differing
        .map(|key| format!("{key:?}: proof {:?}, packets {:?}", proven.get(key), walked.get(key)))
        .collect()
}

#[derive(Default)]
struct Tally {
    cases: u64,
    verdicts: BTreeMap<(&'static str, &'static str), u64>,
}

impl Tally {
    fn count(&mut self, fates: &Fates) {
        self.cases += 1;
        for ((_, class, _), fate) in fates {
            let word = match fate {
                Fate::Proven(_) => "proven",
                Fate::Blocked => "blocked",
                Fate::Unknown => "unknown",
                Fate::NotRequired => "not required",
            };
            *self.verdicts.entry((class, word)).or_default() += 1;
        }
    }

    fn add(&mut self, other: &Tally) {
        self.cases += other.cases;
        for (key, count) in &other.verdicts {
            *self.verdicts.entry(*key).or_default() += count;
        }
    }
}

/// Every class has had every verdict that it can have, so the comparison is about something.
fn assert_all_seen(tally: &Tally) {
    for n in 1..=24 {
        let class = format!("D{n}");
        for word in ["proven", "blocked", "unknown"] {
            let can = class != "D24" || word == "proven";
            let seen = tally.verdicts.iter().any(|((c, w), _)| **c == class && **w == *word);
            assert_eq!(seen, can, "{class} {word}: {:#?}", tally.verdicts);
        }
    }
}

#[test]
fn the_proof_agrees_with_packets() {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let run = |first: u64| {
        let mut tally = Tally::default();
        for seed in (first..CASES).step_by(usize::try_from(threads).expect("few")) {
            let case = random::case(seed);
            let (proven, walked) = (proven(&case), walked(&case));
            if proven != walked {
                return Err(seed);
            }
            tally.count(&walked);
        }
        Ok(tally)
    };
    let parts: Vec<Result<Tally, u64>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|n| scope.spawn(move || run(n))).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let mut tally = Tally::default();
    for part in parts {
        match part {
            Ok(part) => tally.add(&part),
            Err(seed) => panic!("{}", explain(seed)),
        }
    }
    assert_eq!(tally.cases, CASES);
    assert_all_seen(&tally);
}

/// The smallest network that differs in the way in which a case differs first.
fn explain(seed: u64) -> String {
    let case = random::case(seed);
    let Some(wanted) = ways(&case).into_iter().next() else { return String::new() };
    let case = smallest(case, &|case| ways(case).contains(&wanted));
    let mut text = format!("case {seed}:\n");
    for difference in differences(&case) {
        let _ = writeln!(text, "  {difference}");
    }
    let _ = write!(text, "{case:#?}");
    text
}

/// In which classes the two differ, and how.
fn ways(case: &Case) -> Vec<(&'static str, Option<Fate>, Option<Fate>)> {
    let (proven, walked) = (proven(case), walked(case));
    let keys: BTreeSet<_> = proven.keys().chain(walked.keys()).collect();
    let both =
        keys.into_iter().map(|key| (key.1, proven.get(key).copied(), walked.get(key).copied()));
    both.filter(|(_, proven, walked)| proven != walked).collect()
}

/// Takes parts away as long as the case still differs.
fn smallest(mut case: Case, differs: &dyn Fn(&Case) -> bool) -> Case {
    while let Some(smaller) = smaller(&case).into_iter().find(|c| *c != case && differs(c)) {
        case = smaller;
    }
    case
}

/// The case without one of its parts, in every way.
fn smaller(case: &Case) -> Vec<Case> {
    fn without<T: Clone>(objects: &Objects<T>) -> impl Iterator<Item = Objects<T>> {
        objects.keys().map(|key| {
            let mut fewer = objects.clone();
            fewer.remove(key);
            fewer
        })
    }
    let all = &case.topology;
    let mut topologies: Vec<Topology> = Vec::new();
    topologies.extend(without(&all.acls).map(|acls| Topology { acls, ..all.clone() }));
    topologies.extend(without(&all.zones).map(|zones| Topology { zones, ..all.clone() }));
    let endpoints = without(&all.endpoints);
    topologies.extend(endpoints.map(|endpoints| Topology { endpoints, ..all.clone() }));
    let gateways = without(&all.nat_gateways);
    topologies.extend(gateways.map(|nat_gateways| Topology { nat_gateways, ..all.clone() }));
    topologies.extend(without(&all.peerings).map(|peerings| Topology { peerings, ..all.clone() }));
    for (key, acl) in &all.acls {
        for n in 0..acl.as_ref().map_or(0, |acl| acl.entries.len()) {
            let mut topology = all.clone();
            if let Some(Some(acl)) = topology.acls.get_mut(key) {
                acl.entries.remove(n);
            }
            topologies.push(topology);
        }
    }
    for (key, group) in &all.groups {
        let rules = group.as_ref().and_then(|group| group.rules.as_ref());
        let count = |egress| {
            rules.map_or(
                0,
                |r: &check::topology::GroupRules| {
                    if egress { r.egress.len() } else { r.ingress.len() }
                },
            )
        };
        for egress in [false, true] {
            for n in 0..count(egress) {
                let mut topology = all.clone();
                let group = topology.groups.get_mut(key).and_then(Option::as_mut);
                if let Some(rules) = group.and_then(|group| group.rules.as_mut()) {
                    if egress { &mut rules.egress } else { &mut rules.ingress }.remove(n);
                }
                topologies.push(topology);
            }
        }
    }
    for (key, table) in &all.route_tables {
        for to in table.iter().flat_map(|table| table.routes.keys()) {
            let mut topology = all.clone();
            if let Some(Some(table)) = topology.route_tables.get_mut(key) {
                table.routes.remove(to);
            }
            topologies.push(topology);
        }
    }
    let mut fewer = all.clone();
    for nodes in fewer.workspaces.values_mut().filter(|nodes| nodes.subnets.len() > 1) {
        nodes.subnets.pop();
    }
    topologies.push(fewer);
    let mut cases: Vec<Case> =
        topologies.into_iter().map(|topology| Case { topology, ..case.clone() }).collect();
    cases.push(Case { uses: spec::Uses::default(), ..case.clone() });
    cases.push(Case { requirements: spec::Requirements::default(), ..case.clone() });
    cases
}
