use std::time::{Duration, Instant};

use cloud::{Class, Error, Result};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::config::{Config, Issued, SignIn};
use crate::error::{Answer, Http, exchange};

/// A token is not used in the last seconds of its life: a request takes time to arrive.
const MARGIN: Duration = Duration::from_secs(40);

/// The one token of this process, and how to get the next.
///
/// The lock is held while signing in, so that however many calls need a token, one request is made:
/// the token endpoint throttles separately from the API.
pub(crate) struct Tokens {
    url: Url,
    sign_in: SignIn,
    current: Mutex<Option<Token>>,
}

/// A token and, to tell it from its successors, a number.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) secret: SecretString,
    number: u64,
    expires: Instant,
}

impl Tokens {
    pub(crate) fn new(config: &Config) -> Self {
        let mut url = config.host.clone();
        url.set_path(&format!("/oidc/accounts/{}/v1/token", config.account_id));
        Tokens { url, sign_in: config.sign_in.clone(), current: Mutex::new(None) }
    }

    /// A token that is good for a while, other than `refused`.
    pub(crate) async fn get(&self, http: &Http, refused: Option<&Token>) -> Result<Token> {
        let mut current = self.current.lock().await;
        let number = match current.as_ref() {
            Some(token)
                if Instant::now() < token.expires
                    && refused.is_none_or(|refused| refused.number != token.number) =>
            {
                return Ok(token.clone());
            }
            Some(token) => token.number + 1,
            None => 0,
        };
        let token = self.sign_in(http, number).await?;
        *current = Some(token.clone());
        Ok(token)
    }

    async fn sign_in(&self, http: &Http, number: u64) -> Result<Token> {
        let call = "POST /oidc/accounts/…/v1/token";
        let request = http.client.post(self.url.clone());
        let Answer { body, .. } = match &self.sign_in {
            SignIn::Secret { client_id, secret } => {
                let form = [("grant_type", "client_credentials"), ("scope", "all-apis")];
                let request = request.basic_auth(client_id, Some(secret.expose_secret()));
                exchange(&*http.meter, request.form(&form), call, secret).await?
            }
            SignIn::Federated { client_id, issued, audience } => {
                let subject = issued.fetch(http, audience).await?;
                let mut form = vec![
                    ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                    ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
                    ("subject_token", subject.expose_secret()),
                    ("scope", "all-apis"),
                ];
                form.extend(client_id.iter().map(|id| ("client_id", id.as_str())));
                let answer = exchange(&*http.meter, request.form(&form), call, &subject).await;
                answer.map_err(|error| issued.explain(error))?
            }
        };
        let granted = serde_json::from_value::<Granted>(body).ok();
        let Some(granted) = granted.filter(|g| !g.access_token.expose_secret().is_empty()) else {
            // What came instead may hold a token, so it is not shown.
            return Err(Error::new(Class::Denied, call, "the answer holds no usable token"));
        };
        // A day is longer than any run; the sum with a wild number would overflow.
        let life = Duration::from_secs(granted.expires_in.unwrap_or(300).min(24 * 3600));
        Ok(Token {
            secret: granted.access_token,
            number,
            expires: Instant::now() + life.saturating_sub(MARGIN),
        })
    }
}

impl Issued {
    /// The platform's token, as new as it can be had.
    async fn fetch(&self, http: &Http, audience: &str) -> Result<SecretString> {
        match self {
            Issued::Variable(token) => Ok(token.clone()),
            Issued::File(path) => {
                let call = format!("read {}", path.display());
                let text = tokio::fs::read_to_string(path).await;
                let text = text.map_err(|e| Error::new(Class::Denied, &call, e.to_string()))?;
                usable(text.trim(), &call)
            }
            Issued::GitHub { url, bearer } => {
                let call = "GET the identity token of the GitHub job";
                let mut url = url.clone();
                url.query_pairs_mut().append_pair("audience", audience);
                let request = http.client.get(url).bearer_auth(bearer.expose_secret());
                let Answer { body, .. } = exchange(&*http.meter, request, call, bearer).await?;
                usable(body["value"].as_str().unwrap_or_default(), call)
            }
        }
    }

    /// What to do when the exchange is refused.
    fn explain(&self, mut error: Error) -> Error {
        if error.class == Class::Denied {
            error.message += match self {
                Issued::Variable(_) => {
                    "; a federation policy must fit issuer, subject and audience of the token, and a \
                     token in a variable cannot be renewed: runs longer than its life need `file-oidc` \
                     or `github-oidc`"
                }
                Issued::File(_) | Issued::GitHub { .. } => {
                    "; a federation policy must fit issuer, subject and audience of the token"
                }
            };
        }
        error
    }
}

fn usable(token: &str, call: &str) -> Result<SecretString> {
    if token.is_empty() {
        return Err(Error::new(Class::Denied, call, "there is no token in it"));
    }
    Ok(token.to_owned().into())
}

#[derive(Deserialize)]
struct Granted {
    access_token: SecretString,
    expires_in: Option<u64>,
}
