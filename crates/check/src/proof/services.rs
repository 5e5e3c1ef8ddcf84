//! Services of AWS, metastores, and what users name.

use facts::regions;
use spec::{Host, Remote};

use super::groups::{Call, private};
use super::missing::{address, missing, only_internet, unanswered};
use super::names;
use super::needs::{Buckets, Wanted};
use super::policy::Need;
use super::walk::{Leads, Missing, Passed, Walk};
use super::{Step, Via, classes};
use crate::topology::Key;

const HTTPS: Call = Call::tcp(443);
const DATABASE: Call = Call::tcp(3306);
const LAKEBASE: Call = Call::tcp(5432);

pub(super) fn bucket(w: &mut Walk<'_, '_>, store: &Buckets) -> Passed<Via> {
    let own = w.site.prover.topology.region.as_str();
    let mut via = Via::Gateway;
    for (bucket, region) in &store.buckets {
        let name = match bucket {
            Some(bucket) => format!("{bucket}.s3.{region}.amazonaws.com"),
            None => format!("s3.{region}.amazonaws.com"),
        };
        let here = region == own;
        let missing = if here {
            no_gateway(w)
        } else {
            let what = bucket.as_deref().unwrap_or("a bucket");
            let because = format!(
                "`{what}` is in {region}: a gateway endpoint serves only its own region \
                 (AWS behaviour, unconfirmed here)"
            );
            missing(w, "DBX-EPT-033", because)
        };
        let this = match w.name(&name)? {
            Leads::Endpoint { key, .. } => w.endpoint(key, &[HTTPS], &missing)?,
            Leads::Address(range) => address(w, range, HTTPS, &missing)?,
            Leads::Public if here && bucket.is_none() => w.unnamed_bucket(&missing)?,
            Leads::Public if here => w.s3(&store.needs, store.policy, &missing)?,
            Leads::Public => w.public(HTTPS, false, &missing)?,
            Leads::Unseen => Via::Local,
        };
        if via != Via::Nat {
            via = this;
        }
        if bucket.is_none() && store.class != "D7" {
            let why = format!("no source names the bucket of {region}");
            w.note(Step::Service, "", why);
        }
    }
    Ok(via)
}

fn no_gateway(w: &Walk<'_, '_>) -> Missing {
    let service = regions::aws_service(&w.site.prover.topology.region, "s3");
    let gateway = w.site.names.gateways.iter().find(|(s, _)| *s == service);
    match gateway {
        Some((_, key)) => Missing {
            rule: "DBX-RTE-006",
            at: (*key).clone(),
            because: format!("`{key}` is not attached to it"),
            fix: format!("attach `{key}` to that route table"),
        },
        None => Missing {
            rule: "DBX-RTE-006",
            at: Key::new(),
            because: format!("`{}` has no gateway endpoint for S3", w.site.nodes.vpc),
            fix: format!("add `s3` to `endpoints` in `{}`", w.vpc_place()),
        },
    }
}

pub(super) fn regional_sts(w: &mut Walk<'_, '_>, wanted: &Wanted) -> Passed<Via> {
    let name = w.site.prover.hosts.aws("sts");
    let missing = unanswered(w, &name, "sts", "DBX-EPT-002", "DBX-EPT-004");
    aws_endpoint(w, &name, &missing, Some((&*wanted.sts, "DBX-EPT-022")))
}

pub(super) fn stream(w: &mut Walk<'_, '_>, wanted: &Wanted) -> Passed<Via> {
    let hosts = &w.site.prover.hosts;
    let name = &hosts.kinesis;
    let missing = if *name == hosts.aws("kinesis") {
        unanswered(w, name, "kinesis", "DBX-EPT-005", "DBX-EPT-005")
    } else {
        let because =
            format!("logs go to `{name}` (an older table has that name), outside the region");
        missing(w, "DBX-EPT-030", because)
    };
    aws_endpoint(w, name, &missing, Some((&*wanted.kinesis, "DBX-EPT-023")))
}

pub(super) fn global_sts(w: &mut Walk<'_, '_>) -> Passed<Via> {
    let name = "sts.amazonaws.com";
    let mut missing = only_internet(w, "DBX-EPT-029", name);
    missing.fix = format!(
        "use the regional name in jobs (`fs.s3a.stsAssumeRole.stsEndpoint`), or set `nat: single` \
         in `{}`",
        w.vpc_place()
    );
    aws_endpoint(w, name, &missing, None)
}

pub(super) fn aws_service(w: &mut Walk<'_, '_>, service: &str) -> Passed<Via> {
    let name = w.site.prover.hosts.aws(service);
    let missing = unanswered(w, &name, service, "DBX-RTE-001", "DBX-RTE-001");
    if service != "dynamodb" {
        return aws_endpoint(w, &name, &missing, None);
    }
    match w.name(&name)? {
        Leads::Public => {
            let full = regions::aws_service(&w.site.prover.topology.region, service);
            w.gateway_or_public(&full, false, &missing, |w, key, endpoint| {
                w.any_policy(key, endpoint);
                Ok(())
            })
        }
        leads => aws_arrive(w, leads, &name, &missing, None),
    }
}

type Policy<'n> = Option<(&'n [Need], &'static str)>;

fn aws_endpoint(
    w: &mut Walk<'_, '_>,
    name: &str,
    missing: &Missing,
    policy: Policy<'_>,
) -> Passed<Via> {
    let leads = w.name(name)?;
    aws_arrive(w, leads, name, missing, policy)
}

fn aws_arrive<'a>(
    w: &mut Walk<'a, '_>,
    leads: Leads<'a>,
    name: &str,
    missing: &Missing,
    policy: Policy<'_>,
) -> Passed<Via> {
    match leads {
        Leads::Endpoint { key, .. } => {
            answers_as(w, key, name, missing)?;
            let via = w.endpoint(key, &[HTTPS], missing)?;
            let endpoint = w.site.prover.topology.endpoints.get(key).and_then(Option::as_ref);
            match (endpoint, policy) {
                (Some(endpoint), Some((needs, rule))) => w.policy(key, endpoint, needs, rule)?,
                (Some(endpoint), None) => w.any_policy(key, endpoint),
                (None, _) => {}
            }
            Ok(via)
        }
        Leads::Address(range) => address(w, range, HTTPS, missing),
        Leads::Public => w.public(HTTPS, false, missing),
        Leads::Unseen => Ok(Via::Local),
    }
}

/// A zone may lead a name to an endpoint of another service, which does not know what is asked of it.
fn answers_as(w: &mut Walk<'_, '_>, key: &Key, name: &str, missing: &Missing) -> Passed {
    let prover = w.site.prover;
    let Some(Some(endpoint)) = prover.topology.endpoints.get(key) else { return Ok(()) };
    match names::answers(&prover.hosts, &prover.services, key, endpoint) {
        Some(own) if own != name => {
            let message = format!("`{name}` leads to `{key}`, which answers as `{own}`");
            let fix =
                format!("let `{name}` lead to an endpoint of its service, or take the record away");
            Err(w.block(Step::Service, missing.rule, key.clone(), message, fix))
        }
        _ => Ok(()),
    }
}

pub(super) fn builtin_metastore(w: &mut Walk<'_, '_>, wanted: &Wanted) -> Passed<Via> {
    let name = wanted.metastore.as_deref().unwrap_or("the built-in metastore");
    let mut missing = only_internet(w, "DBX-RTE-008", name);
    missing.fix = format!(
        "set `nat: single` in `{}`, or `legacy_metastore: false` in `uses` of `workspaces.{}` once \
         legacy access is disabled there",
        w.vpc_place(),
        w.site.workspace
    );
    let via = match w.name(name)? {
        Leads::Endpoint { key, .. } => w.endpoint(key, &[DATABASE], &missing)?,
        Leads::Address(range) => address(w, range, DATABASE, &missing)?,
        Leads::Public => w.public(DATABASE, false, &missing)?,
        Leads::Unseen => Via::Local,
    };
    if wanted.govcloud {
        let why = "no source names the metastore of GovCloud reliably";
        w.note(Step::Service, "", why.to_owned());
    }
    Ok(via)
}

/// A host or range that the spec names.
pub(super) fn remote(w: &mut Walk<'_, '_>, remote: &Remote, rule: &'static str) -> Passed<Via> {
    let call = Call::tcp(remote.port);
    match &remote.host {
        Host::Range(range) => {
            let because = format!("the spec names {}", classes::shown(remote));
            let mut missing = missing(w, rule, because);
            if private(range) {
                missing.fix = format!("add a peering whose network holds {range} to `peerings`");
            }
            w.range(call, *range, &missing)
        }
        Host::Name(name) => {
            let missing = only_internet(w, rule, name);
            by_name(w, name, call, &missing)
        }
    }
}

pub(super) fn lakebase(w: &mut Walk<'_, '_>) -> Passed<Via> {
    let hosts = &w.site.prover.hosts;
    let region = &w.site.prover.topology.region;
    let name = format!("{region}.service-direct.privatelink.{}", hosts.domain);
    let missing = only_internet(w, "DBX-RTE-001", &name);
    by_name(w, &name, LAKEBASE, &missing)
}

/// Whatever the name leads to.
fn by_name(w: &mut Walk<'_, '_>, name: &str, call: Call, missing: &Missing) -> Passed<Via> {
    match w.name(name)? {
        Leads::Endpoint { key, .. } => w.endpoint(key, &[call], missing),
        Leads::Address(range) => w.range(call, range, missing),
        Leads::Public => w.public(call, false, missing),
        Leads::Unseen => Ok(Via::Local),
    }
}
