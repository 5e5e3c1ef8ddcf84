use crate::{
    diagnostic::Diagnostic,
    source::{Sources, Span},
    suggest::closest,
    tree::{Env, Node, Scalar, Value},
};

/// Puts the environment's values in place of `${env:NAME}` in every scalar of the tree.
pub(crate) struct Substitution<'a> {
    pub(crate) lookup: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) sources: &'a Sources<'a>,
    pub(crate) problems: Vec<Diagnostic>,
    /// Every value used, with what was written for it: messages must show the latter.
    pub(crate) used: Vec<(String, String)>,
}

impl Substitution<'_> {
    pub(crate) fn apply(&mut self, node: &mut Node) {
        let span = node.span;
        match &mut node.value {
            Value::Scalar(scalar) => self.scalar(scalar, span),
            Value::List(items) => items.iter_mut().for_each(|item| self.apply(item)),
            Value::Map(entries) => {
                for entry in entries {
                    if entry.key.contains("${env:") {
                        let place = self.sources.place(entry.key_span);
                        self.problems.push(
                            Diagnostic::error("`${env:…}` works in values, not in keys")
                                .at(place)
                                .help("write the key itself"),
                        );
                    }
                    self.apply(&mut entry.value);
                }
            }
        }
    }

    fn scalar(&mut self, scalar: &mut Scalar, span: Span) {
        if !scalar.text.contains("${") {
            return;
        }
        let mut text = String::new();
        let mut rest = scalar.text.as_str();
        let mut env = Env::No;
        while let Some(at) = rest.find('$') {
            text.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("$${") {
                text.push_str("${");
                rest = after;
            } else if rest.starts_with("${") {
                let written = rest.find('}').map_or(rest, |end| &rest[..=end]);
                match self.value(written, span) {
                    Some(value) => {
                        text.push_str(&value);
                        env = if env == Env::Missing { env } else { Env::Yes };
                    }
                    None => env = Env::Missing,
                }
                rest = &rest[written.len()..];
            } else {
                text.push('$');
                rest = &rest[1..];
            }
        }
        text.push_str(rest);
        scalar.text = text;
        if env == Env::No {
            // An escaped `${` is text, whatever else it may look like.
            scalar.quoted = true;
        }
        scalar.env = env;
    }

    /// The value of one `${…}`, or a problem.
    fn value(&mut self, written: &str, span: Span) -> Option<String> {
        let inner = written.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        let name = inner.and_then(|inner| inner.strip_prefix("env:"));
        let problem = match (inner, name) {
            (None, _) => Diagnostic::error("`${` without a closing `}`")
                .help("close it: `${env:NAME}`; for the two characters themselves write `$${`"),
            (_, Some(name)) if is_name(name) => match (self.lookup)(name) {
                Some(value) => {
                    self.used.push((value.clone(), written.to_owned()));
                    return Some(value);
                }
                None => Diagnostic::error(format!("the environment variable `{name}` is not set"))
                    .label("needed here")
                    .help(format!("set it before the command: `export {name}=…`")),
            },
            (_, Some(name)) => {
                let name: String = name.chars().take(40).collect();
                Diagnostic::error(format!("`{name}` is not a name of an environment variable"))
                    .help("names have letters, digits and `_`, and no default: `${env:NAME}`")
            }
            (Some(inner), None) => {
                let kind = inner.split(':').next().unwrap_or(inner);
                let meant = if is_name(inner) {
                    format!("write `${{env:{inner}}}`")
                } else if closest(kind, ["env"]).is_some() {
                    "write `${env:NAME}`".to_owned()
                } else {
                    "`${env:NAME}` is the only one".to_owned()
                };
                Diagnostic::error("unknown substitution")
                    .help(format!("{meant}; for the two characters `${{` themselves write `$${{`"))
            }
        };
        // The exact spot, when the scalar stands in the file as it is.
        let source = self.sources.text(span);
        let spot = match source.find(written) {
            Some(at) => {
                Span { start: span.start + at, end: span.start + at + written.len(), ..span }
            }
            None => span,
        };
        self.problems.push(problem.at(self.sources.place(spot)));
        None
    }
}

/// Values from the environment, each with what is written for it. They are in no message.
#[derive(Clone)]
pub(crate) struct Secrets(Vec<(String, String)>);

impl Secrets {
    /// The values used, and the scalars of the tree that hold them.
    pub(crate) fn new(used: Vec<(String, String)>, root: &Node) -> Self {
        let mut secrets = used;
        remember(root, &mut secrets);
        // The longest first: a value may be part of another.
        secrets.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        secrets.dedup();
        Self(secrets)
    }

    /// The message with what the user wrote instead of what the environment said.
    pub(crate) fn hide(&self, message: String) -> String {
        let hide = |text: String, (value, written): &(String, String)| text.replace(value, written);
        // Shorter values would turn up in ordinary words.
        self.0.iter().filter(|(value, _)| value.len() > 3).fold(message, hide)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// Whole scalars that hold a value from the environment are as secret as the value.
fn remember(node: &Node, secrets: &mut Vec<(String, String)>) {
    match &node.value {
        Value::Scalar(scalar) if scalar.env == Env::Yes => {
            secrets.push((scalar.text.clone(), "${env:…}".to_owned()));
        }
        Value::Scalar(_) => {}
        Value::List(items) => items.iter().for_each(|item| remember(item, secrets)),
        Value::Map(entries) => entries.iter().for_each(|entry| remember(&entry.value, secrets)),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
