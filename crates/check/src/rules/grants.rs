//! What policies grant, as far as it can be seen without asking AWS.

use std::collections::BTreeSet;

use engine::Ref;
use kinds::policy::{Policy, Principal, Statement};

use crate::pattern::{self, Case};

/// Whether a pattern of IAM fits a text, in capitals or not: nobody gives two things names that differ in
/// that alone.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    pattern::fits(pattern, text, Case::Ignored)
}

/// Whether a statement is about an action.
pub(super) fn about(statement: &Statement, action: &str) -> bool {
    if statement.not_actions.is_empty() {
        statement.actions.contains(action) || statement.actions.iter().any(|a| fits(a, action))
    } else {
        !statement.not_actions.iter().any(|a| fits(a, action))
    }
}

/// Whether a statement is about all of a resource, which may itself be a pattern such as `…/*`.
pub(super) fn on(statement: &Statement, resource: &str) -> bool {
    if statement.not_resources.is_empty() {
        statement.resources.iter().any(|r| fits(r, resource))
    } else {
        !statement.not_resources.iter().any(|r| fits(r, resource) || fits(resource, r))
    }
}

/// The statements that allow an action.
pub(super) fn allowing<'p>(
    policies: impl IntoIterator<Item = &'p Policy>,
    action: &str,
) -> impl Iterator<Item = &'p Statement> {
    let statements = policies.into_iter().flat_map(|policy| &policy.statements);
    statements.filter(move |s| s.allow && about(s, action))
}

/// The ARNs and account numbers a statement names as principals.
pub(super) fn principals(statement: &Statement) -> impl Iterator<Item = &str> {
    statement.principals.iter().filter_map(|principal| match principal {
        Principal::Aws(Ref::Known(arn)) => Some(arn.0.as_str()),
        _ => None,
    })
}

/// The account of a principal or resource: the fifth part of an ARN, or the bare number.
pub(super) fn account(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap_or(arn)
}

/// Whether a statement admits a whole account.
pub(super) fn admits_account(statement: &Statement, number: &str) -> bool {
    principals(statement).any(|p| account(p) == number && (p.ends_with(":root") || p == number))
}

/// The values that a condition of a statement asks a key to equal.
pub(super) fn equals<'s>(statement: &'s Statement, key: &str) -> BTreeSet<&'s str> {
    let keys = statement.conditions.get("StringEquals").into_iter().flatten();
    let values = keys.filter(|(name, _)| name.eq_ignore_ascii_case(key));
    values.flat_map(|(_, values)| values).map(String::as_str).collect()
}

/// The values of all conditions on a key, whatever the operator.
pub(super) fn conditions<'s>(statement: &'s Statement, key: &str) -> BTreeSet<&'s str> {
    let tests = statement.conditions.values().flatten();
    let values = tests.filter(|(name, _)| name.eq_ignore_ascii_case(key));
    values.flat_map(|(_, values)| values).map(String::as_str).collect()
}
