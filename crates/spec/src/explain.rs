use jsonschema::{
    ValidationError,
    error::{TypeKind, ValidationErrorKind as Kind},
};
use serde_json::Value as Json;

use crate::{
    diagnostic::{Diagnostic, Related},
    places::{Places, child},
    read::Reading,
    schema::{Schema, about, properties, types},
    suggest::closest,
    tree::{Core, core},
    words::{listed, name, short, words},
};

/// Checks a value against the schema; every error becomes a problem at its place.
///
/// The error is that the schema itself cannot be used.
pub(crate) fn check(
    schema: Schema<'_>,
    value: &Json,
    places: &Places,
    reading: &mut Reading,
) -> Result<(), Box<Diagnostic>> {
    let validator = jsonschema::options().offline().build(schema.0).map_err(|error| {
        Box::new(Diagnostic::error(format!("the spec's own schema is broken: {error}")))
    })?;
    let mut explainer = Explainer { schema, places, reading, found: Vec::new() };
    for error in validator.iter_errors(value) {
        explainer.explain(&error);
    }
    let mut found = explainer.found;
    reading.problems.append(&mut found);
    Ok(())
}

struct Explainer<'a> {
    schema: Schema<'a>,
    places: &'a Places,
    reading: &'a Reading,
    found: Vec<Diagnostic>,
}

impl Explainer<'_> {
    fn explain(&mut self, error: &ValidationError<'_>) {
        let at = error.instance_path().as_str();
        if self.reading.silent.contains(at) {
            return;
        }
        let before = self.found.len();
        let subject = Subject::new(self, at, error.instance().as_ref());
        match error.kind() {
            Kind::AnyOf { context }
            | Kind::OneOfNotValid { context }
            | Kind::OneOfMultipleValid { context } => match meant(at, context) {
                Some(branch) => branch.iter().for_each(|error| self.explain(error)),
                None => {
                    let problem = subject.none_of_the_branches();
                    self.found.push(problem);
                }
            },
            kind => {
                let mut problems = subject.problems(kind);
                self.found.append(&mut problems);
            }
        }
        for problem in &mut self.found[before..] {
            if self.reading.secret.contains(at) && problem.notes.is_empty() {
                problem.notes.push("the value comes from the environment".into());
            }
            if let Some(used) = self.places.used_at(at)
                && problem.related.is_empty()
            {
                problem.related.push(Related { place: used.clone(), label: "used here".into() });
            }
        }
    }
}

/// The branch of a union that the user meant: the only one whose errors lie inside the value.
fn meant<'e>(
    at: &str,
    context: &'e [Vec<ValidationError<'static>>],
) -> Option<&'e Vec<ValidationError<'static>>> {
    let inside = |error: &ValidationError<'static>| {
        error.instance_path().as_str().len() > at.len()
            || matches!(error.kind(), Kind::AdditionalProperties { .. })
    };
    let mut fits = context.iter().filter(|branch| !branch.is_empty() && branch.iter().all(inside));
    fits.next().filter(|_| fits.next().is_none())
}

/// A value that does not fit, and all there is to say about it.
struct Subject<'a> {
    at: &'a str,
    name: String,
    value: &'a Json,
    schema: Schema<'a>,
    wanted: Vec<&'a Json>,
    places: &'a Places,
    reading: &'a Reading,
}

impl<'a> Subject<'a> {
    fn new(explainer: &Explainer<'a>, at: &'a str, value: &'a Json) -> Self {
        let Explainer { schema, places, reading, .. } = *explainer;
        Self { at, name: name(at), value, schema, wanted: schema.at(at), places, reading }
    }

    /// A problem with the value as a whole.
    fn problem(&self, message: String) -> Diagnostic {
        Diagnostic { place: self.places.find(self.at), ..Diagnostic::error(message) }
    }

    /// The same, with the field's documentation as help.
    fn documented(&self, message: String) -> Diagnostic {
        Diagnostic { help: about(&self.wanted), ..self.problem(message) }
    }

    /// The text given, unless it must not be printed.
    fn given(&self) -> Option<&'a str> {
        self.value.as_str().filter(|_| !self.reading.secret.contains(self.at))
    }

    fn problems(&self, kind: &Kind) -> Vec<Diagnostic> {
        let name = &self.name;
        let problem = match kind {
            Kind::AdditionalProperties { unexpected } => {
                return unexpected.iter().map(|key| self.unknown_field(key)).collect();
            }
            Kind::Required { property } => self.missing(property.as_str().unwrap_or_default()),
            Kind::Type { kind: TypeKind::Single(one) } => self.mismatch(&[one.as_str()]),
            Kind::Type { kind: TypeKind::Multiple(some) } => {
                self.mismatch(&some.iter().map(|one| one.as_str()).collect::<Vec<_>>())
            }
            Kind::Enum { options } => self.none_of(&texts(options)),
            Kind::Constant { expected_value } => self.none_of(&texts(expected_value)),
            Kind::PropertyNames { error } => self.bad_key(error),
            Kind::Pattern { pattern } => {
                let problem = self.malformed();
                // The documentation of an id says whose it is, not what ids look like.
                match pattern.strip_prefix('^').and_then(|p| p.strip_suffix("-[0-9a-f]{8,17}$")) {
                    Some(kind) => {
                        problem.help(format!("write an id such as `{kind}-0a1b2c3d4e5f67890`"))
                    }
                    None => problem,
                }
            }
            Kind::Format { .. } => self.malformed(),
            Kind::Minimum { limit } => self.documented(format!("{name} must be at least {limit}")),
            Kind::Maximum { limit } => self.documented(format!("{name} must be at most {limit}")),
            Kind::MinItems { limit } => {
                self.documented(format!("{name} needs at least {limit} entries"))
            }
            Kind::MaxItems { limit } => {
                self.documented(format!("{name} may have at most {limit} entries"))
            }
            Kind::MinProperties { limit } => {
                self.documented(format!("{name} needs at least {limit} keys"))
            }
            Kind::MinLength { limit } => {
                self.documented(format!("{name} needs at least {limit} characters"))
            }
            Kind::MaxLength { limit } => {
                self.documented(format!("{name} may have at most {limit} characters"))
            }
            Kind::UniqueItems => self.twice(),
            _ => self.documented(format!("{name} is not accepted here")),
        };
        vec![problem]
    }

    fn malformed(&self) -> Diagnostic {
        let name = &self.name;
        self.documented(match self.given() {
            Some(given) => format!("`{}` is not a valid {name}", short(given)),
            None => format!("{name} does not have the right form"),
        })
    }

    /// A field nobody asked for, with the one that was probably meant.
    fn unknown_field(&self, key: &str) -> Diagnostic {
        let owner = if self.at.is_empty() { "a spec" } else { &self.name };
        let fields = properties(&self.wanted);
        let mut problem = Diagnostic::error(format!("{owner} has no field `{}`", short(key)))
            .label("unknown field");
        problem.place = self.places.key(&child(self.at, key));
        problem.help = match closest(key, fields.iter().copied()) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if fields.is_empty() => None,
            None => Some(format!("the fields are {}", listed(&fields))),
        };
        problem
    }

    fn missing(&self, field: &str) -> Diagnostic {
        let about = about(&self.schema.member(&self.wanted, field));
        let about = about.as_deref().and_then(|about| about.split(". ").next());
        let mut problem = Diagnostic::error(format!("{} has no `{field}`", self.name))
            .label(format!("`{field}` is missing"))
            .help(match about {
                Some(about) => format!("add `{field}`: {about}"),
                None => format!("add `{field}`"),
            });
        problem.place = self.places.heading(self.at);
        problem
    }

    /// A value that is none of the options.
    fn none_of(&self, options: &[&str]) -> Diagnostic {
        let given = self.given();
        let problem = self.problem(match given {
            Some(given) => format!("{} cannot be `{}`", self.name, short(given)),
            None => format!("{} is none of its possible values", self.name),
        });
        suggest(problem, given, options)
    }

    fn none_of_the_branches(&self) -> Diagnostic {
        let options = |schema: &&'a Json| {
            let one = schema.get("const").into_iter();
            one.chain(schema.get("enum").and_then(Json::as_array).into_iter().flatten())
        };
        let options: Vec<_> =
            self.wanted.iter().flat_map(options).filter_map(Json::as_str).collect();
        if !options.is_empty() {
            return self.none_of(&options);
        }
        self.mismatch(&types(&self.wanted).into_iter().collect::<Vec<_>>())
    }

    fn bad_key(&self, error: &ValidationError<'_>) -> Diagnostic {
        let key = error.instance().as_str().unwrap_or_default();
        let message = format!("`{}` cannot be a key of {}", short(key), self.name);
        let problem = match error.kind() {
            Kind::Enum { options } => {
                suggest(Diagnostic::error(message), Some(key), &texts(options))
            }
            _ => self.documented(message),
        };
        Diagnostic { place: self.places.key(&child(self.at, key)), ..problem }
    }

    /// A list that may not have an entry twice, and has.
    fn twice(&self) -> Diagnostic {
        let mut problem = self.problem(format!("{} has the same entry twice", self.name));
        let items = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        let pair = (1..items.len()).find_map(|again| {
            let first = items[..again].iter().position(|other| *other == items[again])?;
            Some((first, again))
        });
        if let Some((first, again)) = pair {
            let place = |index: usize| self.places.find(&child(self.at, &index.to_string()));
            problem.place = place(again);
            problem.label = Some("again".into());
            problem
                .related
                .extend(place(first).map(|place| Related { place, label: "first".into() }));
        }
        problem.help("remove one of the two")
    }

    /// A value of the wrong type.
    fn mismatch(&self, types: &[&str]) -> Diagnostic {
        let wants: Vec<_> = types.iter().map(|kind| words(kind)).collect();
        let wants = wants.join(" or ");
        let found = match self.value {
            Json::Null => "nothing",
            Json::Bool(_) => "true or false",
            Json::Number(number) if number.is_f64() => "a number with a fraction",
            Json::Number(_) => "a number",
            Json::String(_) => "text",
            Json::Array(_) => "a list",
            Json::Object(_) => "a map",
        };
        let problem = self
            .problem(format!("{} must be {wants}, not {found}", self.name))
            .label(format!("expected {wants}"));
        match self.remedy(types) {
            Some(help) => problem.help(help),
            None => problem,
        }
    }

    /// What to write instead of a value of the wrong type.
    fn remedy(&self, types: &[&str]) -> Option<String> {
        let nothing = (String::new(), false);
        let (text, quoted) = self.reading.plain.get(self.at).unwrap_or(&nothing);
        let numeric = matches!(types, ["integer" | "number"]);
        match (types, core(text)) {
            (["object"], _) => Some(match properties(&self.wanted).as_slice() {
                [] => "write a map, such as `{ key: value }`".to_owned(),
                fields => format!("write a map; its fields are {}", listed(fields)),
            }),
            (["boolean"], _) => Some(match truth(text) {
                Some(truth) if text.eq_ignore_ascii_case(&truth.to_string()) => {
                    format!("remove the quotes: `{truth}`")
                }
                Some(truth) => format!("write `{truth}`"),
                None => "write `true` or `false`".to_owned(),
            }),
            (["array"], _) if !text.is_empty() => {
                Some(format!("write a list, also for one entry: `[{}]`", short(text)))
            }
            (_, Core::Int(_)) if numeric && *quoted => Some(format!("remove the quotes: `{text}`")),
            (_, Core::LooksNumeric) if numeric => {
                Some("write the number with digits only, without leading zeros".to_owned())
            }
            _ => about(&self.wanted),
        }
    }
}

/// Adds the option that was probably meant, or all of them.
fn suggest(problem: Diagnostic, given: Option<&str>, options: &[&str]) -> Diagnostic {
    let near = given.and_then(|given| closest(given, options.iter().copied()));
    match (near, options) {
        (_, [only]) => problem.help(format!("write `{only}`")),
        (Some(near), _) => problem
            .note(format!("possible are {}", listed(options)))
            .help(format!("did you mean `{near}`?")),
        (None, _) => problem.help(format!("write one of {}", listed(options))),
    }
}

fn texts(options: &Json) -> Vec<&str> {
    let some = options.as_array().map(Vec::as_slice);
    some.unwrap_or(std::slice::from_ref(options)).iter().filter_map(Json::as_str).collect()
}

/// What other notations mean by a word that is no boolean here.
fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" | "true" | "enabled" | "1" => Some(true),
        "no" | "off" | "n" | "false" | "disabled" | "0" => Some(false),
        _ => None,
    }
}
