use std::sync::Arc;

use cloud::{Class, Error, Meter, Result};
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// What its requests are counted under.
const SERVICE: &str = "databricks";

/// A good answer.
pub(crate) struct Answer {
    /// `Null` when it was empty.
    pub(crate) body: Value,
}

/// The way to a server, and who counts what goes there.
pub(crate) struct Http {
    pub(crate) client: Client,
    pub(crate) meter: Arc<dyn Meter>,
}

/// Sends one request and sorts the answer: what is not JSON on success is a sign-in page.
///
/// `secret` never gets into an error, whatever the server sends back.
pub(crate) async fn exchange(
    meter: &dyn Meter,
    request: RequestBuilder,
    call: &str,
    secret: &SecretString,
) -> Result<Answer> {
    let operation = operation(call);
    meter.sent(SERVICE, &operation);
    let answer = match request.send().await {
        Ok(response) => {
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            match response.text().await {
                Ok(text) => sort(call, status, &headers, &text),
                Err(e) => Err(unreached(call, e)),
            }
        }
        Err(e) => Err(unreached(call, e)),
    };
    answer.inspect_err(|error| meter.failed(SERVICE, &operation, error.class)).map_err(|error| {
        Error {
            message: error.message.replace(secret.expose_secret(), "…"),
            code: error.code.map(|code| code.replace(secret.expose_secret(), "…")),
            ..error
        }
    })
}

/// A call without ids: `GET /networks/{id}`, `POST /oidc/accounts/…/v1/token`.
fn operation(call: &str) -> String {
    let Some((method, path)) = call.split_once(" /api/2.0/accounts/…/") else {
        return call.to_owned();
    };
    match path.split_once('/') {
        Some((objects, _)) => format!("{method} /{objects}/{{id}}"),
        None => format!("{method} /{path}"),
    }
}

fn unreached(call: &str, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let class = if error.is_builder() { Class::Invalid } else { Class::Transient };
    if error.is_timeout() {
        return Error::new(class, call, "no answer in time");
    }
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    Error::new(class, call, words)
}

fn sort(call: &str, status: u16, headers: &HeaderMap, text: &str) -> Result<Answer> {
    let denied = |message: String| Error {
        status: Some(status),
        request_id: request_id(headers),
        ..Error::new(Class::Denied, call, message)
    };
    match status {
        200..300 if text.trim().is_empty() => Ok(Answer { body: Value::Null }),
        200..300 => match serde_json::from_str(text) {
            Ok(body) => Ok(Answer { body }),
            Err(_) if is_html(headers, text) => {
                let title = page_words(text);
                Err(denied(format!(
                    "answered with a web page ({title}): not signed in, or not the account host"
                )))
            }
            // Cut off on the way: what was asked for may have been done.
            Err(_) => Err(Error {
                class: Class::Transient,
                ..denied(format!("answered with something else than JSON: {}", shortened(text)))
            }),
        },
        300..400 => {
            let to = headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
            // The query may carry a one-time code.
            let to = to.split(['?', '#']).next().unwrap_or_default();
            Err(denied(format!("redirected to {to}: not signed in, or not the account host")))
        }
        _ => Err(refusal(call, status, headers, text)),
    }
}

/// An error out of any of the shapes the account APIs answer with.
fn refusal(call: &str, status: u16, headers: &HeaderMap, text: &str) -> Error {
    let json: Option<Value> = serde_json::from_str(text).ok().filter(Value::is_object);
    let (mut code, message) = match &json {
        Some(body) => from_json(body),
        None if text.trim().is_empty() => (None, String::new()),
        None if is_html(headers, text) => (None, page_words(text)),
        None => (None, shortened(text)),
    };
    let mut message = message.trim().to_owned();
    if code.as_deref().is_none_or(|code| code.parse::<i64>().is_ok())
        && let Some((prefix, rest)) = coded(&message)
    {
        (code, message) = (Some(prefix.to_owned()), rest.to_owned());
    }
    if message.is_empty() {
        message = match reqwest::StatusCode::from_u16(status) {
            Ok(known) => format!("{known}, without an explanation"),
            Err(_) => format!("{status}, without an explanation"),
        };
    }
    let details = json.as_ref().and_then(|body| body.get("details"));
    let details = details.and_then(Value::as_array).into_iter().flatten();
    let detail = |field: &str| {
        details.clone().find_map(|d| d.get(field).and_then(Value::as_str)).map(str::to_owned)
    };
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after_ms = seconds
        .and_then(|seconds| seconds.trim().parse::<u64>().ok())
        .map(|seconds| seconds.saturating_mul(1000))
        .or_else(|| delay_ms(&detail("retry_delay")?));
    let method = call.split(' ').next().unwrap_or_default();
    Error {
        class: classify(method, status, code.as_deref().unwrap_or_default(), &message),
        status: Some(status),
        request_id: request_id(headers).or_else(|| detail("request_id")),
        retry_after_ms,
        code,
        ..Error::new(Class::Other, call, message)
    }
}

fn from_json(body: &Value) -> (Option<String>, String) {
    let text = |field: &str| body.get(field).and_then(Value::as_str).map(str::to_owned);
    let code = match body.get("error_code") {
        Some(Value::String(code)) if !code.is_empty() => Some(code.clone()),
        Some(Value::Number(code)) => Some(code.to_string()),
        _ => None,
    };
    if let (None, Some(detail)) = (&code, text("detail")) {
        // SCIM.
        return (text("scimType"), detail);
    }
    if let Some(words) = text("error_description").or_else(|| text("errorSummary")) {
        return (text("error").or_else(|| text("errorCode")), words);
    }
    let message = text("message").or_else(|| text("error")).unwrap_or_default();
    if code.is_none() && message.is_empty() {
        return (None, shortened(&body.to_string()));
    }
    (code, message)
}

/// `MALFORMED_REQUEST: what is wrong` taken apart.
fn coded(message: &str) -> Option<(&str, &str)> {
    let (code, rest) = message.split_once(": ")?;
    let fits = code.len() > 1
        && code.starts_with(|c: char| c.is_ascii_uppercase())
        && code.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    fits.then_some((code, rest))
}

/// What an answer means. The code counts for more than the status: a conflict may come as either.
///
/// Codes and texts: Databricks SDKs' error tables and reports in their issue trackers; which status
/// an in-use or duplicate error has is not documented for every type.
fn classify(method: &str, status: u16, code: &str, message: &str) -> Class {
    let text = message.to_ascii_lowercase();
    let has = |all: &[&str]| all.iter().any(|words| text.contains(words));
    let in_use = has(&["being used", "in use", "attached"]);
    if has(&["failed credential validation checks", "failed credentials validation checks"]) {
        return Class::Propagating;
    }
    if has(&["temporarily throttled", "rpc token bucket limit has been exceeded"]) {
        return Class::Throttled;
    }
    if status < 500 && has(&["already exists", "already registered"]) {
        return Class::AlreadyExists;
    }
    match code {
        "REQUEST_LIMIT_EXCEEDED" | "RESOURCE_EXHAUSTED" => return Class::Throttled,
        "RESOURCE_ALREADY_EXISTS" | "ALREADY_EXISTS" => return Class::AlreadyExists,
        "INVALID_STATE" if in_use => return Class::InUse,
        "INVALID_STATE" | "QUOTA_EXCEEDED" | "NOT_IMPLEMENTED" => return Class::Other,
        // Everything else of a wrong account, such as a deletion, must not look done.
        "ENDPOINT_NOT_FOUND" => return Class::Invalid,
        "RESOURCE_DOES_NOT_EXIST" | "NOT_FOUND" if !has(&["belong"]) => return Class::NotFound,
        "PERMISSION_DENIED"
        | "UNAUTHENTICATED"
        | "PRIVATE_LINK_VALIDATION_ERROR"
        | "invalid_client"
        | "unauthorized_client"
        | "access_denied" => return Class::Denied,
        "ABORTED" | "TEMPORARILY_UNAVAILABLE" | "DEADLINE_EXCEEDED" => return Class::Transient,
        _ => {}
    }
    if has(&[
        "timed out after ",
        "deadline exceeded",
        "unexpected error",
        "please try again later or try a faster operation",
        "unknown worker environment",
        "there is no worker environment with id",
    ]) {
        return Class::Transient;
    }
    match status {
        401 | 403 => Class::Denied,
        404 if has(&["belong"]) => Class::Denied,
        404 => Class::NotFound,
        408 | 499 => Class::Transient,
        409 if in_use => Class::InUse,
        // Nothing is said, so the call has to tell: a new object can only clash with an old one, a
        // living one with its users, a change with the change before.
        409 => match method {
            "POST" => Class::AlreadyExists,
            "DELETE" => Class::InUse,
            _ => Class::Transient,
        },
        429 => Class::Throttled,
        501 => Class::Other,
        500.. => Class::Transient,
        400..500 => Class::Invalid,
        _ => Class::Other,
    }
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let named = |name: &str| {
        name == "x-request-id" || name.starts_with("x-databricks-") && name.ends_with("request-id")
    };
    let found = headers.iter().find(|(name, _)| named(name.as_str()))?;
    found.1.to_str().ok().map(str::to_owned)
}

/// `1.5s`, as protobuf writes durations.
fn delay_ms(text: &str) -> Option<u64> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    let sane = (0.0..=86_400.0).contains(&seconds);
    sane.then(|| std::time::Duration::from_secs_f64(seconds).as_millis())?.try_into().ok()
}

fn is_html(headers: &HeaderMap, text: &str) -> bool {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    declared.is_some_and(|declared| declared.starts_with("text/html"))
        || text.trim_start().starts_with('<')
}

/// What a page says: the text of its `<pre>` or `<title>`, else its beginning.
fn page_words(text: &str) -> String {
    for (open, close) in [("<pre>", "</pre>"), ("<title>", "</title>")] {
        let found = text.split_once(open).and_then(|(_, rest)| rest.split_once(close));
        if let Some((words, _)) = found.filter(|(words, _)| !words.trim().is_empty()) {
            return shortened(words.trim());
        }
    }
    shortened(text)
}

/// At most the first kilobyte.
fn shortened(text: &str) -> String {
    let text = text.trim();
    let end = (0..=1024).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    if text.len() <= end { text.to_owned() } else { format!("{}…", &text[..end]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_no_ids() {
        let cases = [
            ("GET /api/2.0/accounts/…/networks", "GET /networks"),
            ("DELETE /api/2.0/accounts/…/networks/0b1c", "DELETE /networks/{id}"),
            ("POST /oidc/accounts/…/v1/token", "POST /oidc/accounts/…/v1/token"),
        ];
        for (call, name) in cases {
            assert_eq!(operation(call), name);
        }
    }

    #[test]
    fn every_shape_of_error() {
        use Class::*;
        let post = "POST /api/2.0/accounts/…/networks";
        let delete = "DELETE /api/2.0/accounts/…/networks/1";
        let patch = "PATCH /api/2.0/accounts/…/workspaces/1";
        // Call, status, body → class, code, message.
        let cases = [
            (
                post,
                404,
                r#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no"}"#,
                NotFound,
                "RESOURCE_DOES_NOT_EXIST",
                "no",
            ),
            (
                post,
                404,
                r#"{"message":"Account x does not exist or the user does not belong to it"}"#,
                Denied,
                "",
                "Account x does not exist or the user does not belong to it",
            ),
            (
                post,
                404,
                r#"{"error_code":"ENDPOINT_NOT_FOUND","message":"no"}"#,
                Invalid,
                "ENDPOINT_NOT_FOUND",
                "no",
            ),
            (post, 403, r#"{"error_code":403,"message":"Forbidden"}"#, Denied, "403", "Forbidden"),
            (
                post,
                400,
                r#"{"message":"MALFORMED_REQUEST: Missing required parameters: use_cases"}"#,
                Invalid,
                "MALFORMED_REQUEST",
                "Missing required parameters: use_cases",
            ),
            (
                post,
                400,
                "MALFORMED_REQUEST: Failed credential validation checks: please use a role",
                Propagating,
                "MALFORMED_REQUEST",
                "Failed credential validation checks: please use a role",
            ),
            (
                post,
                400,
                "MALFORMED_REQUEST: Failed credentials validation checks: Delete Tags",
                Propagating,
                "MALFORMED_REQUEST",
                "Failed credentials validation checks: Delete Tags",
            ),
            (
                post,
                400,
                r#"{"error_code":"MALFORMED_REQUEST","message":"Credential configuration name a already exists in this account."}"#,
                AlreadyExists,
                "MALFORMED_REQUEST",
                "Credential configuration name a already exists in this account.",
            ),
            (post, 409, "", AlreadyExists, "", "409 Conflict, without an explanation"),
            (delete, 409, "", InUse, "", "409 Conflict, without an explanation"),
            (patch, 409, "", Transient, "", "409 Conflict, without an explanation"),
            (
                delete,
                409,
                "INVALID_STATE: Unable to delete, Network is being used by active workspace 1",
                InUse,
                "INVALID_STATE",
                "Unable to delete, Network is being used by active workspace 1",
            ),
            (
                delete,
                400,
                r#"{"error_code":"INVALID_STATE","message":"attached to one or more workspaces"}"#,
                InUse,
                "INVALID_STATE",
                "attached to one or more workspaces",
            ),
            (
                patch,
                400,
                "INVALID_STATE: Please terminate all pool & cluster EC2 instances",
                Other,
                "INVALID_STATE",
                "Please terminate all pool & cluster EC2 instances",
            ),
            (
                post,
                400,
                "INVALID_STATE: Storage configuration limit exceeded",
                Other,
                "INVALID_STATE",
                "Storage configuration limit exceeded",
            ),
            (
                post,
                409,
                r#"{"schemas":["x"],"detail":"Group with name x already exists.","status":"409"}"#,
                AlreadyExists,
                "",
                "Group with name x already exists.",
            ),
            (post, 400, r#"{"error":"legacy"}"#, Invalid, "", "legacy"),
            (
                post,
                401,
                r#"{"error":"invalid_client","error_description":"wrong"}"#,
                Denied,
                "invalid_client",
                "wrong",
            ),
            (
                post,
                400,
                r#"{"error":"invalid_request","error_description":"Temporarily throttled, too many requests"}"#,
                Throttled,
                "invalid_request",
                "Temporarily throttled, too many requests",
            ),
            (
                post,
                429,
                r#"{"error_code":"REQUEST_LIMIT_EXCEEDED","message":"slow"}"#,
                Throttled,
                "REQUEST_LIMIT_EXCEEDED",
                "slow",
            ),
            (post, 502, "<html><title>Bad gateway</title></html>", Transient, "", "Bad gateway"),
            (post, 500, "SELECT 1", Transient, "", "SELECT 1"),
            (post, 501, "", Other, "", "501 Not Implemented, without an explanation"),
            (post, 400, r#"{"strange":1}"#, Invalid, "", r#"{"strange":1}"#),
        ];
        for (call, status, body, class, code, message) in cases {
            let error = refusal(call, status, &HeaderMap::new(), body);
            let got = (error.class, error.code.as_deref().unwrap_or_default(), &*error.message);
            assert_eq!(got, (class, code, message), "{call} {status} {body}");
        }
    }

    #[test]
    fn request_id_and_delay_from_headers_or_details() {
        let body = r#"{"error_code":"X","message":"m","details":[
            {"@type":"type.googleapis.com/google.rpc.RequestInfo","request_id":"r1"},
            {"@type":"type.googleapis.com/google.rpc.RetryInfo","retry_delay":"1.5s"}]}"#;
        let mut headers = HeaderMap::new();
        let error = refusal("GET /x", 429, &headers, body);
        assert_eq!((error.request_id.as_deref(), error.retry_after_ms), (Some("r1"), Some(1500)));

        headers.insert("x-request-id", "r2".parse().unwrap());
        headers.insert("retry-after", "7".parse().unwrap());
        let error = refusal("GET /x", 429, &headers, body);
        assert_eq!((error.request_id.as_deref(), error.retry_after_ms), (Some("r2"), Some(7000)));
    }

    #[test]
    fn a_page_is_a_failed_sign_in_and_a_torn_answer_is_a_doubt() {
        let mut headers = HeaderMap::new();
        let class = |answer: Result<Answer>| answer.map(|a| a.body).map_err(|e| e.class);
        assert_eq!(class(sort("GET /x", 200, &headers, "")), Ok(Value::Null));
        assert_eq!(class(sort("GET /x", 201, &headers, "[]")), Ok(Value::Array(Vec::new())));
        for (text, expected) in
            [("<html>sign in</html>", Class::Denied), ("{\"workspace_id\": 12", Class::Transient)]
        {
            assert_eq!(class(sort("GET /x", 200, &headers, text)), Err(expected), "{text}");
        }
        headers.insert(LOCATION, "https://h/login?code=secret".parse().unwrap());
        let error = sort("GET /x", 302, &headers, "").err().unwrap();
        assert_eq!(error.class, Class::Denied);
        assert!(error.message.contains("https://h/login:"), "{}", error.message);
    }
}
