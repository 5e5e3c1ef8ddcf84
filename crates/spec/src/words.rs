use crate::places::{last_key, parent};

/// How messages call the value at a pointer: its key, and its number in a list.
pub(crate) fn name(pointer: &str) -> String {
    if pointer.is_empty() {
        return "the spec".into();
    }
    let mut at = pointer;
    let mut numbers = String::new();
    while !at.is_empty() {
        let key = last_key(at);
        match key.parse::<usize>() {
            Ok(number) => numbers = format!("[{number}]{numbers}"),
            Err(_) => return format!("`{}{numbers}`", short(&key)),
        }
        at = parent(at);
    }
    format!("entry {numbers}")
}

/// Text for a message: one line, not too long.
pub(crate) fn short(text: &str) -> String {
    let clean: String =
        text.chars().take(60).map(|c| if c.is_control() { '�' } else { c }).collect();
    if text.chars().count() > 60 { format!("{clean}…") } else { clean }
}

pub(crate) fn listed(options: &[&str]) -> String {
    options.iter().map(|option| format!("`{option}`")).collect::<Vec<_>>().join(", ")
}

/// A JSON type in words.
pub(crate) fn words(kind: &str) -> &'static str {
    match kind {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "text",
        "array" => "a list",
        "object" => "a map",
        _ => "nothing",
    }
}
