//! The catalogues. Kinds are read from their sources: one file per kind, one line per field in `diff`,
//! every call by its name. Rules are printed by the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::cargo::{build, output, root};
use crate::generated::File;

const FOLDERS: [&str; 2] = ["crates/kinds/src/aws", "crates/kinds/src/databricks"];

/// What `kinds::catalogue` reads, and the page shows.
#[derive(Serialize)]
struct Entry {
    name: String,
    about: String,
    service: String,
    replace: &'static str,
    precious: bool,
    /// The calls that make, change and delete an object.
    calls: BTreeMap<&'static str, BTreeSet<String>>,
    fields: Vec<Field>,
}

/// A field of the props, and what a difference in it costs.
#[derive(Serialize)]
struct Field {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    about: String,
    change: &'static str,
}

/// The pages of kinds and of rules.
pub(crate) fn files() -> Result<Vec<File>> {
    let mut files = kinds()?;
    files.push(rules()?);
    Ok(files)
}

/// Builds dbxctl and asks it for its rules.
fn rules() -> Result<File> {
    let dbxctl = build()?.join("dbxctl");
    let text = output(Command::new(&dbxctl).current_dir(root()).args(["check", "--rules"]))?;
    ensure!(text.contains("\n## "), "dbxctl check --rules printed no rules");
    Ok(File { path: PathBuf::from("specs/rules.md"), text })
}

/// Reads every kind; writes the page, and the same as data for the program.
fn kinds() -> Result<Vec<File>> {
    let mut entries = Vec::new();
    for folder in FOLDERS {
        let mut sources = BTreeMap::new();
        for file in fs::read_dir(root().join(folder)).context(folder)? {
            let path = file?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            sources.insert(name, fs::read_to_string(&path)?);
        }
        for module in sources.keys() {
            if let Some(entry) = parse(module, &sources) {
                ensure!(!entry.fields.is_empty(), "{folder}/{module}.rs: no fields found");
                for (does, calls) in &entry.calls {
                    // What comes to be with another object is made without a call.
                    let some = *does == "create" || !calls.is_empty();
                    ensure!(some, "{folder}/{module}.rs: `{does}` makes no call");
                }
                entries.push(entry);
            }
        }
    }
    ensure!(!entries.is_empty(), "no kinds found in {}", FOLDERS.join(", "));
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let data = serde_json::to_string_pretty(&entries)? + "\n";
    Ok(vec![
        File { path: PathBuf::from("specs/kinds.md"), text: page(&entries) },
        File { path: PathBuf::from("crates/kinds/src/catalogue.json"), text: data },
    ])
}

/// Finds the parts of a kind in its source; `None` for a file without one.
fn parse(module: &str, sources: &BTreeMap<String, String>) -> Option<Entry> {
    let source = sources.get(module)?.as_str();
    let name = constant(source, "NAME")?;
    let kind = source.split_once("impl Kind for ").or_else(|| source.split_once("Kind for "))?.1;
    let replace = match source.split_once("const REPLACE") {
        Some((_, rest)) if statement(rest).contains("CreateFirst") => "create first",
        _ => "delete first",
    };
    let precious =
        kind.split_once("const PRECIOUS").is_some_and(|(_, rest)| statement(rest).contains("true"));
    let about: Vec<&str> = source
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    let calls = ["create", "update", "delete"].into_iter().filter_map(|does| {
        body(source, does)?;
        let mut calls = Calls { sources, seen: BTreeSet::new(), found: BTreeSet::new() };
        calls.follow(module, does);
        Some((does, calls.found))
    });
    Some(Entry {
        name,
        about: about.join(" "),
        service: constant(source, "SERVICE").unwrap_or_default(),
        replace,
        precious,
        calls: calls.collect(),
        fields: fields(source),
    })
}

/// The changing calls of a function and of those it calls in the same folder.
struct Calls<'a> {
    sources: &'a BTreeMap<String, String>,
    seen: BTreeSet<(String, String)>,
    found: BTreeSet<String>,
}

impl Calls<'_> {
    fn follow(&mut self, module: &str, function: &str) {
        let Some(source) = self.sources.get(module) else { return };
        let Some(body) = body(source, function) else { return };
        if !self.seen.insert((module.to_owned(), function.to_owned())) {
            return;
        }
        self.found
            .extend(body.split('"').skip(1).step_by(2).filter(|t| changes(t)).map(String::from));
        let path =
            source.split_once("const PATH: &str = \"").and_then(|(_, rest)| rest.split('"').next());
        for (verb, method) in
            [("post", "POST"), ("put", "PUT"), ("patch", "PATCH"), ("delete", "DELETE")]
        {
            if let (true, Some(path)) = (body.contains(&format!("account.{verb}(")), path) {
                let id = if verb == "post" { "" } else { "/ID" };
                self.found.insert(format!("{method} {path}{id}"));
            }
        }
        for (at, _) in body.match_indices('(') {
            let word = |c: char| !(c.is_alphanumeric() || c == '_' || c == ':');
            let called = &body[body[..at].rfind(word).map_or(0, |i| i + 1)..at];
            match called.rsplit_once("::") {
                None => self.follow(module, called),
                Some(("super", called)) => self.follow("mod", called),
                Some((other, called)) => self.follow(other, called),
            }
        }
    }
}

/// The text of a function, from its name to the brace that ends it.
fn body<'a>(source: &'a str, function: &str) -> Option<&'a str> {
    let start = source.find(&format!("fn {function}("))?;
    let line = &source[source[..start].rfind('\n').map_or(0, |end| end + 1)..];
    let indent = &line[..line.len() - line.trim_start().len()];
    let rest = &source[start..];
    let end = rest.find(&format!("\n{indent}}}")).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// Whether a text names an action of AWS that changes something.
fn changes(text: &str) -> bool {
    let Some((service, action)) = text.split_once(':') else { return false };
    let reads = ["Describe", "Get", "List", "Head"];
    ["ec2", "iam", "s3"].contains(&service)
        && action.starts_with(|c: char| c.is_ascii_uppercase())
        && !reads.iter().any(|verb| action.starts_with(verb))
}

fn constant(source: &str, name: &str) -> Option<String> {
    let rest = source.split_once(&format!("const {name}: &'static str"))?.1;
    Some(statement(rest).split('"').nth(1)?.to_owned())
}

fn statement(rest: &str) -> &str {
    rest.split(';').next().unwrap_or_default()
}

fn fields(source: &str) -> Vec<Field> {
    let Some((_, rest)) = source.split_once("pub struct Props {") else { return Vec::new() };
    let body = rest.split_once("\n}").map_or(rest, |(body, _)| body);
    let mut fields = Vec::new();
    let mut about = Vec::new();
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            about.push(text.trim());
        } else if let Some((name, kind)) =
            line.strip_prefix("pub ").and_then(|declaration| declaration.split_once(':'))
        {
            fields.push(Field {
                name: name.to_owned(),
                kind: kind.trim().trim_end_matches(',').to_owned(),
                about: about.join(" "),
                change: change(source, name),
            });
            about.clear();
        }
    }
    fields
}

/// What the kind's `diff` does about a field.
fn change(source: &str, field: &str) -> &'static str {
    // Formatting may put the name on a line of its own.
    let dense: String = source.chars().filter(|c| !c.is_whitespace()).collect();
    if dense.contains(&format!(".replace(\"{field}\"")) {
        "new object"
    } else if dense.contains(&format!(".update(\"{field}\"")) {
        "in place"
    } else {
        "not compared"
    }
}

fn page(entries: &[Entry]) -> String {
    let mut text = String::from(
        "# Kinds\n\n\
         Every kind of resource dbxctl manages, with its fields and what a change of each costs.\n\
         Generated by `cargo xtask catalogue` from `crates/kinds`; do not edit.\n",
    );
    for Entry { name, about, service, replace, precious, calls, fields } in entries {
        let precious = if *precious { " Deleting it needs words in the spec." } else { "" };
        let _ = write!(
            text,
            "\n## `{name}`\n\n{about}\n\nService: {service}. Replacement: {replace}.{precious}\n\n"
        );
        for does in ["create", "update", "delete"] {
            let Some(calls) = calls.get(does) else { continue };
            let calls: Vec<String> = calls.iter().map(|call| format!("`{call}`")).collect();
            let calls = if calls.is_empty() { "no call".to_owned() } else { calls.join(", ") };
            let _ = writeln!(text, "- {does}: {calls}");
        }
        text += "\n| field | type | change | |\n|---|---|---|---|\n";
        for Field { name, kind, about, change } in fields {
            let about = about.replace('|', "\\|");
            let _ = writeln!(text, "| `{name}` | `{kind}` | {change} | {about} |");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{page, parse};

    const SOURCE: &str = r#"//! A subnet.
//!
//! More.

pub struct Props {
    /// Where it lies.
    pub vpc: Ref<VpcId>,
    pub public_ips: bool,
    pub tags: Tags,
}

impl Kind for Subnet {
    const NAME: &'static str = "aws.subnet";
    const SERVICE: &'static str = "ec2";
    const PRECIOUS: bool = true;

    fn diff(want: &Props, have: &Seen) -> Diff {
        Diff::default()
            .replace(
                "vpc", &want.vpc, &have.vpc)
            .update("public_ips", &want.public_ips, &have.public_ips)
    }

    async fn create(cloud: &Aws, props: &Props) -> Result<SubnetId> {
        let call = cloud.ec2.create_subnet().send().await.named("ec2:CreateSubnet")?;
        put(cloud).await
    }
}

async fn put(cloud: &Aws) -> Result<()> {
    super::gone("ec2:DescribeSubnets");
    call.send().await.named("ec2:CreateTags")
}
"#;

    #[test]
    fn a_kind_is_read_from_its_source() {
        let sources = [("subnet", SOURCE), ("mod", "//! Helpers.\nfn tags() {}\n")];
        let sources = sources.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let text = page(&[parse("subnet", &sources).expect("there is a kind")]);
        let expected = "\
## `aws.subnet`

A subnet.

Service: ec2. Replacement: delete first. Deleting it needs words in the spec.

- create: `ec2:CreateSubnet`, `ec2:CreateTags`

| field | type | change | |
|---|---|---|---|
| `vpc` | `Ref<VpcId>` | new object | Where it lies. |
| `public_ips` | `bool` | in place |  |
| `tags` | `Tags` | not compared |  |
";
        assert!(text.ends_with(expected), "{text}");
        assert!(parse("mod", &sources).is_none());
    }
}
