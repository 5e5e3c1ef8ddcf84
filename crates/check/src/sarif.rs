//! Findings as SARIF 2.1.0, for code scanning.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::rules::{self, Decided, Rule};
use crate::{Finding, Report, Severity};

/// A place in a file; line and column from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Location {
    pub file: String,
    pub line: usize,
    pub column: usize,
}

/// The findings of a report as a SARIF log; `locate` says where a JSON pointer of the spec is written.
pub fn sarif(report: &Report, locate: &dyn Fn(&str) -> Option<Location>) -> Value {
    // Other rules are never broken here.
    let found = |rule: &&Rule| matches!(rule.decided, Decided::Here(_) | Decided::Proof);
    let catalogue: Vec<&Rule> = rules::all().filter(found).collect();
    let index: BTreeMap<&str, usize> =
        catalogue.iter().enumerate().map(|(index, rule)| (rule.id, index)).collect();
    let mut seen = BTreeMap::new();
    let result = |finding: &Finding| {
        let nth = seen.entry(fingerprint(finding)).or_insert(0_usize);
        *nth += 1;
        result(finding, index.get(finding.rule), *nth, locate(&finding.pointer))
    };
    let results: Vec<Value> = report.findings.iter().map(result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "dbxctl",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": catalogue.iter().map(|rule| self::rule(rule)).collect::<Vec<_>>(),
            } },
            // One upload for each stack: they do not replace each other.
            "automationDetails": { "id": format!("dbxctl/{}/", report.stack) },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "shortDescription": { "text": rule.when },
        "fullDescription": { "text": format!("{}. {}", rule.when, rule.source) },
        "help": { "text": rule.fix, "markdown": format!("**Fix:** {}\n\n{}", rule.fix, rule.source) },
        "defaultConfiguration": { "level": level(rule.severity) },
    })
}

fn result(
    finding: &Finding,
    rule: Option<&usize>,
    nth: usize,
    location: Option<Location>,
) -> Value {
    let symptom = finding.symptom.iter().map(|symptom| format!("\nUsers would see: {symptom}"));
    let text = format!("{}\nFix: {}{}", finding.message, finding.fix, symptom.collect::<String>());
    let mut place = json!({
        "logicalLocations": [{ "fullyQualifiedName": finding.subject, "kind": "resource" }],
    });
    if let Some(Location { file, line, column }) = location {
        place["physicalLocation"] = json!({
            "artifactLocation": artifact(&file),
            "region": { "startLine": line, "startColumn": column },
        });
    }
    let mut result = json!({
        "ruleId": finding.rule,
        "level": level(finding.severity),
        "message": { "text": text },
        "locations": [place],
        "partialFingerprints": { "dbxctlFinding/v1": format!("{}#{nth}", fingerprint(finding)) },
    });
    if let Some(index) = rule {
        result["ruleIndex"] = json!(index);
    }
    if let Some(reason) = &finding.accepted {
        result["suppressions"] = json!([{ "kind": "inSource", "justification": reason }]);
    }
    result
}

/// What stays the same when lines move and messages are worded otherwise.
fn fingerprint(finding: &Finding) -> String {
    format!("{}:{}:{}", finding.rule, finding.subject, finding.pointer)
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

/// A file as a URI: from the top of the repository, unless its path begins at the root.
fn artifact(file: &str) -> Value {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let encode = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    let path: String = file.strip_prefix("./").unwrap_or(file).bytes().map(encode).collect();
    match path.starts_with('/') {
        true => json!({ "uri": format!("file://{path}") }),
        false => json!({ "uri": path, "uriBaseId": "%SRCROOT%" }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{CHECK_FORMAT, Capacity};

    fn finding(rule: &'static str, severity: Severity, accepted: Option<&str>) -> Finding {
        Finding {
            rule,
            severity,
            subject: "aws.vpc/main".to_owned(),
            pointer: "/vpcs/main".to_owned(),
            message: "names are not resolved in vpc `main`".to_owned(),
            fix: "turn on DNS support".to_owned(),
            symptom: Some("Bootstrap Timeout".to_owned()),
            accepted: accepted.map(str::to_owned),
        }
    }

    fn report() -> Report {
        Report {
            format: CHECK_FORMAT,
            stack: "analytics".to_owned(),
            findings: vec![
                finding("DBX-NET-001", Severity::Error, None),
                finding("DBX-NET-001", Severity::Error, None),
                finding("DBX-NET-027", Severity::Warning, Some("agreed with the network team")),
                finding("DBX-NET-099", Severity::Info, None),
            ],
            proofs: Vec::new(),
            capacity: Capacity::default(),
            limits: Vec::new(),
        }
    }

    fn log() -> Value {
        sarif(&report(), &|pointer| {
            let file = format!("teams/my data{pointer}.yaml");
            Some(Location { file, line: 7, column: 3 })
        })
    }

    #[test]
    fn the_log_fits_the_schema_of_sarif() {
        let schema = include_str!("../tests/sarif/sarif-schema-2.1.0.json");
        // As published, its pattern for languages is no regular expression.
        let schema = schema.replace("{2}]?$", "{2}?$");
        let schema: Value = serde_json::from_str(&schema).expect("JSON");
        let validator = jsonschema::options().offline().build(&schema).expect("a schema");
        for log in [log(), sarif(&report(), &|_| None)] {
            let wrong: Vec<String> = validator.iter_errors(&log).map(|e| e.to_string()).collect();
            assert!(wrong.is_empty(), "{wrong:#?}\n{log:#}");
        }
    }

    #[test]
    fn results_say_where_how_bad_and_why_accepted() {
        let log = log();
        let results = log["runs"][0]["results"].as_array().expect("results");
        let print = |result: &Value| result["partialFingerprints"]["dbxctlFinding/v1"].clone();
        let place = &results[0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "teams/my%20data/vpcs/main.yaml");
        assert_eq!(place["region"], json!({ "startLine": 7, "startColumn": 3 }));
        assert_eq!(print(&results[0]), "DBX-NET-001:aws.vpc/main:/vpcs/main#1");
        assert_ne!(print(&results[0]), print(&results[1]));
        let levels: Vec<&Value> = results.iter().map(|result| &result["level"]).collect();
        assert_eq!(levels, ["error", "error", "warning", "note"]);
        assert_eq!(results[2]["suppressions"][0]["justification"], "agreed with the network team");
        assert_eq!(results[0].get("suppressions"), None);
    }

    #[test]
    fn every_rule_has_a_text_of_help_and_a_level() {
        let log = log();
        for rule in log["runs"][0]["tool"]["driver"]["rules"].as_array().expect("rules") {
            assert_ne!(rule["help"]["text"], "", "{rule}");
            assert!(
                ["error", "warning", "note"]
                    .contains(&rule["defaultConfiguration"]["level"].as_str().unwrap_or_default())
            );
        }
    }
}
