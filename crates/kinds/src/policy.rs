//! IAM policy documents as values: built from references, compared without regard to order.
//!
//! A policy stays structured until it is sent, so that it may name what does not exist yet.

use std::collections::{BTreeMap, BTreeSet};

use cloud::{Class, Error, Result};
use engine::Ref;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::Arn;

/// A policy document of the version `2012-10-17`.
///
/// Two policies are equal if they hold the same statements in any order; as JSON the statements come
/// sorted, so that equal policies have equal bytes.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Policy {
    pub statements: Vec<Statement>,
}

/// One statement. The default is a denial that matches nothing, so a forgotten field widens nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Statement {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    pub allow: bool,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub principals: BTreeSet<Principal>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub not_principals: BTreeSet<Principal>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub actions: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub not_actions: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub resources: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub not_resources: BTreeSet<String>,
    /// Operator → key → values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub conditions: Conditions,
}

/// Operator → key → values.
pub type Conditions = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Whom a statement is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Principal {
    /// An account root, role or user, by ARN; AWS shows a deleted one as an id such as `AROA…`.
    Aws(Ref<Arn>),
    Service(String),
    Federated(String),
    /// The canonical user id of an S3 account.
    Canonical(String),
    /// `"*"` and `{"AWS": "*"}`, which mean the same.
    Anyone,
}

impl Policy {
    /// A policy of these statements.
    pub fn new(statements: impl IntoIterator<Item = Statement>) -> Self {
        Policy { statements: statements.into_iter().collect() }
    }

    /// The AWS document. An error means that a reference is not bound: a bug of the engine.
    pub fn to_json(&self) -> Result<String> {
        let statements = self.sorted().into_iter().map(document).collect::<Result<Vec<_>>>()?;
        Ok(json!({ "Version": "2012-10-17", "Statement": statements }).to_string())
    }

    /// Reads an AWS document; every list may also be a single value.
    pub fn from_json(text: &str) -> Result<Self> {
        let unreadable = |why: String| Error::new(Class::Other, "policy document", why);
        let value: Value = serde_json::from_str(text).map_err(|e| unreadable(e.to_string()))?;
        let statements = match value.get("Statement") {
            Some(Value::Array(items)) => items.iter().collect(),
            Some(one) => vec![one],
            None => Vec::new(),
        };
        let statements = statements.into_iter().map(statement).collect::<Result<_, _>>();
        Ok(Policy { statements: statements.map_err(unreadable)? })
    }

    /// The same policy without the principals `is` holds for, and without the statements that then
    /// have none left.
    #[must_use]
    pub fn without(&self, is: impl Fn(&Principal) -> bool) -> Self {
        let mut statements = Vec::with_capacity(self.statements.len());
        for statement in &self.statements {
            let mut kept = statement.clone();
            kept.principals.retain(|p| !is(p));
            if !kept.principals.is_empty() || statement.principals.is_empty() {
                statements.push(kept);
            }
        }
        Policy { statements }
    }

    fn sorted(&self) -> BTreeSet<&Statement> {
        self.statements.iter().collect()
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.sorted() == other.sorted()
    }
}

impl Eq for Policy {}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut policy = serializer.serialize_struct("Policy", 1)?;
        policy.serialize_field("statements", &self.sorted())?;
        policy.end()
    }
}

fn document(statement: &Statement) -> Result<Value> {
    let Statement {
        sid,
        allow,
        principals,
        not_principals,
        actions,
        not_actions,
        resources,
        not_resources,
        conditions,
    } = statement;
    let mut document = Map::new();
    if let Some(sid) = sid {
        document.insert("Sid".to_owned(), json!(sid));
    }
    document.insert("Effect".to_owned(), json!(if *allow { "Allow" } else { "Deny" }));
    for (key, set) in [("Principal", principals), ("NotPrincipal", not_principals)] {
        if !set.is_empty() {
            document.insert(key.to_owned(), who(set)?);
        }
    }
    let lists = [
        ("Action", actions),
        ("NotAction", not_actions),
        ("Resource", resources),
        ("NotResource", not_resources),
    ];
    for (key, set) in lists {
        if !set.is_empty() {
            document.insert(key.to_owned(), json!(set));
        }
    }
    if !conditions.is_empty() {
        document.insert("Condition".to_owned(), json!(conditions));
    }
    Ok(Value::Object(document))
}

fn who(principals: &BTreeSet<Principal>) -> Result<Value> {
    if principals.len() == 1 && principals.contains(&Principal::Anyone) {
        return Ok(json!("*"));
    }
    let mut by_type: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for principal in principals {
        let (kind, name) = match principal {
            Principal::Aws(arn) => ("AWS", arn.get()?.0.as_str()),
            Principal::Service(name) => ("Service", name.as_str()),
            Principal::Federated(name) => ("Federated", name.as_str()),
            Principal::Canonical(id) => ("CanonicalUser", id.as_str()),
            Principal::Anyone => ("AWS", "*"),
        };
        by_type.entry(kind).or_default().push(name);
    }
    Ok(json!(by_type))
}

fn statement(value: &Value) -> Result<Statement, String> {
    let allow = match value.get("Effect").and_then(Value::as_str) {
        Some("Allow") => true,
        Some("Deny") => false,
        other => return Err(format!("a statement has the effect {other:?}")),
    };
    Ok(Statement {
        sid: value.get("Sid").and_then(Value::as_str).filter(|s| !s.is_empty()).map(str::to_owned),
        allow,
        principals: principals(value.get("Principal"))?,
        not_principals: principals(value.get("NotPrincipal"))?,
        actions: texts(value.get("Action"))?,
        not_actions: texts(value.get("NotAction"))?,
        resources: texts(value.get("Resource"))?,
        not_resources: texts(value.get("NotResource"))?,
        conditions: conditions(value.get("Condition"))?,
    })
}

fn principals(value: Option<&Value>) -> Result<BTreeSet<Principal>, String> {
    let by_type = match value {
        None => return Ok(BTreeSet::new()),
        Some(Value::String(star)) if star == "*" => return Ok([Principal::Anyone].into()),
        Some(Value::Object(by_type)) => by_type,
        Some(other) => return Err(format!("a principal is {other}")),
    };
    let mut found = BTreeSet::new();
    for (kind, names) in by_type {
        for name in texts(Some(names))? {
            found.insert(match kind.as_str() {
                "AWS" if name == "*" => Principal::Anyone,
                "AWS" => Principal::Aws(Ref::Known(Arn(name))),
                "Service" => Principal::Service(name),
                "Federated" => Principal::Federated(name),
                "CanonicalUser" => Principal::Canonical(name),
                other => return Err(format!("a principal has the type `{other}`")),
            });
        }
    }
    Ok(found)
}

fn conditions(value: Option<&Value>) -> Result<Conditions, String> {
    let mut found = Conditions::new();
    for (operator, keys) in value.and_then(Value::as_object).into_iter().flatten() {
        let keys = keys.as_object().ok_or_else(|| format!("the condition {operator} is {keys}"))?;
        let tests = found.entry(operator.clone()).or_default();
        for (key, values) in keys {
            tests.insert(key.clone(), texts(Some(values))?);
        }
    }
    Ok(found)
}

fn texts(value: Option<&Value>) -> Result<BTreeSet<String>, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        other => Err(format!("{other} stands where text belongs")),
    };
    match value {
        None => Ok(BTreeSet::new()),
        Some(Value::Array(items)) => items.iter().map(text).collect(),
        Some(one) => Ok([text(one)?].into()),
    }
}

#[cfg(test)]
mod tests {
    use engine::{Address, Output};

    use super::*;

    fn trust() -> Policy {
        let external = BTreeMap::from([("sts:ExternalId".to_owned(), ["a-b".to_owned()].into())]);
        Policy::new([
            Statement {
                sid: Some("Databricks".to_owned()),
                allow: true,
                principals: [
                    Principal::Aws(Ref::Known(Arn::from("arn:aws:iam::1:root"))),
                    Principal::Service("ec2.amazonaws.com".to_owned()),
                ]
                .into(),
                actions: ["sts:AssumeRole".to_owned()].into(),
                conditions: [("StringEquals".to_owned(), external)].into(),
                ..Statement::default()
            },
            Statement {
                principals: [Principal::Anyone].into(),
                actions: ["s3:*".to_owned()].into(),
                resources: ["b".to_owned(), "a".to_owned()].into(),
                ..Statement::default()
            },
        ])
    }

    #[test]
    fn documents_round_trip() {
        let policy = trust();
        let document = policy.to_json().unwrap();
        assert_eq!(Policy::from_json(&document).unwrap(), policy, "{document}");
        let own: Policy = serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
        assert_eq!(own, policy);
    }

    #[test]
    fn writing_does_not_matter() {
        let reordered = Policy { statements: trust().statements.into_iter().rev().collect() };
        assert_eq!(
            serde_json::to_string(&reordered).unwrap(),
            serde_json::to_string(&trust()).unwrap()
        );

        let canonical = r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":["a","b"],
            "Resource":["r"],"Condition":{"Bool":{"k":["true"]}}}]}"#;
        let same = [
            r#"{"Version":"2012-10-17","Id":"x","Statement":{"Effect":"Allow","Principal":{"AWS":"*"},
                "Action":["b","a"],"Resource":"r","Condition":{"Bool":{"k":true}}}}"#,
            r#"{"Statement":[{"Sid":"","Effect":"Allow","Principal":{"AWS":["*"]},
                "Action":["b","a","a"],"Resource":"r","Condition":{"Bool":{"k":"true"}}}]}"#,
        ];
        for document in same {
            assert_eq!(Policy::from_json(document), Policy::from_json(canonical), "{document}");
        }
        let other = canonical.replace("Allow", "Deny");
        assert_ne!(Policy::from_json(&other), Policy::from_json(canonical));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        let broken = [
            "{",
            r#"{"Statement":{"Effect":"Maybe"}}"#,
            r#"{"Statement":{"Effect":"Allow","Principal":["x"]}}"#,
            r#"{"Statement":{"Effect":"Allow","Principal":{"Martian":"x"}}}"#,
            r#"{"Statement":{"Effect":"Allow","Action":[{}]}}"#,
            r#"{"Statement":{"Effect":"Allow","Condition":{"Bool":"x"}}}"#,
        ];
        for document in broken {
            assert!(Policy::from_json(document).is_err(), "{document}");
        }
    }

    #[test]
    fn an_unbound_principal_is_seen_by_the_engine_and_never_sent() {
        let output = Output { address: Address::new("aws.role", "x"), field: "arn".to_owned() };
        let policy = Policy::new([Statement {
            principals: [Principal::Aws(Ref::Output(output.clone()))].into(),
            ..Statement::default()
        }]);
        assert_eq!(engine::outputs(&serde_json::to_value(&policy).unwrap()), [output]);
        assert!(policy.to_json().is_err());
    }

    #[test]
    fn without_drops_statements_left_with_nobody() {
        let is_root = |p: &Principal| matches!(p, Principal::Aws(_));
        let kept = trust().without(is_root);
        assert_eq!(kept.statements.len(), 2);
        let kept = kept.without(|p| matches!(p, Principal::Service(_)));
        assert_eq!(kept.statements.len(), 1);
    }
}
