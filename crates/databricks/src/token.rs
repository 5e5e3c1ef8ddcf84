use std::time::{Duration, Instant};

use cloud::{Class, Error, Result};
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::config::Config;
use crate::error::{Answer, exchange};

/// A token is not used in the last seconds of its life: a request takes time to arrive.
const MARGIN: Duration = Duration::from_secs(40);

/// The one token of this process, and how to get the next.
///
/// The lock is held while signing in, so that however many calls need a token, one request is made:
/// the token endpoint throttles separately from the API.
pub(crate) struct Tokens {
    url: Url,
    client_id: String,
    client_secret: SecretString,
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
        Tokens {
            url,
            client_id: config.client_id.clone(),
            client_secret: config.client_secret.clone(),
            current: Mutex::new(None),
        }
    }

    /// A token that is good for a while, other than `refused`.
    pub(crate) async fn get(&self, http: &Client, refused: Option<&Token>) -> Result<Token> {
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

    async fn sign_in(&self, http: &Client, number: u64) -> Result<Token> {
        let call = "POST /oidc/accounts/…/v1/token";
        let form = [("grant_type", "client_credentials"), ("scope", "all-apis")];
        let request = http
            .post(self.url.clone())
            .basic_auth(&self.client_id, Some(self.client_secret.expose_secret()))
            .form(&form);
        let Answer { body, .. } = exchange(request, call, &self.client_secret).await?;
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

#[derive(Deserialize)]
struct Granted {
    access_token: SecretString,
    expires_in: Option<u64>,
}
