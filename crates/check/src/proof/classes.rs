//! The destinations of nodes, in the order of the reference.

use spec::{ExternalMetastore, Host, Remote};

use super::control_plane::{control_plane, private_relay, public_relay, web};
use super::index::Site;
use super::inside::{other_nodes, resolver};
use super::needs::Wanted;
use super::services::{
    aws_service, bucket, builtin_metastore, global_sts, lakebase, regional_sts, remote, stream,
};
use super::walk::{Passed, Walk};
use super::{Proof, Step, Verdict, Via};
use crate::topology::Key;

/// The control plane's ports besides 443, by class.
const CONTROL_PLANE: [(&str, &str, (u16, u16)); 3] = [
    ("D2", "control plane API", (8443, 8443)),
    ("D3", "catalog logs", (8444, 8444)),
    ("D4", "reserved ports", (8445, 8451)),
];

/// Proofs from one subnet, as they come.
struct Matrix<'a, 'w> {
    site: &'w Site<'a, 'w>,
    subnet: &'a Key,
    proofs: &'w mut Vec<Proof>,
}

impl<'a> Matrix<'a, '_> {
    fn walk(
        &mut self,
        class: &'static str,
        to: impl Into<String>,
        go: impl FnOnce(&mut Walk<'a, '_>) -> Passed<Via>,
    ) {
        let mut walk = Walk::new(self.site, class, self.subnet);
        let outcome = go(&mut walk);
        self.proofs.push(walk.finish(to.into(), outcome));
    }

    fn not_required(&mut self, class: &'static str, to: &str, why: &str) {
        self.proofs.push(Proof {
            workspace: self.site.workspace.to_owned(),
            from: self.subnet.clone(),
            class,
            to: to.to_owned(),
            verdict: Verdict::NotRequired { why: why.to_owned() },
        });
    }

    fn stores(&mut self, wanted: &Wanted, class: &'static str) {
        for store in wanted.stores.iter().filter(|store| store.class == class) {
            self.walk(class, store.to.as_str(), |w| bucket(w, store));
        }
    }
}

/// Everything from one subnet, by class.
pub(super) fn prove<'a>(
    site: &Site<'a, '_>,
    wanted: &Wanted,
    subnet: &'a Key,
    proofs: &mut Vec<Proof>,
) {
    let uses = site.ask.uses;
    let mut matrix = Matrix { site, subnet, proofs };
    matrix.walk("D1", "control plane", |w| web(w, wanted));
    for (class, to, ports) in CONTROL_PLANE {
        matrix.walk(class, to, |w| control_plane(w, wanted, ports));
    }
    match &site.nodes.relay {
        None => matrix.walk("D5", "relay", |w| public_relay(w, wanted)),
        Some(relay) => matrix.walk("D6", "relay", |w| private_relay(w, wanted, relay)),
    }
    for class in ["D7", "D8", "D9"] {
        matrix.stores(wanted, class);
    }
    match uses.system_tables {
        true => matrix.stores(wanted, "D10"),
        false => matrix.not_required("D10", "system tables", "`uses` has `system_tables: false`"),
    }
    match uses.sample_data {
        true => matrix.stores(wanted, "D11"),
        false => matrix.not_required("D11", "sample data", "`sample_data` is not in `uses`"),
    }
    matrix.stores(wanted, "D12");
    matrix.walk("D13", "sts", |w| regional_sts(w, wanted));
    if uses.global_sts {
        matrix.walk("D14", "global sts", global_sts);
    }
    matrix.walk("D15", "kinesis", |w| stream(w, wanted));
    match uses.legacy_metastore() {
        true => matrix.walk("D16", "built-in metastore", |w| builtin_metastore(w, wanted)),
        false => matrix.not_required(
            "D16",
            "built-in metastore",
            "legacy access is disabled, or there is an external metastore",
        ),
    }
    match (&uses.external_metastore, &wanted.database) {
        (Some(ExternalMetastore::Glue), _) => {
            matrix.walk("D17", "glue metastore", |w| aws_service(w, "glue"));
        }
        (Some(ExternalMetastore::Database(_)), Some(place)) => {
            matrix.walk("D17", format!("metastore {}", shown(place)), |w| {
                remote(w, place, "DBX-RTE-001")
            });
        }
        _ => matrix.not_required(
            "D17",
            "external metastore",
            "`external_metastore` is not in `uses`",
        ),
    }
    matrix.walk("D18", "dns", resolver);
    matrix.walk("D19", "other nodes", other_nodes);
    let public = |remote: &&Remote| matches!(remote.host, Host::Name(_));
    for place in wanted.remotes.iter().filter(public) {
        matrix.walk("D20", shown(place), |w| remote(w, place, "DBX-RTE-009"));
    }
    match uses.lakebase {
        true => matrix.walk("D21", "lakebase", lakebase),
        false => matrix.not_required("D21", "lakebase", "`lakebase` is not in `uses`"),
    }
    for service in &uses.services {
        use spec::Service;
        if !matches!(service, Service::S3 | Service::Sts | Service::Kinesis) {
            matrix.walk("D22", service.name(), |w| aws_service(w, service.name()));
        }
    }
    for place in wanted.remotes.iter().filter(|remote| !public(remote)) {
        matrix.walk("D23", shown(place), |w| remote(w, place, "DBX-RTE-001"));
    }
    matrix.walk("D24", "instance metadata", |w| {
        w.pass(Step::Route, "", "169.254.169.254 is on the machine".to_owned());
        Ok(Via::Local)
    });
}

/// As the spec writes it.
pub(super) fn shown(remote: &Remote) -> String {
    match &remote.host {
        Host::Name(name) => format!("{name}:{}", remote.port),
        Host::Range(range) if range.prefix_len() == 32 => {
            format!("{}:{}", range.addr(), remote.port)
        }
        Host::Range(range) => format!("{range}:{}", remote.port),
    }
}
