//! A Databricks account API server for tests.
//!
//! It answers the wire protocol of the provisioning API (credentials, storage configurations,
//! networks, VPC endpoints, private access settings, customer-managed keys, workspaces) with the
//! behaviour that public material documents. Where that material is silent or divided, a comment
//! says "unconfirmed" and a switch in [`Settings`] often chooses.
//!
//! Tests steer it through `/_control/`:
//! `POST faults` (a list of [`Fault`]s, replacing the old list), `GET requests`, `POST settings`
//! (any subset of [`Settings`]), `POST endpoints` (`{vpce id: service}`), `POST services`
//! (`{service: use case}`), `POST reset` (forgets objects, faults and requests).

mod account;
mod answer;
mod auth;
mod aws;
mod config;
mod credentials;
mod customer_managed_keys;
mod faults;
mod listener;
mod networks;
mod private_access_settings;
mod storage_configurations;
mod vpc_endpoints;
mod workspaces;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Extension, Json, middleware};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::account::{Account, Call};
pub use crate::answer::Shape;
use crate::answer::{Answer, Refusal, respond};
use crate::auth::Tokens;
use crate::aws::Outside;
pub use crate::config::{Config, Pace, Settings, UseCase};
pub use crate::faults::{Fault, FaultKind, Record};
use crate::listener::{Cut, Listener};

/// A running server. Dropping it stops the server.
pub struct Running {
    address: SocketAddr,
    server: Arc<Server>,
    task: JoinHandle<()>,
}

impl Running {
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces the faults to come.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.server.state().faults = faults;
    }

    /// The requests so far, in order of arrival.
    pub fn requests(&self) -> Vec<Record> {
        self.server.state().requests.clone()
    }

    /// Takes no more connections.
    pub fn stop(self) {
        self.task.abort();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a server on the loopback address, within the current Tokio runtime.
///
/// # Errors
///
/// When the port cannot be had.
pub async fn start(config: Config) -> std::io::Result<Running> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).await?;
    let address = listener.local_addr()?;
    let state = Changing { settings: config.settings.clone(), ..Changing::default() };
    let server = Arc::new(Server { config, state: Mutex::new(state) });
    let service = router(Arc::clone(&server)).into_make_service_with_connect_info::<Cut>();
    let task = tokio::spawn(async move {
        // Serving ends only with the task.
        let _ = axum::serve(Listener(listener), service).await;
    });
    Ok(Running { address, server, task })
}

#[expect(clippy::disallowed_methods, reason = "slowness is what this server simulates")]
pub(crate) async fn pause(duration: std::time::Duration) {
    tokio::time::sleep(duration).await;
}

pub(crate) struct Server {
    pub(crate) config: Config,
    state: Mutex<Changing>,
}

#[derive(Default)]
pub(crate) struct Changing {
    pub(crate) settings: Settings,
    pub(crate) account: Account,
    pub(crate) tokens: Tokens,
    pub(crate) faults: Vec<Fault>,
    pub(crate) requests: Vec<Record>,
    /// Counts resets.
    pub(crate) era: u32,
}

impl Server {
    pub(crate) fn state(&self) -> MutexGuard<'_, Changing> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first label of a workspace's host name; none for the account's.
    pub(crate) fn workspace_label(&self, headers: &HeaderMap) -> Option<String> {
        let zone = self.config.zone.as_ref()?;
        let name = auth::host(headers).split(':').next().unwrap_or_default();
        let label = name.strip_suffix(zone)?.strip_suffix('.')?;
        (label != "accounts").then(|| label.to_owned())
    }
}

fn router(server: Arc<Server>) -> Router {
    let discovery = get(auth::oauth_config);
    Router::new()
        .route("/.well-known/databricks-config", get(auth::host_config))
        .route("/oidc/accounts/{account}/.well-known/oauth-authorization-server", discovery.clone())
        .route("/oidc/accounts/{account}/.well-known/openid-configuration", discovery)
        .route("/oidc/accounts/{account}/v1/token", post(auth::token))
        .route("/api/2.0/accounts/{account}/{family}", any(objects))
        .route("/api/2.0/accounts/{account}/{family}/{id}", any(object))
        .route("/api/2.0/preview/scim/v2/Me", get(me))
        .route("/_control/faults", post(set_faults))
        .route("/_control/requests", get(list_requests))
        .route("/_control/settings", post(change_settings))
        .route("/_control/endpoints", post(add_endpoints))
        .route("/_control/services", post(add_services))
        .route("/_control/reset", post(reset))
        .fallback(nothing_here)
        .layer(middleware::from_fn_with_state(Arc::clone(&server), faults::layer))
        .layer(DefaultBodyLimit::max(1 << 20))
        .with_state(server)
}

#[derive(Deserialize)]
struct Mask {
    update_mask: Option<String>,
}

/// An API request after routing.
struct Asked {
    method: Method,
    account: String,
    family: String,
    id: Option<String>,
    mask: Option<String>,
    fault: Option<Fault>,
    body: Bytes,
}

async fn objects(
    State(server): State<Arc<Server>>,
    Path((account, family)): Path<(String, String)>,
    fault: Option<Extension<Fault>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fault = fault.map(|it| it.0);
    serve(&server, &headers, Asked { method, account, family, id: None, mask: None, fault, body })
        .await
}

async fn object(
    State(server): State<Arc<Server>>,
    Path((account, family, id)): Path<(String, String, String)>,
    Query(Mask { update_mask: mask }): Query<Mask>,
    fault: Option<Extension<Fault>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fault = fault.map(|it| it.0);
    let id = Some(id);
    serve(&server, &headers, Asked { method, account, family, id, mask, fault, body }).await
}

async fn serve(server: &Server, headers: &HeaderMap, asked: Asked) -> Response {
    let answer = carry_out(server, headers, &asked).await;
    match answer {
        Ok((status, body)) => respond(status, &body),
        Err(refusal) => {
            let usual = server.state().settings.error_shape;
            refusal.into_response(usual)
        }
    }
}

async fn carry_out(server: &Server, headers: &HeaderMap, asked: &Asked) -> Answer {
    server.state().tokens.check(headers)?;
    if asked.account != server.config.account {
        return Err(Refusal::coded(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            format!("Account {} does not exist or the user does not belong to it.", asked.account),
        ));
    }
    let body = match &asked.body[..] {
        [] => json!({}),
        bytes => serde_json::from_slice(bytes)
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| Refusal::malformed("Could not parse request object"))?,
    };
    let outside = match (&server.config.aws, asked.method.as_str(), asked.family.as_str()) {
        (Some(aws), "POST", "credentials") => aws::role(aws, &body).await?,
        (Some(aws), "POST", "vpc-endpoints") => aws::endpoint(aws, &body).await?,
        _ => Outside::default(),
    };
    let mut state = server.state();
    let Changing { settings, account, .. } = &mut *state;
    workspaces::settle(account, settings);
    let call = Call {
        account_id: &server.config.account,
        account,
        settings,
        id: asked.id.as_deref().unwrap_or_default(),
        body: &body,
        update_mask: asked.mask.as_deref(),
        outside: &outside,
        fault: asked.fault.as_ref(),
    };
    dispatch(call, asked.method.as_str(), asked.family.as_str(), asked.id.as_deref())
}

/// Every operation of the seven families.
fn dispatch(mut call: Call<'_>, method: &str, family: &str, id: Option<&str>) -> Answer {
    let call = &mut call;
    match (family, method, id) {
        ("credentials", "POST", None) => credentials::create(call),
        ("credentials", "GET", None) => call.account.credentials.list(),
        ("credentials", "GET", Some(_)) => call.account.credentials.show(call.id),
        ("credentials", "DELETE", Some(_)) => credentials::delete(call),

        ("storage-configurations", "POST", None) => storage_configurations::create(call),
        ("storage-configurations", "GET", None) => call.account.storage_configurations.list(),
        ("storage-configurations", "GET", Some(_)) => {
            call.account.storage_configurations.show(call.id)
        }
        ("storage-configurations", "DELETE", Some(_)) => storage_configurations::delete(call),

        ("networks", "POST", None) => networks::create(call),
        ("networks", "GET", None) => networks::list(call),
        ("networks", "GET", Some(_)) => networks::get(call),
        ("networks", "DELETE", Some(_)) => networks::delete(call),

        ("vpc-endpoints", "POST", None) => vpc_endpoints::create(call),
        ("vpc-endpoints", "GET", None) => vpc_endpoints::list(call),
        ("vpc-endpoints", "GET", Some(_)) => vpc_endpoints::get(call),
        ("vpc-endpoints", "DELETE", Some(_)) => vpc_endpoints::delete(call),

        ("private-access-settings", "POST", None) => private_access_settings::create(call),
        ("private-access-settings", "GET", None) => call.account.private_access_settings.list(),
        ("private-access-settings", "GET", Some(_)) => {
            call.account.private_access_settings.show(call.id)
        }
        ("private-access-settings", "PUT", Some(_)) => private_access_settings::replace(call),
        ("private-access-settings", "DELETE", Some(_)) => private_access_settings::delete(call),

        ("customer-managed-keys", "POST", None) => customer_managed_keys::create(call),
        ("customer-managed-keys", "GET", None) => call.account.customer_managed_keys.list(),
        ("customer-managed-keys", "GET", Some(_)) => {
            call.account.customer_managed_keys.show(call.id)
        }
        ("customer-managed-keys", "DELETE", Some(_)) => customer_managed_keys::delete(call),

        ("workspaces", "POST", None) => workspaces::create(call),
        ("workspaces", "GET", None) => workspaces::list(call),
        ("workspaces", "GET", Some(_)) => workspaces::get(call),
        ("workspaces", "PATCH", Some(_)) => workspaces::update(call),
        ("workspaces", "DELETE", Some(_)) => workspaces::delete(call),

        _ => Err(no_endpoint(method, family)),
    }
}

/// `GET /api/2.0/preview/scim/v2/Me`: any HTTP answer tells a client that the name resolves.
async fn me(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    let label = server.workspace_label(&headers);
    let state = server.state();
    let is_known = |label: &String| {
        state.account.workspaces.iter().any(|it| it.deployment_name() == label && it.has_run)
    };
    match label {
        Some(label) if !is_known(&label) => {
            Refusal::not_found("Workspace", &label).into_response(Shape::Coded)
        }
        _ => respond(StatusCode::OK, &json!({"userName": server.config.client_id})),
    }
}

async fn set_faults(
    State(server): State<Arc<Server>>,
    Json(faults): Json<Vec<Fault>>,
) -> StatusCode {
    server.state().faults = faults;
    StatusCode::NO_CONTENT
}

async fn list_requests(State(server): State<Arc<Server>>) -> Json<Vec<Record>> {
    Json(server.state().requests.clone())
}

async fn change_settings(
    State(server): State<Arc<Server>>,
    Json(changes): Json<serde_json::Map<String, Value>>,
) -> Response {
    let mut state = server.state();
    let mut all = answer::shown(&state.settings);
    for (name, value) in changes {
        all[name] = value;
    }
    match serde_json::from_value(all) {
        Ok(settings) => {
            state.settings = settings;
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

async fn add_endpoints(
    State(server): State<Arc<Server>>,
    Json(endpoints): Json<std::collections::BTreeMap<String, String>>,
) -> StatusCode {
    server.state().settings.endpoints.extend(endpoints);
    StatusCode::NO_CONTENT
}

async fn add_services(
    State(server): State<Arc<Server>>,
    Json(services): Json<std::collections::BTreeMap<String, UseCase>>,
) -> StatusCode {
    server.state().settings.services.extend(services);
    StatusCode::NO_CONTENT
}

/// Settings and tokens stay.
async fn reset(State(server): State<Arc<Server>>) -> StatusCode {
    let mut state = server.state();
    state.account = Account::default();
    state.faults.clear();
    state.requests.clear();
    state.era += 1;
    StatusCode::NO_CONTENT
}

async fn nothing_here(method: Method, uri: axum::http::Uri) -> Response {
    no_endpoint(method.as_str(), uri.path()).into_response(Shape::Coded)
}

fn no_endpoint(method: &str, path: &str) -> Refusal {
    Refusal::coded(
        StatusCode::NOT_FOUND,
        "ENDPOINT_NOT_FOUND",
        format!("No API found for '{method} {path}'"),
    )
}
