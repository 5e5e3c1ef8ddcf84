use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What an operation on an object returns.
pub(crate) type Answer = Result<(StatusCode, Value), Refusal>;

/// How the body of a refusal looks. All of them occur on the real API.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// `{"error_code": "X", "message": "..."}`
    Coded,
    /// `{"message": "X: ..."}`
    MessageOnly,
    /// `X: ...`, not JSON.
    PlainText,
    Empty,
}

/// An operation the server did not carry out.
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// Overrides the family's usual shape.
    shape: Option<Shape>,
}

impl Refusal {
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Refusal {
            status: StatusCode::BAD_REQUEST,
            code: "MALFORMED_REQUEST",
            message: message.into(),
            shape: None,
        }
    }

    pub(crate) fn missing(fields: &[&str]) -> Self {
        Refusal::malformed(format!("Missing required parameters: {}", fields.join(", ")))
    }

    /// `field` is spelled as in our JSON; the real text has it in camel case.
    pub(crate) fn invalid(field: &str, value: &str) -> Self {
        Refusal::malformed(format!("Invalid {}: {value}", camel_case(field)))
    }

    pub(crate) fn state(message: impl Into<String>) -> Self {
        Refusal { code: "INVALID_STATE", ..Refusal::malformed(message) }
    }

    /// With status 409, which an old API file declares for every kind. All texts but the
    /// network's are unconfirmed.
    pub(crate) fn in_use(message: impl Into<String>) -> Self {
        Refusal { status: StatusCode::CONFLICT, ..Refusal::state(message) }
    }

    /// The credentials text is from a report, status and code are unconfirmed.
    pub(crate) fn exists(message: impl Into<String>, as_400: bool) -> Self {
        if as_400 {
            return Refusal::malformed(message);
        }
        Refusal {
            status: StatusCode::CONFLICT,
            code: "RESOURCE_ALREADY_EXISTS",
            message: message.into(),
            shape: Some(Shape::Coded),
        }
    }

    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        Refusal::coded(
            StatusCode::NOT_FOUND,
            "RESOURCE_DOES_NOT_EXIST",
            format!("{what} {id} does not exist."),
        )
    }

    pub(crate) fn coded(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Refusal { status, code, message: message.into(), shape: Some(Shape::Coded) }
    }

    pub(crate) fn shaped(self, shape: Shape) -> Self {
        Refusal { shape: Some(shape), ..self }
    }

    pub(crate) fn into_response(self, usual: Shape) -> Response {
        let Refusal { status, code, message, shape } = self;
        let text = format!("{code}: {message}");
        match shape.unwrap_or(usual) {
            Shape::Coded => respond(status, &json!({"error_code": code, "message": message})),
            Shape::MessageOnly => respond(status, &json!({"message": text})),
            Shape::PlainText => {
                (status, [(header::CONTENT_TYPE, "text/plain")], text).into_response()
            }
            Shape::Empty => status.into_response(),
        }
    }
}

pub(crate) fn respond(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// An object as JSON. Our objects are plain structs, which always serialise.
pub(crate) fn shown(object: &impl Serialize) -> Value {
    serde_json::to_value(object).unwrap_or(Value::Null)
}

/// Reads fields of a request body by dotted path. Unknown fields are nobody's business: clients
/// send some that the server never knew.
pub(crate) struct Fields<'a>(pub(crate) &'a Value);

impl<'a> Fields<'a> {
    pub(crate) fn get(&self, path: &str) -> Option<&'a Value> {
        let mut at = self.0;
        for step in path.split('.') {
            at = at.get(step)?;
        }
        // Absent, null and "" mean the same to the real clients.
        (!at.is_null() && at.as_str() != Some("")).then_some(at)
    }

    /// Refuses the request unless every one of `paths` has a value.
    pub(crate) fn require(&self, paths: &[&str]) -> Result<(), Refusal> {
        let missing: Vec<&str> =
            paths.iter().copied().filter(|path| self.get(path).is_none()).collect();
        if missing.is_empty() { Ok(()) } else { Err(Refusal::missing(&missing)) }
    }

    pub(crate) fn text(&self, path: &str) -> Result<Option<String>, Refusal> {
        match self.get(path) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(Refusal::invalid(path, &other.to_string())),
        }
    }

    pub(crate) fn required_text(&self, path: &str) -> Result<String, Refusal> {
        self.text(path)?.ok_or_else(|| Refusal::missing(&[path]))
    }

    /// A required name of so many characters.
    pub(crate) fn name(
        &self,
        path: &str,
        length: std::ops::RangeInclusive<usize>,
    ) -> Result<String, Refusal> {
        let name = self.required_text(path)?;
        if length.contains(&name.chars().count()) {
            return Ok(name);
        }
        // The limits are documented, the text is unconfirmed.
        Err(Refusal::malformed(format!(
            "{path} must have {} to {} characters",
            length.start(),
            length.end()
        )))
    }

    pub(crate) fn flag(&self, path: &str) -> Result<Option<bool>, Refusal> {
        match self.get(path) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(Refusal::invalid(path, &other.to_string())),
        }
    }

    pub(crate) fn texts(&self, path: &str) -> Result<Vec<String>, Refusal> {
        match self.get(path) {
            None => Ok(Vec::new()),
            Some(list) => serde_json::from_value(list.clone())
                .map_err(|_| Refusal::invalid(path, &list.to_string())),
        }
    }

    /// One of `words`, spelled in any case, returned as in `words`.
    pub(crate) fn word(&self, path: &str, words: &[&str]) -> Result<Option<String>, Refusal> {
        let Some(given) = self.text(path)? else { return Ok(None) };
        match words.iter().find(|word| word.eq_ignore_ascii_case(&given)) {
            Some(word) => Ok(Some((*word).to_owned())),
            None => Err(Refusal::invalid(path, &given)),
        }
    }
}

fn camel_case(field: &str) -> String {
    let mut out = String::new();
    let mut up = false;
    for c in field.chars() {
        match c {
            '_' => up = true,
            c if up => {
                out.push(c.to_ascii_uppercase());
                up = false;
            }
            c => out.push(c),
        }
    }
    out
}
