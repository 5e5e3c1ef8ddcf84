//! Roles and instance profiles.

use cloud::Class;
use serde_json::{Value, json};

use crate::sim::{Candidate, Finds, IdForm, Link, PLAIN, Sim, View, refuse, scatter, texts};
use crate::store::Object;

pub(crate) const ROLE: &str = "aws.role";
const PROFILE: &str = "aws.instance_profile";

pub(crate) const KINDS: &[Sim] = &[
    Sim {
        kind: ROLE,
        service: "iam",
        id: IdForm::Field("name"),
        finds: Finds::KeyAndMark("name"),
        missing: "NoSuchEntity",
        check: check_role,
        // CreateRole takes the trust policy only, and nobody can be trusted before being there.
        born: |view, props| {
            let own = role_arn(view, props["name"].as_str().unwrap_or_default());
            forget(&mut props["trust"], &own);
            props["inline"] = json!({});
            props["managed"] = json!([]);
        },
        appear: |view, me, seen| {
            let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
            let bits = scatter(view.settings.seed, &format!("{} {}", me.id, me.created_at));
            let letter =
                |n: u64| char::from(letters[(bits.rotate_left(5 * n as u32) % 32) as usize]);
            seen["unique_id"] = json!(format!("AROA{}", (0..17).map(letter).collect::<String>()));
            seen["arn"] = json!(role_arn(view, &me.id));
            true
        },
        blank: r#"{"name":"","description":"","trust":{"statements":[]},"inline":{},"managed":[],"tags":{}}"#,
        ..PLAIN
    },
    Sim {
        kind: PROFILE,
        service: "iam",
        id: IdForm::Field("name"),
        finds: Finds::KeyAndMark("name"),
        links: &[Link::firm("role", ROLE)],
        missing: "NoSuchEntity",
        check: check_profile,
        born: |_, props| props["role"] = Value::Null,
        appear: |view, me, seen| {
            seen["arn"] = json!(arn(view, "instance-profile", &me.id));
            true
        },
        blank: r#"{"name":"","role":null,"tags":{}}"#,
        ..PLAIN
    },
];

/// The ARN of a role of that name in our account.
pub(crate) fn role_arn(view: &View, name: &str) -> String {
    arn(view, "role", name)
}

/// The name of the role of our account that the ARN names.
pub(crate) fn own_role<'a>(view: &View, arn: &'a str) -> Option<&'a str> {
    let path = arn.strip_prefix(&role_arn(view, ""))?;
    path.rsplit('/').next()
}

/// Whether what was made or changed at that moment is known everywhere by now.
pub(crate) fn settled(view: &View, since: u64) -> bool {
    view.now >= since.saturating_add(view.settings.propagation_ms())
}

fn arn(view: &View, what: &str, name: &str) -> String {
    format!("arn:{}:iam::{}:{what}/{name}", view.settings.partition, view.settings.account)
}

/// Drops a principal, and the statements that then have none.
fn forget(policy: &mut Value, principal: &str) {
    let Some(statements) = policy["statements"].as_array_mut() else { return };
    statements.retain_mut(|statement| {
        let Some(principals) = statement.get_mut("principals").and_then(Value::as_array_mut) else {
            return true;
        };
        let before = principals.len();
        principals.retain(|p| !texts(p).iter().any(|text| text == principal));
        before == 0 || !principals.is_empty()
    });
}

fn exists_already<T>(what: &str, name: &str) -> cloud::Result<T> {
    let message = format!("{what} with name {name} already exists.");
    refuse(Class::AlreadyExists, "EntityAlreadyExists", message)
}

fn check_role(view: &View, me: &Candidate) -> cloud::Result<()> {
    let name = me.text("name");
    if me.id.is_none() && view.get(ROLE, name).is_some() {
        return exists_already("Role", name);
    }
    if me.touches("trust") {
        check_principals(view, &me.props["trust"], "MalformedPolicyDocument")?;
    }
    Ok(())
}

/// Refuses a policy that names a role of our account that does not exist, or not everywhere yet.
pub(crate) fn check_principals(view: &View, policy: &Value, code: &str) -> cloud::Result<()> {
    for statement in policy["statements"].as_array().into_iter().flatten() {
        for principal in texts(&statement["principals"]) {
            let Some(role) = own_role(view, &principal) else { continue };
            let known = view.get(ROLE, role).is_some_and(|r| settled(view, r.created_at));
            if !known {
                let message = format!("Invalid principal in policy: \"AWS\":\"{principal}\"");
                return refuse(Class::Propagating, code, message);
            }
        }
    }
    Ok(())
}

fn check_profile(view: &View, me: &Candidate) -> cloud::Result<()> {
    let name = me.text("name");
    if me.id.is_none() && view.get(PROFILE, name).is_some() {
        return exists_already("Instance Profile", name);
    }
    Ok(())
}

/// Whether Databricks can assume the role the ARN names and finds some policy in it.
///
/// Roles of other accounts are taken on trust. Which actions the policies allow is not simulated.
pub(crate) fn assumable(view: &View, arn: &str) -> bool {
    let Some(name) = own_role(view, arn) else { return true };
    let Some(role) = view.get(ROLE, name) else { return false };
    let has = |field: &str| match &role.props[field] {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    let may = has("inline") || has("managed");
    role.outside || (settled(view, role.changed_at) && trusts_databricks(role) && may)
}

fn trusts_databricks(role: &Object) -> bool {
    mentions_databricks(&role.props["trust"])
}

/// Whether a policy names a principal of an AWS account of Databricks.
pub(crate) fn mentions_databricks(policy: &Value) -> bool {
    let statements = policy["statements"].as_array();
    let allowing = statements.into_iter().flatten().filter(|s| s["allow"] == json!(true));
    let mut principals = allowing.flat_map(|s| texts(&s["principals"]));
    // Commercial, GovCloud civilian, GovCloud DoD: the constants of Databricks' Terraform provider.
    const ACCOUNTS: [&str; 3] = ["414351767826", "044793339203", "170661010020"];
    principals.any(|p| ACCOUNTS.iter().any(|a| p.contains(&format!(":iam::{a}:"))))
}
