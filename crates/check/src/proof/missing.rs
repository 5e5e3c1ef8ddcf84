//! What to report where no route leads out.

use ipnet::Ipv4Net;

use super::groups::Call;
use super::walk::{Missing, Passed, Walk};
use super::{Step, Via};
use crate::topology::Key;

/// No route out, where only the internet would do.
pub(super) fn missing(w: &Walk<'_, '_>, rule: &'static str, because: String) -> Missing {
    let fix = format!("set `nat: single` in `{}`", w.vpc_place());
    Missing { rule, at: Key::new(), because, fix }
}

pub(super) fn only_internet(w: &Walk<'_, '_>, rule: &'static str, name: &str) -> Missing {
    missing(w, rule, format!("`{name}` is only on the internet"))
}

/// What lacks for a name that an endpoint could answer: the endpoint, its private DNS, or the
/// hostnames of the VPC.
pub(super) fn unanswered(
    w: &Walk<'_, '_>,
    name: &str,
    service: &str,
    silent: &'static str,
    absent: &'static str,
) -> Missing {
    let names = w.site.names;
    match names.silent(name) {
        Some(_) if names.muted() => {
            let vpc = &w.site.nodes.vpc;
            Missing {
                rule: "DBX-NET-002",
                at: vpc.clone(),
                because: format!(
                    "with DNS hostnames turned off no endpoint in `{vpc}` answers `{name}`"
                ),
                fix: format!("turn on DNS hostnames (`enableDnsHostnames`) of `{vpc}`"),
            }
        }
        Some(endpoint) => Missing {
            rule: silent,
            at: endpoint.clone(),
            because: format!("`{endpoint}` has private DNS turned off, so `{name}` is public"),
            fix: format!("turn on private DNS of `{endpoint}`"),
        },
        None => Missing {
            rule: absent,
            at: Key::new(),
            because: format!("nothing in `{}` answers `{name}` privately", w.site.nodes.vpc),
            fix: format!("add `{service}` to `endpoints` in `{}`", w.vpc_place()),
        },
    }
}

/// Where a zone leads a name of Databricks or AWS to a bare address: the packet gets there, and who
/// listens is not known.
pub(super) fn address(
    w: &mut Walk<'_, '_>,
    range: Ipv4Net,
    call: Call,
    missing: &Missing,
) -> Passed<Via> {
    let via = w.range(call, range, missing)?;
    w.note(Step::Service, "", format!("who answers at {} is not known", range.addr()));
    Ok(via)
}
