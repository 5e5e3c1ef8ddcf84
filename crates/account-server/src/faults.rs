use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::answer::{Refusal, Shape, respond};
use crate::credentials;
use crate::listener::Cut;
use crate::{Server, pause};

/// Something that goes wrong with the `nth` matching request and the `times - 1` after it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Any method when absent.
    pub method: Option<String>,
    /// Part of the path with its query; a final `$` stands for the end.
    pub path: String,
    #[serde(default = "one")]
    pub nth: u32,
    #[serde(default = "one")]
    pub times: u32,
    pub kind: FaultKind,
    /// For `slow` and `slow_after`; 1000 when absent. For `throttle`: its `Retry-After`.
    pub millis: Option<u64>,
    /// Instead of the kind's usual status.
    pub status: Option<u16>,
    /// Instead of the kind's usual text.
    pub message: Option<String>,
    /// For `workspace_failed`: what the network then says, as `BROKEN`.
    pub network_error: Option<String>,
    /// Matching requests so far.
    #[serde(skip)]
    pub seen: u32,
}

/// How it goes wrong. Without `after`, the request has no effect.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// 429 with `Retry-After`.
    Throttle,
    #[serde(rename = "503")]
    Unavailable,
    #[serde(rename = "500")]
    Broken,
    #[serde(rename = "500_after")]
    BrokenAfter,
    /// The connection ends without an answer.
    DropBefore,
    DropAfter,
    /// 400, `MALFORMED_REQUEST: ...` that is not JSON.
    PlainText,
    /// 400, code inside the message.
    MessageOnly,
    /// 409 and nothing else.
    Empty,
    /// The login page, with 200.
    Html,
    /// 302 to the login page.
    Redirect,
    Slow,
    SlowAfter,
    /// 400 of a role that cannot be assumed (yet).
    RoleNotReady,
    /// 400 of a workspace update while classic compute runs.
    ComputeRunning,
    /// 400 of the token endpoint.
    TokenThrottle,
    /// Every token handed out so far is no good any more.
    ExpireTokens,
    /// A list without its newest object.
    StaleList,
    /// The answer has a field and a value of the future.
    ExtraFields,
    /// The workspace made by this request will end as `FAILED`.
    WorkspaceFailed,
    /// A workspace update is answered but not kept.
    SilentRevert,
}

/// One request as `GET /_control/requests` tells it. Bodies and headers are not kept.
#[derive(Clone, Serialize)]
pub struct Record {
    pub method: String,
    /// With its query.
    pub path: String,
    /// 0 when the connection was cut, absent while the request is under way.
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultKind>,
}

/// Plays faults and keeps the list of requests.
pub(crate) async fn layer(
    State(server): State<Arc<Server>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path_and_query().map_or("/", |it| it.as_str()).to_owned();
    if path.starts_with("/_control/") {
        return next.run(request).await;
    }
    let method = request.method().to_string();
    let (fault, at) = {
        let mut state = server.state();
        // Every fault counts its matches, also those another fault takes.
        let mut due = None;
        for fault in &mut state.faults {
            if fault.is_due(&method, &path) && due.is_none() {
                due = Some(fault.clone());
            }
        }
        let kind = due.as_ref().map(|it| it.kind);
        state.requests.push(Record { method, path, status: None, fault: kind });
        (due, (state.era, state.requests.len() - 1))
    };
    let answer = match fault {
        None => next.run(request).await,
        Some(fault) => fault.play(&server, &cut, request, next).await,
    };
    let status = if cut.is_cut() { 0 } else { answer.status().as_u16() };
    let mut state = server.state();
    // The list may have been emptied in the meantime.
    if state.era == at.0
        && let Some(record) = state.requests.get_mut(at.1)
    {
        record.status = Some(status);
    }
    answer
}

impl Fault {
    fn is_due(&mut self, method: &str, path: &str) -> bool {
        let is_method = self.method.as_ref().is_none_or(|it| it.eq_ignore_ascii_case(method));
        let is_path = match self.path.strip_suffix('$') {
            Some(end) => path.ends_with(end),
            None => path.contains(&self.path),
        };
        if !is_method || !is_path {
            return false;
        }
        self.seen += 1;
        self.seen >= self.nth && self.seen - self.nth < self.times
    }

    async fn play(self, server: &Server, cut: &Cut, mut request: Request, next: Next) -> Response {
        let text = |usual: &str| self.message.clone().unwrap_or_else(|| usual.to_owned());
        let delay = Duration::from_millis(self.millis.unwrap_or(1000));
        let error = |status, code, usual: &str| {
            Refusal::coded(status, code, text(usual)).into_response(Shape::Coded)
        };
        let answer = match self.kind {
            FaultKind::Throttle => {
                let body = json!({
                    "error_code": "REQUEST_LIMIT_EXCEEDED",
                    "message": text("Too many requests"),
                });
                let mut answer = respond(StatusCode::TOO_MANY_REQUESTS, &body);
                answer.headers_mut().insert(header::RETRY_AFTER, delay.as_secs().into());
                answer
            }
            FaultKind::Unavailable => error(
                StatusCode::SERVICE_UNAVAILABLE,
                "TEMPORARILY_UNAVAILABLE",
                "The service is temporarily unavailable",
            ),
            FaultKind::Broken => {
                error(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "Internal error")
            }
            FaultKind::BrokenAfter => {
                next.run(request).await;
                error(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "Internal error")
            }
            FaultKind::DropBefore => {
                cut.now();
                StatusCode::OK.into_response()
            }
            FaultKind::DropAfter => {
                let answer = next.run(request).await;
                cut.now();
                answer
            }
            FaultKind::PlainText => {
                Refusal::malformed(text("Invalid request")).into_response(Shape::PlainText)
            }
            FaultKind::MessageOnly => {
                Refusal::malformed(text("Invalid request")).into_response(Shape::MessageOnly)
            }
            FaultKind::Empty => StatusCode::CONFLICT.into_response(),
            FaultKind::Html => {
                Html("<!doctype html><html><head><title>Databricks - Sign In</title></head></html>")
                    .into_response()
            }
            FaultKind::Redirect => {
                let login = format!("/login?account_id={}", server.config.account);
                (StatusCode::FOUND, [(header::LOCATION, login)]).into_response()
            }
            FaultKind::Slow => {
                pause(delay).await;
                next.run(request).await
            }
            FaultKind::SlowAfter => {
                let answer = next.run(request).await;
                pause(delay).await;
                answer
            }
            FaultKind::RoleNotReady => {
                credentials::validation_failed().into_response(Shape::MessageOnly)
            }
            FaultKind::ComputeRunning => Refusal::state(text(
                "Please terminate all pool & cluster EC2 instances in your workspace subnets \
                 before attempting to update the workspace.",
            ))
            .into_response(Shape::MessageOnly),
            FaultKind::TokenThrottle => respond(
                StatusCode::BAD_REQUEST,
                &json!({
                    "error": "invalid_request",
                    "error_description": text("Temporarily throttled, too many requests"),
                }),
            ),
            FaultKind::ExpireTokens => {
                server.state().tokens.clear();
                next.run(request).await
            }
            FaultKind::StaleList => {
                edited(next.run(request).await, |body| {
                    if let Some(list) = body.as_array_mut() {
                        list.pop();
                    }
                })
                .await
            }
            FaultKind::ExtraFields => edited(next.run(request).await, from_the_future).await,
            FaultKind::WorkspaceFailed | FaultKind::SilentRevert => {
                request.extensions_mut().insert(self.clone());
                next.run(request).await
            }
        };
        match self.status.and_then(|it| StatusCode::from_u16(it).ok()) {
            Some(status) => (status, answer).into_response(),
            None => answer,
        }
    }
}

/// The answer with its JSON body changed; an answer without one as it is.
async fn edited(answer: Response, edit: impl FnOnce(&mut Value)) -> Response {
    let (parts, body) = answer.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(mut value) if parts.status.is_success() => {
            edit(&mut value);
            respond(parts.status, &value)
        }
        _ => Response::from_parts(parts, Body::from(bytes)),
    }
}

fn from_the_future(body: &mut Value) {
    match body {
        Value::Array(list) => list.iter_mut().for_each(from_the_future),
        Value::Object(object) => {
            object.insert("field_of_the_future".into(), json!({"nested": [1, "two", null]}));
            if object.contains_key("workspace_status") {
                object.insert("workspace_status".into(), "STATUS_OF_THE_FUTURE".into());
            }
        }
        _ => {}
    }
}

fn one() -> u32 {
    1
}
