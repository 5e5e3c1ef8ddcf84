use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cloud::{Class, Error, Meter, Result};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, retry};
use secrecy::ExposeSecret;
use serde_json::Value;
use url::Host;

use crate::config::Config;
use crate::error::{Http, exchange};
use crate::token::Tokens;

/// One Databricks account. Cheap to clone; all clones share one token.
///
/// Paths are relative to `/api/2.0/accounts/{account id}/` and may carry a query.
#[derive(Clone)]
pub struct Account(Arc<Inner>);

struct Inner {
    config: Config,
    http: Http,
    tokens: Tokens,
}

impl Account {
    /// A client for the account, whose requests `meter` counts; makes no call yet.
    pub fn connect(config: Config, meter: Arc<dyn Meter>) -> Result<Self> {
        let mut builder = Client::builder()
            .user_agent(user_agent(&config))
            .connect_timeout(Duration::from_secs(10).min(config.timeout))
            .timeout(config.timeout)
            // A redirect leads to a login page, or takes the token somewhere else.
            .redirect(Policy::none())
            .retry(retry::never());
        if is_address(&config) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|e| {
            Error::new(Class::Other, "databricks:connect", format!("no HTTP client: {e}"))
        })?;
        let tokens = Tokens::new(&config);
        let http = Http { client, meter };
        Ok(Account(Arc::new(Inner { config, http, tokens })))
    }

    /// What it was made with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Signs in, unless that has happened: tells early whether the credentials are good.
    pub async fn sign_in(&self) -> Result<()> {
        self.0.tokens.get(&self.0.http, None).await.map(drop)
    }

    /// Reads one object.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, None).await
    }

    /// All objects of a type that answers without pages.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>> {
        let unexpected = || {
            let call = self.call(&Method::GET, path);
            Error::new(Class::Other, call, "the answer is not a list")
        };
        match self.get(path).await? {
            Value::Array(items) => Ok(items),
            Value::Null => Ok(Vec::new()),
            // The newer documentation shows the list inside an object.
            Value::Object(fields) if fields.len() <= 1 => match fields.into_iter().next() {
                Some((_, Value::Array(items))) => Ok(items),
                None => Ok(Vec::new()),
                Some(_) => Err(unexpected()),
            },
            _ => Err(unexpected()),
        }
    }

    /// Makes something. Sent once, whatever comes back, unless the token was refused.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Replaces something.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(Method::PUT, path, Some(body)).await
    }

    /// Changes something.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// Asks for deletion.
    pub async fn delete(&self, path: &str) -> Result<Value> {
        self.send(Method::DELETE, path, None).await
    }

    /// Where users of a workspace go. The API does not say: it is the account host with its first
    /// label exchanged, or the commercial domain where the account host is a bare address.
    pub fn workspace_url(&self, deployment_name: &str) -> String {
        let host = &self.0.config.host;
        let domain = match host.host() {
            Some(Host::Domain(name)) => name.split_once('.').map(|(_, domain)| domain),
            _ => None,
        };
        format!("https://{deployment_name}.{}", domain.unwrap_or("cloud.databricks.com"))
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let Inner { config, http, tokens } = &*self.0;
        let call = self.call(&method, path);
        // Ids come from specs and state files too: they must not lead to another account's path.
        let odd = |c: char| !c.is_ascii_alphanumeric() && !"-_./?=&,%".contains(c);
        if path.contains("..") || path.contains("//") || path.contains(odd) {
            return Err(Error::new(Class::Invalid, call, "the id is not one Databricks gives"));
        }
        let url = config.host.join(&format!("/api/2.0/accounts/{}/{path}", config.account_id));
        let url = url.map_err(|e| Error::new(Class::Invalid, &call, e.to_string()))?;
        let mut token = tokens.get(http, None).await?;
        let mut fresh = false;
        loop {
            let mut request = http
                .client
                .request(method.clone(), url.clone())
                .bearer_auth(token.secret.expose_secret())
                .header("accept", "application/json");
            if let Some(body) = body {
                request = request.json(body);
            }
            match exchange(&*http.meter, request, &call, &token.secret).await {
                // Nothing was done, so that even a creation may be sent again.
                Err(error) if error.status == Some(401) && !fresh => {
                    token = tokens.get(http, Some(&token)).await?;
                    fresh = true;
                }
                answer => return answer.map(|answer| answer.body),
            }
        }
    }

    /// How errors name a call: the account is always the same one, and the query is detail.
    fn call(&self, method: &Method, path: &str) -> String {
        let path = path.split('?').next().unwrap_or_default();
        format!("{method} /api/2.0/accounts/…/{path}")
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { host, account_id, .. } = &self.0.config;
        f.debug_struct("Account").field("host", &host.as_str()).field("id", account_id).finish()
    }
}

fn is_address(config: &Config) -> bool {
    !matches!(config.host.host(), Some(Host::Domain(name)) if name != "localhost")
}

/// Form: the Databricks SDKs' convention.
fn user_agent(config: &Config) -> String {
    let pipeline = config.pipeline.map(|name| format!(" cicd/{name}")).unwrap_or_default();
    format!(
        "dbxctl/{} rust/{} os/{} auth/{}{pipeline}",
        env!("CARGO_PKG_VERSION"),
        env!("CARGO_PKG_RUST_VERSION"),
        std::env::consts::OS,
        config.method(),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::Given;

    type Seen = Arc<Mutex<Vec<String>>>;

    async fn serve(
        answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static,
    ) -> (Account, Seen) {
        let secret = [("DATABRICKS_CLIENT_ID", "app"), ("DATABRICKS_CLIENT_SECRET", "s3cret")];
        serve_as(&secret, answer).await
    }

    /// Answers each request with what `answer` makes of its whole text; ends with the test. In the
    /// values of the environment, `HOST` stands for its address.
    async fn serve_as(
        environment: &[(&str, &str)],
        answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static,
    ) -> (Account, Seen) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("http://{}", listener.local_addr().unwrap());
        let (seen, answer) = (Seen::default(), Arc::new(answer));
        let log = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, answer.clone(), log.clone()));
            }
        });
        let env = |name: &str| match name {
            "DATABRICKS_HOST" => Some(host.clone()),
            "DATABRICKS_ACCOUNT_ID" => Some("acc".to_owned()),
            _ => {
                let (_, value) = environment.iter().find(|(n, _)| *n == name)?;
                Some(value.replace("HOST", &host))
            }
        };
        let config = Config::resolve(&Given::default(), &env, None).unwrap();
        (Account::connect(config, Arc::new(())).unwrap(), seen)
    }

    async fn converse(
        mut stream: TcpStream,
        answer: Arc<impl Fn(&str) -> (u16, String)>,
        log: Seen,
    ) {
        let mut text = String::new();
        loop {
            let mut buffer = [0; 4096];
            let Ok(n) = stream.read(&mut buffer).await else { return };
            if n == 0 {
                return;
            }
            text.push_str(&String::from_utf8_lossy(&buffer[..n]));
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.to_lowercase().split("content-length: ").nth(1).map_or(0, |rest| {
                rest.split("\r\n").next().unwrap_or_default().parse::<usize>().unwrap_or_default()
            });
            if body.len() < length {
                continue;
            }
            let line = head.lines().next().unwrap_or_default();
            log.lock().unwrap().push(line.trim_end_matches(" HTTP/1.1").to_owned());
            let (status, body) = answer(&text);
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
            if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
                return;
            }
            text.clear();
        }
    }

    fn count(seen: &Seen, line: &str) -> usize {
        seen.lock().unwrap().iter().filter(|l| *l == line).count()
    }

    const SIGN_IN: &str = "POST /oidc/accounts/acc/v1/token";

    fn token(number: u32) -> (u16, String) {
        let token = json!({ "access_token": format!("tok-{number}"), "token_type": "Bearer", "expires_in": 3600 });
        (200, token.to_string())
    }

    #[tokio::test]
    async fn many_calls_share_one_sign_in() {
        let (account, seen) = serve(|request| {
            if request.starts_with(SIGN_IN) {
                assert!(request.contains("Basic YXBwOnMzY3JldA=="), "{request}");
                assert!(request.ends_with("grant_type=client_credentials&scope=all-apis"));
                return token(1);
            }
            assert!(request.contains("Bearer tok-1"), "{request}");
            (200, "[{}]".to_owned())
        })
        .await;
        let calls = (0..8).map(|_| {
            let account = account.clone();
            tokio::spawn(async move { account.list("networks").await })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap(), Ok(vec![json!({})]));
        }
        assert_eq!(count(&seen, SIGN_IN), 1);
        assert_eq!(count(&seen, "GET /api/2.0/accounts/acc/networks"), 8);
    }

    #[tokio::test]
    async fn a_refused_token_is_renewed_once() {
        let signed_in = Mutex::new(0);
        let (account, seen) = serve(move |request| {
            if request.starts_with(SIGN_IN) {
                let mut number = signed_in.lock().unwrap();
                *number += 1;
                return token(*number);
            }
            match request.contains("Bearer tok-2") && request.contains("/networks") {
                true => (201, r#"{"network_id":"n"}"#.to_owned()),
                false => {
                    (401, r#"{"error_code":"UNAUTHENTICATED","message":"tok-2 tok-3"}"#.to_owned())
                }
            }
        })
        .await;
        assert_eq!(account.post("networks", &json!({})).await, Ok(json!({ "network_id": "n" })));
        assert_eq!(count(&seen, "POST /api/2.0/accounts/acc/networks"), 2);

        let error = account.get("workspaces").await.unwrap_err();
        assert_eq!(error.class, Class::Denied);
        assert_eq!(error.message, "tok-2 …", "the token in use is hidden");
        assert_eq!(count(&seen, "GET /api/2.0/accounts/acc/workspaces"), 2);
        assert_eq!(count(&seen, SIGN_IN), 3);
    }

    #[tokio::test]
    async fn a_job_on_github_needs_no_secret() {
        let environment = [
            ("DATABRICKS_CLIENT_ID", "app"),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", "HOST/job?v=2"),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job"),
        ];
        let asked = Mutex::new(0);
        let (account, seen) = serve_as(&environment, move |request| {
            let mut number = asked.lock().unwrap();
            if request.starts_with("GET /job?v=2&audience=acc ") {
                assert!(request.contains("Bearer of-the-job"), "{request}");
                *number += 1;
                return (200, json!({ "value": format!("jwt-{number}") }).to_string());
            }
            if request.starts_with(SIGN_IN) {
                let form = format!(
                    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
                     &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt\
                     &subject_token=jwt-{number}&scope=all-apis&client_id=app"
                );
                assert!(
                    request.ends_with(&form) && !request.contains("authorization"),
                    "{request}"
                );
                return token(*number);
            }
            // The first token is over at once: the second needs a new one of the job.
            match request.contains("Bearer tok-2") {
                true => (200, "[]".to_owned()),
                false => (401, "{}".to_owned()),
            }
        })
        .await;
        assert_eq!(account.list("networks").await, Ok(Vec::new()));
        assert_eq!(count(&seen, SIGN_IN), 2);
        assert_eq!(count(&seen, "GET /job?v=2&audience=acc"), 2);
        assert!(user_agent(account.config()).contains(" auth/github-oidc"));
    }

    #[tokio::test]
    async fn a_refused_exchange_says_what_has_to_fit() {
        let (account, _) = serve_as(&[("DATABRICKS_OIDC_TOKEN", "jwt-1")], |_| {
            (
                401,
                r#"{"error":"invalid_client","error_description":"no policy for jwt-1"}"#
                    .to_owned(),
            )
        })
        .await;
        let error = account.get("networks").await.unwrap_err();
        assert_eq!(error.class, Class::Denied);
        let says = &error.message;
        assert!(says.contains("federation policy") && says.contains("cannot be renewed"), "{says}");
        assert!(!says.contains("jwt-1"), "{says}");
    }

    #[tokio::test]
    async fn a_creation_is_sent_once_whatever_happens() {
        for status in [302, 409, 429, 500, 503] {
            let (account, seen) = serve(move |request| {
                if request.starts_with(SIGN_IN) { token(1) } else { (status, String::new()) }
            })
            .await;
            let error = account.post("networks", &json!({})).await.unwrap_err();
            assert_eq!(error.call, "POST /api/2.0/accounts/…/networks");
            assert_eq!(count(&seen, "POST /api/2.0/accounts/acc/networks"), 1, "{status}");
        }
    }

    #[tokio::test]
    async fn a_throttled_sign_in_has_that_class_and_no_secret() {
        let (account, _) = serve(|_| {
            let description = "Temporarily throttled, too many requests for s3cret";
            (
                400,
                json!({ "error": "invalid_request", "error_description": description }).to_string(),
            )
        })
        .await;
        let error = account.get("networks").await.unwrap_err();
        assert_eq!(error.class, Class::Throttled);
        assert!(!format!("{error:?} {account:?}").contains("s3cret"));
    }

    #[tokio::test]
    async fn ids_cannot_leave_the_account() {
        let (account, seen) = serve(|_| (200, String::new())).await;
        for path in ["networks/../../other/networks", "networks//x", "networks/a b", "n/#x", "n\\x"]
        {
            assert_eq!(account.delete(path).await.unwrap_err().class, Class::Invalid, "{path}");
        }
        assert!(seen.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn workspaces_live_beside_the_account_host() {
        let (account, _) = serve(|_| (200, String::new())).await;
        assert_eq!(account.workspace_url("dbc-1"), "https://dbc-1.cloud.databricks.com");
    }
}
