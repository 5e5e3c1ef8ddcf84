//! Endpoint policies: whether they let through what nodes need.

use std::collections::BTreeSet;

use kinds::policy::{Policy, Principal, Statement};

use crate::pattern::{self, Case};

/// One thing that must be allowed.
#[derive(Debug, Clone)]
pub(super) struct Need {
    pub(super) action: &'static str,
    pub(super) resource: String,
    /// The account that calls; `None` when no source says which.
    pub(super) caller: Option<String>,
    /// The account that owns the resource.
    pub(super) owner: Option<String>,
}

/// What a policy says to what is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judged {
    Allowed,
    Denied(String),
    Unclear(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
    Unclear,
}

impl Holds {
    fn of(holds: bool) -> Holds {
        if holds { Holds::Yes } else { Holds::No }
    }

    fn and(self, other: Holds) -> Holds {
        match (self, other) {
            (Holds::No, _) | (_, Holds::No) => Holds::No,
            (Holds::Unclear, _) | (_, Holds::Unclear) => Holds::Unclear,
            _ => Holds::Yes,
        }
    }

    fn or(self, other: Holds) -> Holds {
        match (self, other) {
            (Holds::Yes, _) | (_, Holds::Yes) => Holds::Yes,
            (Holds::Unclear, _) | (_, Holds::Unclear) => Holds::Unclear,
            _ => Holds::No,
        }
    }

    fn not(self) -> Holds {
        match self {
            Holds::Yes => Holds::No,
            Holds::No => Holds::Yes,
            Holds::Unclear => Holds::Unclear,
        }
    }
}

/// Whether a policy allows everything that is needed.
pub(super) fn judge(policy: &Policy, needs: &[Need]) -> Judged {
    let mut unclear = None;
    for need in needs {
        let what = || format!("`{}` on `{}`", need.action, need.resource);
        let some = |allow: bool| {
            let statements = policy.statements.iter().filter(|s| s.allow == allow);
            statements.map(|s| applies(s, need)).fold(Holds::No, Holds::or)
        };
        match some(true).and(some(false).not()) {
            Holds::Yes => {}
            Holds::No => return Judged::Denied(what()),
            Holds::Unclear => unclear = Some(what()),
        }
    }
    match unclear {
        None => Judged::Allowed,
        Some(what) => {
            Judged::Unclear(format!("whether its policy allows {what} hangs on conditions"))
        }
    }
}

/// Whether a policy allows everybody everything.
pub(crate) fn allows_everything(policy: &Policy) -> bool {
    let full = |statement: &Statement| {
        let star = |set: &BTreeSet<String>| set.contains("*");
        statement.principals.contains(&Principal::Anyone)
            && star(&statement.actions)
            && star(&statement.resources)
            && statement.conditions.is_empty()
    };
    policy.statements.iter().all(|s| s.allow) && policy.statements.iter().any(full)
}

fn applies(statement: &Statement, need: &Need) -> Holds {
    let either = |set: &BTreeSet<String>, not: &BTreeSet<String>, text: &str, case| {
        let listed = |set: &BTreeSet<String>| set.iter().any(|p| pattern::fits(p, text, case));
        Holds::of(listed(set) || (!not.is_empty() && !listed(not)))
    };
    let action = either(&statement.actions, &statement.not_actions, need.action, Case::Ignored);
    let resource =
        either(&statement.resources, &statement.not_resources, &need.resource, Case::Counts);
    action.and(resource).and(principal(statement, need)).and(conditions(statement, need))
}

fn principal(statement: &Statement, need: &Need) -> Holds {
    let any = |set: &BTreeSet<Principal>| {
        set.iter().map(|p| is_caller(p, need)).fold(Holds::No, Holds::or)
    };
    if statement.not_principals.is_empty() {
        any(&statement.principals)
    } else {
        any(&statement.not_principals).not()
    }
}

fn is_caller(principal: &Principal, need: &Need) -> Holds {
    let arn = match principal {
        Principal::Anyone => return Holds::Yes,
        Principal::Aws(engine::Ref::Known(arn)) => arn.0.as_str(),
        Principal::Aws(engine::Ref::Output(_)) => return Holds::Unclear,
        Principal::Service(_) | Principal::Federated(_) | Principal::Canonical(_) => {
            return Holds::No;
        }
    };
    let Some(caller) = &need.caller else { return Holds::Unclear };
    let mut parts = arn.splitn(6, ':').skip(4);
    match (parts.next(), parts.next()) {
        (Some(account), Some("root")) => Holds::of(account == caller),
        (Some(account), _) if account != caller => Holds::No,
        (None, _) => Holds::of(arn == caller),
        // One role or user of the account, which may or may not be the one that calls.
        _ => Holds::Unclear,
    }
}

fn conditions(statement: &Statement, need: &Need) -> Holds {
    let mut all = Holds::Yes;
    for (operator, keys) in &statement.conditions {
        let operator = operator.strip_suffix("IfExists").unwrap_or(operator);
        for (key, values) in keys {
            let actual = match key.to_ascii_lowercase().as_str() {
                "aws:principalaccount" => need.caller.as_deref(),
                "aws:resourceaccount" | "s3:resourceaccount" => need.owner.as_deref(),
                _ => None,
            };
            let Some(actual) = actual else {
                all = all.and(Holds::Unclear);
                continue;
            };
            let equal = || values.iter().any(|v| v == actual);
            let similar = || values.iter().any(|v| pattern::fits(v, actual, Case::Counts));
            all = all.and(match operator {
                "StringEquals" => Holds::of(equal()),
                "StringNotEquals" => Holds::of(!equal()),
                "StringLike" => Holds::of(similar()),
                "StringNotLike" => Holds::of(!similar()),
                _ => Holds::Unclear,
            });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(action: &'static str, resource: &str) -> Need {
        let account = |id: &str| Some(id.to_owned());
        Need { action, resource: resource.to_owned(), caller: account("1"), owner: account("2") }
    }

    fn says(document: &str, needs: &[Need]) -> Judged {
        judge(&Policy::from_json(document).expect("a policy"), needs)
    }

    #[test]
    fn allowed_denied_and_unclear() {
        let get = || [need("s3:GetObject", "arn:aws:s3:::b/*")];
        let with = |condition: &str| {
            format!(
                r#"{{"Statement":{{"Effect":"Allow","Principal":"*","Action":"s3:Get*",
                "Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"],"Condition":{condition}}}}}"#
            )
        };
        assert_eq!(says(&with("{}"), &get()), Judged::Allowed);
        let account = |id: &str| format!(r#"{{"StringEquals":{{"aws:PrincipalAccount":"{id}"}}}}"#);
        assert_eq!(says(&with(&account("1")), &get()), Judged::Allowed);
        assert!(matches!(says(&with(&account("3")), &get()), Judged::Denied(_)));
        let org = r#"{"StringEquals":{"aws:PrincipalOrgID":"o"}}"#;
        assert!(matches!(says(&with(org), &get()), Judged::Unclear(_)));
        let put = [need("s3:PutObject", "arn:aws:s3:::b/*")];
        assert!(matches!(says(&with("{}"), &put), Judged::Denied(_)));
        let deny = r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},
            {"Effect":"Deny","Principal":"*","NotAction":"s3:Put*","Resource":"*"}]}"#;
        assert!(matches!(says(deny, &get()), Judged::Denied(_)));
        assert_eq!(says(deny, &put), Judged::Allowed);
        let root = r#"{"Statement":{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::1:root"]},
            "Action":"*","Resource":"*"}}"#;
        assert_eq!(says(root, &get()), Judged::Allowed);
        assert!(!allows_everything(&Policy::from_json(root).expect("a policy")));
    }
}
