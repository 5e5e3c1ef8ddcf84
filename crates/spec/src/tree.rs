use crate::source::Span;

/// A value of the spec as it stands in the text. Scalars stay text until the schema says what
/// they are.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) span: Span,
    /// Where an alias (`*name`) put this node, when it is written elsewhere.
    pub(crate) used_at: Option<Span>,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Anything but a plain scalar: such a scalar is text and nothing else.
    pub(crate) quoted: bool,
    pub(crate) env: Env,
}

/// Whether a scalar's text came from the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Env {
    No,
    /// Its text must not be printed.
    Yes,
    /// A variable was missing, which is reported; nothing more is to be said about this scalar.
    Missing,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) fn new(value: Value, span: Span) -> Self {
        Self { value, span, used_at: None }
    }

    /// Nodes in the tree, and levels of nesting, counting this node.
    pub(crate) fn extent(&self) -> (usize, usize) {
        let add = |(nodes, levels): (usize, usize), node: &Node| {
            let (more, deep) = node.extent();
            (nodes + more, levels.max(deep))
        };
        let (nodes, levels) = match &self.value {
            Value::Scalar(_) => (0, 0),
            Value::List(items) => items.iter().fold((0, 0), add),
            Value::Map(entries) => entries.iter().map(|entry| &entry.value).fold((0, 0), add),
        };
        (nodes + 1, levels + 1)
    }

    /// `a map`, `a list`, `text`: what the user wrote, for messages.
    pub(crate) fn shape(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) => match core(&scalar.text) {
                _ if scalar.quoted => "text",
                Core::Text => "text",
                Core::Null => "nothing",
                Core::Bool(_) => "true or false",
                Core::Int(_) | Core::Float(_) | Core::LooksNumeric => "a number",
            },
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// What YAML 1.2's core schema makes of a plain scalar.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Core {
    Null,
    Bool(bool),
    Int(serde_json::Number),
    Float(f64),
    /// A number to some readers only: leading zeros, infinities, out of range.
    LooksNumeric,
    Text,
}

pub(crate) fn core(text: &str) -> Core {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Core::Null,
        "true" | "True" | "TRUE" => return Core::Bool(true),
        "false" | "False" | "FALSE" => return Core::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Core::LooksNumeric;
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Core::Text;
    }
    if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Core::LooksNumeric;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(rest) = text.strip_prefix(prefix)
            && let Ok(number) = u64::from_str_radix(rest, radix)
        {
            return Core::Int(number.into());
        }
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        let plain = text.strip_prefix('+').unwrap_or(text);
        return match (plain.parse::<u64>(), plain.parse::<i64>()) {
            (Ok(number), _) => Core::Int(number.into()),
            (_, Ok(number)) => Core::Int(number.into()),
            _ => Core::LooksNumeric,
        };
    }
    let float = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    if digits.bytes().all(float)
        && digits.bytes().any(|b| b.is_ascii_digit())
        && let Ok(number) = text.parse::<f64>()
    {
        return if number.is_finite() { Core::Float(number) } else { Core::LooksNumeric };
    }
    Core::Text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_read_as_yaml_core_does() {
        for (text, want) in [
            ("", Core::Null),
            ("~", Core::Null),
            ("true", Core::Bool(true)),
            ("yes", Core::Text),
            ("500", Core::Int(500.into())),
            ("-1", Core::Int((-1).into())),
            ("0x1f", Core::Int(31.into())),
            ("012345678901", Core::LooksNumeric),
            ("99999999999999999999999", Core::LooksNumeric),
            ("1.10", Core::Float(1.1)),
            ("1e3", Core::Float(1000.0)),
            (".inf", Core::LooksNumeric),
            ("10.0.0.0/16", Core::Text),
            ("1.2.3", Core::Text),
            ("/20", Core::Text),
            ("ap-northeast-1a", Core::Text),
            ("0", Core::Int(0.into())),
            ("+", Core::Text),
            (".", Core::Text),
        ] {
            assert_eq!(core(text), want, "{text}");
        }
    }
}
