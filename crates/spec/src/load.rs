use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use serde_path_to_error::Segment;

use crate::{
    diagnostic::Diagnostic,
    env::{Secrets, Substitution},
    explain::check,
    meaning::Mistake,
    merge::merge,
    model::Spec,
    parse::parse,
    places::{Places, child, parent},
    read::{Reading, read as values},
    schema::{EDITORS, Schema},
    source::{SourceFile, Sources},
    tree::Value,
    words::{name, short},
};

/// A spec that is well formed and makes sense.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub spec: Spec,
    pub warnings: Vec<Diagnostic>,
    /// For checks that come later and must point at lines of the spec.
    pub places: Places,
    secrets: Secrets,
}

impl Loaded {
    /// What later checks found, at its place and without values from the environment.
    pub fn explain(&self, mistakes: impl IntoIterator<Item = Mistake>) -> Vec<Diagnostic> {
        sorted(explain(mistakes, &self.places, &self.secrets))
    }

    /// The text without values from the environment, as messages must be.
    pub fn hide(&self, text: String) -> String {
        self.secrets.hide(text)
    }
}

/// Reads the files, the later over the earlier, and checks everything that needs no network.
///
/// `env` looks up `${env:NAME}`; the values it gives are never part of a message. The error is
/// everything found wrong, in the order of the files, with the warnings among them.
pub fn load(
    files: &[SourceFile],
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Vec<Diagnostic>> {
    let Text { value: spec, mut problems, places, secrets } =
        read::<Spec>(files, env, &crate::schema())?;
    problems.extend(explain(crate::meaning::check(&spec), &places, &secrets));
    let warnings = done(problems)?;
    Ok(Loaded { spec, warnings, places, secrets })
}

/// Reads a document beside the specs: the same text format and checks, without an environment.
///
/// The error is everything found wrong.
pub fn document<T: DeserializeOwned>(
    file: &SourceFile,
    schema: &Json,
) -> Result<T, Vec<Diagnostic>> {
    read(std::slice::from_ref(file), &|_| None, schema).map(|text| text.value)
}

fn explain(
    mistakes: impl IntoIterator<Item = Mistake>,
    places: &Places,
    secrets: &Secrets,
) -> Vec<Diagnostic> {
    let explain = |mistake: Mistake| {
        let at = mistake.pointer.as_str();
        let problem = Diagnostic {
            severity: mistake.severity,
            place: if mistake.at_key { places.key(at) } else { places.find(at) },
            rule: mistake.rule,
            notes: mistake.notes.into_iter().map(|note| secrets.hide(note)).collect(),
            help: mistake.help.map(|help| secrets.hide(help)),
            ..Diagnostic::error(secrets.hide(mistake.message))
        };
        with_alias(places, at, problem)
    };
    mistakes.into_iter().map(explain).collect()
}

/// A value read from text, before its meaning is checked.
struct Text<T> {
    value: T,
    problems: Vec<Diagnostic>,
    places: Places,
    secrets: Secrets,
}

fn with_alias(places: &Places, pointer: &str, problem: Diagnostic) -> Diagnostic {
    match places.used_at(pointer) {
        Some(place) => problem.related(place.clone(), "used here"),
        None => problem,
    }
}

/// Text to a typed value: syntax, substitution, merge, schema, types.
fn read<T: DeserializeOwned>(
    files: &[SourceFile],
    env: &dyn Fn(&str) -> Option<String>,
    schema: &Json,
) -> Result<Text<T>, Vec<Diagnostic>> {
    let sources = Sources::new(files);
    let mut problems = Vec::new();
    if files.is_empty() {
        return Err(vec![
            Diagnostic::error("no spec was given").help("`dbxctl init` writes one to start from"),
        ]);
    }
    let mut roots = Vec::new();
    for (index, file) in files.iter().enumerate() {
        roots.extend(parse(&sources, index, &file.text, &mut problems));
    }
    for root in &roots {
        if !matches!(root.value, Value::Map(_)) {
            let text = format!("a spec is a map of `key: value` lines, not {}", root.shape());
            let help = "`dbxctl init` writes a spec to start from";
            let first = crate::source::Span { end: root.span.start, ..root.span };
            problems.push(Diagnostic::error(text).at(sources.place(first)).help(help));
        }
    }
    let problems = done(problems)?;
    for root in &mut roots {
        if let Value::Map(entries) = &mut root.value {
            entries.retain(|entry| entry.key != EDITORS);
        }
    }
    let Some(mut root) = roots.into_iter().reduce(merge) else { return Err(problems) };

    let mut substitution =
        Substitution { lookup: env, sources: &sources, problems: Vec::new(), used: Vec::new() };
    substitution.apply(&mut root);
    let Substitution { problems: missing, used, .. } = substitution;
    let secrets = Secrets::new(used, &root);

    let places = Places::of(&root, &sources);
    let mut reading = Reading::new(missing);
    let schema = Schema(schema);
    let json = values(schema, &root, &places, &mut reading);
    if let Err(broken) = check(schema, &json, &places, &mut reading) {
        return Err(vec![*broken]);
    }
    let Reading { problems, secret, .. } = reading;
    let mut problems = done(problems)?;

    match typed(json, &places, &mut problems, &|pointer| secret.contains(pointer)) {
        Some(value) => Ok(Text { value, problems, places, secrets }),
        None => Err(sorted(problems)),
    }
}

/// The typed value, or every value that does not fit its type.
///
/// The reader stops at the first error; what it stopped at is taken out to find the next one.
fn typed<T: DeserializeOwned>(
    mut json: Json,
    places: &Places,
    problems: &mut Vec<Diagnostic>,
    secret: &dyn Fn(&str) -> bool,
) -> Option<T> {
    let mut refused: Vec<String> = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(json.clone()) {
            Ok(value) if refused.is_empty() => return Some(value),
            Ok(_) => return None,
            Err(error) => error,
        };
        let mut at = String::new();
        for segment in error.path().iter() {
            let next = match segment {
                Segment::Seq { index } => child(&at, &index.to_string()),
                Segment::Map { key } => child(&at, key),
                Segment::Enum { variant } => child(&at, variant),
                Segment::Unknown => continue,
            };
            if json.pointer(&next).is_none() {
                break;
            }
            at = next;
        }
        // A field that we took out is missed: the rest shows on the next run.
        if refused.iter().any(|gone| parent(gone) == at) {
            return None;
        }
        let reason = error.inner().to_string();
        let reason = reason.split(" at line ").next().unwrap_or(&reason);
        let mut problem = unfit(&at, json.pointer(&at), reason, secret(&at));
        problem.place = places.find(&at);
        problems.push(with_alias(places, &at, problem));
        let inside = json.pointer_mut(parent(&at)).and_then(Json::as_object_mut);
        let gone = inside.and_then(|map| map.remove(&crate::places::last_key(&at)));
        if gone.is_none() || refused.len() > 50 {
            return None;
        }
        refused.push(at);
    }
}

/// A value of the right type that does not fit all the same.
fn unfit(at: &str, value: Option<&Json>, reason: &str, secret: bool) -> Diagnostic {
    let name = name(at);
    if secret {
        return Diagnostic::error(format!("{name} is not accepted"))
            .note("the value comes from the environment")
            .help("look at what the variable holds");
    }
    let text = match value {
        Some(Json::String(text)) => text,
        Some(Json::Number(_)) => {
            return Diagnostic::error(format!("the number for {name} is too large"))
                .help("write a smaller one");
        }
        _ => return Diagnostic::error(format!("{name} is not accepted: {reason}")),
    };
    // Nothing but address ranges is parsed from text.
    let text = short(text);
    let problem = Diagnostic::error(format!("`{text}` is not an IPv4 address range"));
    if text.parse::<std::net::Ipv4Addr>().is_ok() {
        return problem.help(format!("add the length of the prefix: `{text}/16`"));
    }
    if text.contains(':') {
        return problem.help("write an IPv4 range such as `10.0.0.0/16`");
    }
    problem.help("write four numbers up to 255 and a prefix up to 32: `10.0.0.0/16`")
}

/// The problems as they are if they are all warnings, else as an error.
fn done(problems: Vec<Diagnostic>) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    let problems = sorted(problems);
    if problems.iter().any(Diagnostic::is_error) { Err(problems) } else { Ok(problems) }
}

/// In the order of the files, each once: an alias repeats the mistakes of what it names.
fn sorted(mut problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    problems.sort_by_key(|problem| {
        problem.place.as_ref().map(|place| (place.source, place.span.start, place.span.end))
    });
    // How a value is written matters little when it is wrong.
    let wrong: Vec<_> =
        problems.iter().filter(|one| one.is_error()).map(|one| &one.place).collect();
    let keep: Vec<_> =
        problems.iter().map(|one| one.is_error() || !wrong.contains(&&one.place)).collect();
    let mut keep = keep.into_iter();
    problems.retain(|_| keep.next().unwrap_or(true));
    let mut kept: Vec<Diagnostic> = Vec::new();
    for problem in problems {
        let same = |other: &Diagnostic| {
            let told = other.message == problem.message
                || (other.label.is_some() && other.label == problem.label);
            told && other.place == problem.place && other.help == problem.help
        };
        if !kept.iter().any(same) {
            kept.push(problem);
        }
    }
    kept
}
