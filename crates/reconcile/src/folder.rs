//! Which stacks a folder holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use spec::{Diagnostic, SourceFile};

use crate::policy::Policy;
use crate::schedule::Defined;

/// Says what cannot be told from the files of the folder alone.
const CONFIG: &str = "reconcile.yaml";
/// A sub-folder is a stack when one of these is in it.
const SPECS: [&str; 3] = ["dbxctl.yaml", "dbxctl.yml", "dbxctl.json"];

/// `reconcile.yaml`: which specs of the folder are stacks, how often they are looked at and what is
/// done about differences.
///
/// Without it every spec of the folder, and every sub-folder with a `dbxctl.yaml`, is a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is done about differences, unless the stack says it.
    pub policy: Option<Policy>,
    /// How long a stack is left alone after a turn, unless it says it itself.
    pub interval: Option<Interval>,
    /// Stacks by name: the name of a spec without its ending, the name of a sub-folder, or a new one
    /// for files that are merged.
    pub stacks: BTreeMap<String, StackConfig>,
}

/// What one stack has of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StackConfig {
    /// Spec files, relative to the folder; the later are merged over the earlier. A file that is named
    /// here is no stack by itself.
    pub files: Vec<PathBuf>,
    /// What is done about differences.
    pub policy: Option<Policy>,
    /// How long the stack is left alone after a turn.
    pub interval: Option<Interval>,
}

/// A time with units: `90s`, `10m`, `1h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^([1-9][0-9]*[smh] ?)+$"))]
pub struct Interval(pub Duration);

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.parse::<SignedDuration>().ok();
        let positive = parsed.filter(SignedDuration::is_positive);
        let duration = positive.and_then(|duration| Duration::try_from(duration).ok());
        let wrong = || format!("`{text}` is not a time such as `90s`, `10m` or `1h 30m`");
        duration.map(Interval).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Interval {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Interval> for String {
    fn from(Interval(duration): Interval) -> String {
        format!("{}s", duration.as_secs())
    }
}

/// What holds for stacks that nothing else is said about.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    pub policy: Policy,
    pub interval: Duration,
}

/// A stack as the folder has it: what is read once stays the same for a whole turn.
#[derive(Debug, Clone)]
pub struct Stack {
    /// The spec files in the order they are merged, or why one cannot be read.
    pub files: Result<Vec<(PathBuf, Vec<u8>)>, String>,
    pub policy: Policy,
    pub interval: Duration,
}

impl Stack {
    /// What the schedule has to know.
    pub fn defined(&self) -> Defined {
        let mut hash = Sha256::new();
        hash.update(format!("{:?}", self.policy));
        match &self.files {
            Ok(files) => {
                for (path, bytes) in files {
                    hash.update(path.as_os_str().as_encoded_bytes());
                    hash.update((bytes.len() as u64).to_be_bytes());
                    hash.update(bytes);
                }
            }
            Err(why) => hash.update(why),
        }
        let fingerprint = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Defined { interval: self.interval, fingerprint }
    }
}

/// Why it cannot be said which stacks there are.
#[derive(Debug)]
pub enum Mistake {
    /// In words.
    Told(String),
    /// In places of `reconcile.yaml`.
    Config(Vec<Diagnostic>, SourceFile),
}

/// The JSON Schema of `reconcile.yaml`.
pub fn config_schema() -> serde_json::Value {
    spec::schema_of::<Config>()
}

/// All stacks of a folder by name, with what their files hold now.
pub fn stacks(folder: &Path, defaults: Defaults) -> Result<BTreeMap<String, Stack>, Mistake> {
    let config = config(folder)?;
    let named: BTreeSet<&PathBuf> = config.stacks.values().flat_map(|s| &s.files).collect();
    let mut files: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for (name, file) in found(folder)? {
        if named.contains(&file) {
            continue;
        }
        if let Some(other) = files.insert(name.clone(), vec![file.clone()]) {
            let (one, two) = (other[0].display(), file.display());
            let why =
                format!("`{one}` and `{two}` are both the stack `{name}`: rename one of them");
            return Err(Mistake::Told(why));
        }
    }
    for (name, stack) in &config.stacks {
        match (stack.files.is_empty(), files.contains_key(name)) {
            (true, true) => {}
            (false, false) => {
                files.insert(name.clone(), stack.files.clone());
            }
            (true, false) => {
                return Err(Mistake::Told(format!(
                    "`{CONFIG}` speaks of the stack `{name}`, and there is no `{name}.yaml` and no \
                     `{name}/dbxctl.yaml`: name its `files`"
                )));
            }
            (false, true) => {
                return Err(Mistake::Told(format!(
                    "`{CONFIG}` has `files` for the stack `{name}`, and `{}` is that stack already: \
                     give it another name, or put that file on its list",
                    files[name][0].display()
                )));
            }
        }
    }
    let stack = |(name, paths): (String, Vec<PathBuf>)| {
        let own = config.stacks.get(&name);
        let policy = own.and_then(|own| own.policy).or(config.policy);
        let interval = own.and_then(|own| own.interval).or(config.interval);
        let stack = Stack {
            files: paths.iter().map(|path| read(&folder.join(path))).collect(),
            policy: policy.unwrap_or(defaults.policy),
            interval: interval.map_or(defaults.interval, |interval| interval.0),
        };
        (name, stack)
    };
    Ok(files.into_iter().map(stack).collect())
}

fn config(folder: &Path) -> Result<Config, Mistake> {
    let path = folder.join(CONFIG);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Config::default()),
        Err(error) => return Err(cannot_read(&path, &error)),
    };
    let file = SourceFile::from_bytes(path.display().to_string(), bytes);
    let file = file.map_err(|mistake| {
        Mistake::Config(vec![*mistake], SourceFile::new(path.display().to_string(), ""))
    })?;
    spec::document(&file, &config_schema()).map_err(|found| Mistake::Config(found, file))
}

/// The specs that lie in the folder and in its sub-folders: name, and path from the folder.
fn found(folder: &Path) -> Result<Vec<(String, PathBuf)>, Mistake> {
    let entries = std::fs::read_dir(folder).map_err(|error| cannot_read(folder, &error))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| cannot_read(folder, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name == CONFIG {
            continue;
        }
        // Follows links: a mounted volume is made of them.
        if entry.path().is_dir() {
            let spec = SPECS.iter().find(|spec| entry.path().join(spec).is_file());
            found.extend(spec.map(|spec| (name.clone(), Path::new(&name).join(spec))));
        } else if let Some((stem, "yaml" | "yml" | "json")) = name.rsplit_once('.') {
            found.push((stem.to_owned(), PathBuf::from(&name)));
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<(PathBuf, Vec<u8>), String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok((path.to_owned(), bytes)),
        Err(error) => Err(format!("cannot read `{}`: {error}", path.display())),
    }
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Mistake {
    Mistake::Told(format!("cannot read `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    const DEFAULTS: Defaults =
        Defaults { policy: Policy::Report, interval: Duration::from_secs(600) };

    fn folder(files: &[(&str, &str)]) -> TempDir {
        let folder = TempDir::new().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        folder
    }

    /// Each stack in a line: name, its files, policy, seconds.
    fn lines(files: &[(&str, &str)]) -> Vec<String> {
        let folder = folder(files);
        let stacks = stacks(folder.path(), DEFAULTS).expect("it can be told");
        let line = |(name, stack): (&String, &Stack)| {
            let short = |path: &PathBuf| {
                let path = path.strip_prefix(folder.path()).expect("it is in the folder");
                path.display().to_string()
            };
            let files = match &stack.files {
                Ok(files) => {
                    files.iter().map(|(path, _)| short(path)).collect::<Vec<_>>().join("+")
                }
                Err(_) => "unreadable".to_owned(),
            };
            format!("{name}: {files} {:?} {}", stack.policy, stack.interval.as_secs())
        };
        stacks.iter().map(line).collect()
    }

    fn refused(files: &[(&str, &str)]) -> String {
        let folder = folder(files);
        match stacks(folder.path(), DEFAULTS).expect_err("it cannot be told") {
            Mistake::Told(why) => why,
            Mistake::Config(found, _) => {
                found.iter().map(|one| one.message.as_str()).collect::<Vec<_>>().join("; ")
            }
        }
    }

    #[test]
    fn specs_and_folders_with_one_are_stacks() {
        let files = [
            ("wk1.yaml", ""),
            ("wk2.json", ""),
            ("wk3.yml", ""),
            ("README.md", ""),
            (".hidden.yaml", ""),
            ("team/dbxctl.yaml", ""),
            ("docs/notes.yaml", ""),
            (".git/dbxctl.yaml", ""),
        ];
        assert_eq!(
            lines(&files),
            [
                "team: team/dbxctl.yaml Report 600",
                "wk1: wk1.yaml Report 600",
                "wk2: wk2.json Report 600",
                "wk3: wk3.yml Report 600",
            ]
        );
    }

    #[test]
    fn the_config_merges_files_and_chooses_policies() {
        let config = "
            policy: safe
            stacks:
              prod: { files: [base.yaml, envs/prod.yaml], policy: all, interval: 1h 30m }
              wk1: { interval: 90s }
              lost: { files: [nowhere.yaml] }
        ";
        let files = [
            ("reconcile.yaml", config),
            ("base.yaml", ""),
            ("envs/prod.yaml", ""),
            ("wk1.yaml", ""),
            ("wk2.yaml", ""),
        ];
        assert_eq!(
            lines(&files),
            [
                "lost: unreadable Safe 600",
                "prod: base.yaml+envs/prod.yaml All 5400",
                "wk1: wk1.yaml Safe 90",
                "wk2: wk2.yaml Safe 600",
            ]
        );
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[("a.yaml", ""), ("a/dbxctl.yaml", "")], "are both the stack `a`"),
            (&[("reconcile.yaml", "stacks: { b: {} }")], "name its `files`"),
            (
                &[("reconcile.yaml", "stacks: { b: { files: [c.yaml] } }"), ("b.yaml", "")],
                "is that stack already",
            ),
            (&[("reconcile.yaml", "policy: some")], "policy"),
            (&[("reconcile.yaml", "polic: all")], "polic"),
            (&[("reconcile.yaml", "interval: soon")], "`soon`"),
        ];
        for (files, expected) in cases {
            let why = refused(files);
            assert!(why.contains(expected), "{why}");
        }
    }

    #[test]
    fn another_text_or_policy_is_a_change() {
        let fingerprint = |files: &[(&str, &str)]| {
            let folder = folder(files);
            let all = stacks(folder.path(), DEFAULTS).expect("it can be told");
            let (name, bytes) =
                (PathBuf::from("a"), all["a"].files.clone().expect("read")[0].1.clone());
            Stack { files: Ok(vec![(name, bytes)]), ..all["a"].clone() }.defined().fingerprint
        };
        let one = fingerprint(&[("a.yaml", "1")]);
        assert_eq!(one, fingerprint(&[("a.yaml", "1"), ("b.yaml", "2")]));
        assert_ne!(one, fingerprint(&[("a.yaml", "2")]));
        assert_ne!(one, fingerprint(&[("a.yaml", "1"), ("reconcile.yaml", "policy: all")]));
    }
}
