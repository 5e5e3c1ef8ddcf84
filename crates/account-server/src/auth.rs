use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Server;
use crate::answer::{Refusal, respond};
use crate::config::{Federation, Jwk};

/// The tokens handed out and when they end.
#[derive(Default)]
pub(crate) struct Tokens(HashMap<String, Instant>);

impl Tokens {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    fn issue(&mut self, seconds: u64) -> String {
        let token = format!("test-{}", Uuid::new_v4().simple());
        self.0.insert(token.clone(), Instant::now() + Duration::from_secs(seconds));
        token
    }

    /// Refuses a request without a token that is still good.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|it| it.to_str().ok())
            .and_then(|it| it.strip_prefix("Bearer "));
        match given.and_then(|token| self.0.get(token)) {
            Some(end) if Instant::now() < *end => Ok(()),
            _ => Err(Refusal::coded(
                StatusCode::UNAUTHORIZED,
                "UNAUTHENTICATED",
                "Credential was not sent or was of an unsupported type for this API.",
            )),
        }
    }
}

/// `GET /.well-known/databricks-config`, from which clients learn what kind of host this is.
pub(crate) async fn host_config(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    let base = base_url(&headers);
    if server.workspace_label(&headers).is_some() {
        return respond(
            StatusCode::OK,
            &json!({
                "oidc_endpoint": format!("{base}/oidc"),
                "host_type": "WORKSPACE_HOST",
                "account_id": server.config.account,
                "cloud": "AWS",
            }),
        );
    }
    respond(
        StatusCode::OK,
        &json!({
            // The placeholder is literal; the client fills it in.
            "oidc_endpoint": format!("{base}/oidc/accounts/{{account_id}}"),
            "host_type": "ACCOUNT_HOST",
            "cloud": "AWS",
        }),
    )
}

/// `GET /oidc/accounts/{A}/.well-known/oauth-authorization-server`
pub(crate) async fn oauth_config(Path(account): Path<String>, headers: HeaderMap) -> Response {
    let at = format!("{}/oidc/accounts/{account}/v1", base_url(&headers));
    respond(
        StatusCode::OK,
        &json!({
            "authorization_endpoint": format!("{at}/authorize"),
            "token_endpoint": format!("{at}/token"),
        }),
    )
}

/// `POST /oidc/accounts/{A}/v1/token`: client credentials with HTTP Basic, or a token exchange
/// without. Without a federation policy any non-empty subject token is taken.
pub(crate) async fn token(
    State(server): State<Arc<Server>>,
    Path(account): Path<String>,
    headers: HeaderMap,
    axum::Form(form): axum::Form<HashMap<String, String>>,
) -> Response {
    let refuse = |status, error: &str, text: &str| {
        respond(status, &json!({"error": error, "error_description": text}))
    };
    if account != server.config.account {
        return refuse(StatusCode::NOT_FOUND, "invalid_request", "unknown account");
    }
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let is_allowed = match field("grant_type") {
        "client_credentials" => basic(&headers).is_some_and(|(user, password)| {
            user == server.config.client_id && password == server.config.client_secret
        }),
        "urn:ietf:params:oauth:grant-type:token-exchange" => {
            field("subject_token_type") == "urn:ietf:params:oauth:token-type:jwt"
                && match &server.state().settings.federation[..] {
                    [] => !field("subject_token").is_empty(),
                    policies => policies.iter().any(|it| fits(it, field("subject_token"))),
                }
                && [&server.config.client_id, ""].contains(&field("client_id"))
        }
        _ => {
            return refuse(
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                "grant type is not supported",
            );
        }
    };
    if !is_allowed {
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client", "Client authentication failed");
    }
    let mut state = server.state();
    let seconds = state.settings.token_seconds;
    let token = state.tokens.issue(seconds);
    respond(
        StatusCode::OK,
        &json!({"access_token": token, "token_type": "Bearer", "expires_in": seconds, "scope": "all-apis"}),
    )
}

/// Whether a token is signed by the issuer, has the claims of the policy, and is still good.
#[expect(clippy::disallowed_methods, reason = "tokens end by the clock on the wall")]
fn fits(policy: &Federation, token: &str) -> bool {
    if policy.jwks.as_ref().is_some_and(|jwks| !jwks.keys.iter().any(|key| signed(token, key))) {
        return false;
    }
    let claims = token.split('.').nth(1).and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
    let claims = claims.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let Some(claims) = claims else { return false };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    claims["iss"] == policy.issuer.as_str()
        && claims["sub"] == policy.subject.as_str()
        && claims["aud"] == policy.audience.as_str()
        && claims["exp"].as_u64().is_some_and(|end| now < end)
}

/// Whether this key has signed the token (RS256).
fn signed(token: &str, key: &Jwk) -> bool {
    let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    let verified = || {
        let (text, signature) = token.rsplit_once('.')?;
        let key = RsaPublicKeyComponents { n: decode(&key.n)?, e: decode(&key.e)? };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, text.as_bytes(), &decode(signature)?).ok()
    };
    verified().is_some()
}

/// The client's own idea of where this server is, so that host names and proxies keep working.
pub(crate) fn base_url(headers: &HeaderMap) -> String {
    format!("http://{}", host(headers))
}

pub(crate) fn host(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|it| it.to_str().ok()).unwrap_or("127.0.0.1")
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(BASE64_STANDARD.decode(given).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
