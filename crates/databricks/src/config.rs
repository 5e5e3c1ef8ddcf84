use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use cloud::{Class, Error, Result};
use ini::{Ini, ParseOption};
use secrecy::SecretString;
use url::{Host, Url};

/// What a caller knows better than the environment: the spec, or options of the command line.
#[derive(Debug, Clone, Default)]
pub struct Given {
    pub host: Option<String>,
    pub account_id: Option<String>,
    /// The section of the config file.
    pub profile: Option<String>,
}

/// Everything needed to sign in to one account.
#[derive(Debug, Clone)]
pub struct Config {
    /// Scheme, host and port only.
    pub(crate) host: Url,
    pub(crate) account_id: String,
    pub(crate) sign_in: SignIn,
    pub(crate) timeout: Duration,
    pub(crate) pipeline: Option<&'static str>,
    origins: BTreeMap<&'static str, String>,
}

/// How to get a token of the account.
#[derive(Debug, Clone)]
pub(crate) enum SignIn {
    /// With a secret of the service principal: `oauth-m2m`.
    Secret { client_id: String, secret: SecretString },
    /// Without any secret of Databricks, in exchange for a token of the platform we run on. Without a
    /// client id the federation policy of the account decides who that is.
    Federated { client_id: Option<String>, issued: Issued, audience: String },
}

/// Where the platform's token comes from.
#[derive(Debug, Clone)]
pub(crate) enum Issued {
    /// A variable: `env-oidc`. It ends with the token in it.
    Variable(SecretString),
    /// A file that the platform renews, so it is read for every sign-in: `file-oidc`.
    File(PathBuf),
    /// GitHub Actions, asked for every sign-in: `github-oidc`.
    GitHub { url: Url, bearer: SecretString },
}

impl Issued {
    /// As `DATABRICKS_AUTH_TYPE` calls it.
    fn method(&self) -> &'static str {
        match self {
            Issued::Variable(_) => "env-oidc",
            Issued::File(_) => "file-oidc",
            Issued::GitHub { .. } => "github-oidc",
        }
    }
}

/// Attribute, environment variable, key in the config file.
const ATTRIBUTES: [(&str, Option<&str>); 12] = [
    ("host", Some("DATABRICKS_HOST")),
    ("account_id", Some("DATABRICKS_ACCOUNT_ID")),
    ("client_id", Some("DATABRICKS_CLIENT_ID")),
    ("client_secret", Some("DATABRICKS_CLIENT_SECRET")),
    ("token", Some("DATABRICKS_TOKEN")),
    ("username", Some("DATABRICKS_USERNAME")),
    ("password", Some("DATABRICKS_PASSWORD")),
    ("auth_type", Some("DATABRICKS_AUTH_TYPE")),
    ("token_audience", Some("DATABRICKS_TOKEN_AUDIENCE")),
    ("oidc_token_env", Some("DATABRICKS_OIDC_TOKEN_ENV")),
    ("oidc_token_filepath", Some("DATABRICKS_OIDC_TOKEN_FILEPATH")),
    ("http_timeout_seconds", None),
];

/// Other keys for the same in the config file: Databricks' SDKs do not agree on them.
const KEYS: [(&str, &str); 2] =
    [("token_audience", "audience"), ("oidc_token_filepath", "databricks_id_token_filepath")];

/// Attributes that say who signs in; once one is set, the config file is for somebody else.
const CREDENTIALS: [&str; 5] = ["client_id", "client_secret", "token", "username", "password"];

impl Config {
    /// Databricks unified authentication: what is given, then the environment, then one profile of
    /// the config file; a later layer never overwrites an earlier one.
    ///
    /// The file is left alone when the host or a credential is already set and no profile is asked
    /// for. The section `DEFAULT` is not merged into others.
    ///
    /// # Errors
    /// Of class `Invalid`, saying what is missing or contradictory and where it could be set.
    pub fn resolve(
        given: &Given,
        env: &dyn Fn(&str) -> Option<String>,
        file: Option<&str>,
    ) -> Result<Self> {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let mut values = Values::default();
        for (name, value) in [("host", &given.host), ("account_id", &given.account_id)] {
            if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
                values.set(name, value, "given");
            }
        }
        for (name, variable) in ATTRIBUTES {
            let Some(variable) = variable else { continue };
            if let Some(value) = env(variable) {
                values.set(name, &value, variable);
            }
        }

        if let Some(path) = env("DATABRICKS_OIDC_TOKEN_FILE") {
            values.set("oidc_token_filepath", &path, "DATABRICKS_OIDC_TOKEN_FILE");
        }

        let profile = given.profile.clone().filter(|profile| !profile.is_empty());
        let profile = profile.or_else(|| env("DATABRICKS_CONFIG_PROFILE"));
        // A secret from the file must not go to a host that was named elsewhere.
        let complete = values.has("host") || CREDENTIALS.iter().any(|c| values.has(c));
        if profile.is_some() || !complete {
            values.add_file(profile.as_deref(), file)?;
        }
        let pipeline = [("GITHUB_ACTIONS", "github"), ("GITLAB_CI", "gitlab")];
        let pipeline = pipeline.into_iter().find(|(v, _)| env(v).is_some()).map(|(_, name)| name);
        values.finish(&env, pipeline)
    }

    /// Where the config file is: `DATABRICKS_CONFIG_FILE`, else `.databrickscfg` in the home folder.
    pub fn file_path(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
        let set = |name: &str| env(name).filter(|value| !value.is_empty());
        let home = || set("HOME").or_else(|| set("USERPROFILE")).map(PathBuf::from);
        match set("DATABRICKS_CONFIG_FILE") {
            Some(path) => match path.strip_prefix("~/") {
                Some(rest) => Some(home()?.join(rest)),
                None => Some(PathBuf::from(path)),
            },
            None => Some(home()?.join(".databrickscfg")),
        }
    }

    /// The account host: scheme, name and port.
    pub fn host(&self) -> &str {
        self.host.as_str().trim_end_matches('/')
    }

    /// The UUID of the account.
    pub fn account_id(&self) -> &str {
        &self.account_id
    }

    /// The application id of the service principal that signs in; `None` where a federation policy of
    /// the account says who it is.
    pub fn client_id(&self) -> Option<&str> {
        match &self.sign_in {
            SignIn::Secret { client_id, .. } => Some(client_id),
            SignIn::Federated { client_id, .. } => client_id.as_deref(),
        }
    }

    /// How it signs in, as `DATABRICKS_AUTH_TYPE` calls it.
    pub fn method(&self) -> &'static str {
        match &self.sign_in {
            SignIn::Secret { .. } => "oauth-m2m",
            SignIn::Federated { issued, .. } => issued.method(),
        }
    }

    /// Where each attribute came from: `given`, a variable's name, or `profile x`. Holds no values.
    pub fn origins(&self) -> &BTreeMap<&'static str, String> {
        &self.origins
    }
}

#[derive(Default)]
struct Values(BTreeMap<&'static str, (String, String)>);

impl Values {
    fn set(&mut self, name: &'static str, value: &str, origin: &str) {
        let value = value.trim();
        if !value.is_empty() {
            self.0.entry(name).or_insert_with(|| (value.to_owned(), origin.to_owned()));
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|(value, _)| value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn add_file(&mut self, asked: Option<&str>, file: Option<&str>) -> Result<()> {
        let Some(text) = file else {
            return match asked {
                Some(profile) => Err(invalid(format!(
                    "the profile `{profile}` is asked for, but there is no config file"
                ))),
                None => Ok(()),
            };
        };
        // Secrets may hold backslashes and quotes; the file gives them no meaning.
        let options =
            ParseOption { enabled_quote: false, enabled_escape: false, ..ParseOption::default() };
        // The parser's message names a place, not the text found there.
        let ini = Ini::load_from_str_opt(text, options).map_err(|e| {
            invalid(format!("line {} of the config file cannot be read: {}", e.line, e.msg))
        })?;
        let chosen = asked.or_else(|| ini.get_from(Some("__settings__"), "default_profile"));
        let section = chosen.unwrap_or("DEFAULT");
        let Some(properties) = ini.section(Some(section)).filter(|_| section != "__settings__")
        else {
            return match chosen {
                Some(profile) => {
                    Err(invalid(format!("the config file has no profile `{profile}`")))
                }
                None => Ok(()),
            };
        };
        let keys = ATTRIBUTES.into_iter().map(|(name, _)| (name, name)).chain(KEYS);
        for (name, key) in keys {
            if let Some(value) = properties.get(key) {
                self.set(name, value, &format!("profile {section}"));
            }
        }
        Ok(())
    }

    fn need(&self, name: &str, variable: &str) -> Result<String> {
        let value = self.get(name).map(str::to_owned);
        value.ok_or_else(|| {
            invalid(format!("`{name}` is not set: neither `{variable}` nor a profile has it"))
        })
    }

    /// Checks that one family of credentials is set at most, and one that the account takes.
    fn one_family(&self) -> Result<()> {
        let families = [
            ("oauth-m2m", self.has("client_id") || self.has("client_secret")),
            ("pat", self.has("token")),
            ("basic", self.has("username") || self.has("password")),
        ];
        let set: Vec<&str> =
            families.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
        match set.as_slice() {
            [] | ["oauth-m2m"] => Ok(()),
            [other] => Err(invalid(format!(
                "the account API does not take `{other}`: a service principal is needed \
                 (DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET)"
            ))),
            several => Err(invalid(format!(
                "more than one authorization method configured: {}; choose one with \
                 DATABRICKS_AUTH_TYPE",
                several.join(", ")
            ))),
        }
    }

    /// The way of signing in that is asked for, if any.
    fn method(&self) -> Result<Option<&str>> {
        match self.get("auth_type") {
            None => self.one_family().map(|()| None),
            Some(method @ ("oauth-m2m" | "env-oidc" | "file-oidc" | "github-oidc")) => {
                Ok(Some(method))
            }
            Some(other) => Err(invalid(format!(
                "the authorization method `{other}` is not supported; `oauth-m2m`, `env-oidc`, \
                 `file-oidc` and `github-oidc` are"
            ))),
        }
    }

    /// By the method asked for; else by the secret of a service principal if there is one; else by the
    /// first token of the platform, in the order of Databricks' own SDKs.
    fn sign_in(
        &self,
        method: Option<&str>,
        env: &dyn Fn(&str) -> Option<String>,
        account: &str,
    ) -> Result<SignIn> {
        if method == Some("oauth-m2m") || (method.is_none() && self.has("client_secret")) {
            return self.secret();
        }
        let mut issued = self.issued(env)?;
        issued.retain(|issued| method.is_none_or(|method| method == issued.method()));
        match (issued.into_iter().next(), method) {
            (Some(issued), _) => Ok(SignIn::Federated {
                client_id: self.get("client_id").map(str::to_owned),
                issued,
                audience: self.get("token_audience").unwrap_or(account).to_owned(),
            }),
            (None, None) => self.secret(),
            (None, Some(method)) => Err(invalid(format!(
                "`{method}` is asked for, but {} is not set",
                match method {
                    "env-oidc" =>
                        "DATABRICKS_OIDC_TOKEN (or the variable DATABRICKS_OIDC_TOKEN_ENV names)",
                    "file-oidc" => "DATABRICKS_OIDC_TOKEN_FILEPATH",
                    _ =>
                        "ACTIONS_ID_TOKEN_REQUEST_URL (does the job have `permissions: id-token: write`?)",
                }
            ))),
        }
    }

    fn secret(&self) -> Result<SignIn> {
        Ok(SignIn::Secret {
            client_id: self.need("client_id", "DATABRICKS_CLIENT_ID")?,
            secret: self.need("client_secret", "DATABRICKS_CLIENT_SECRET")?.into(),
        })
    }

    /// Every token of the platform that can be had.
    fn issued(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Issued>> {
        let mut all = Vec::new();
        let variable = self.get("oidc_token_env").unwrap_or("DATABRICKS_OIDC_TOKEN");
        all.extend(env(variable).map(|token| Issued::Variable(token.into())));
        all.extend(self.get("oidc_token_filepath").map(|path| Issued::File(path.into())));
        let request = ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"].map(env);
        if let [Some(url), Some(bearer)] = request {
            let url = Url::parse(&url).ok().filter(is_safe).ok_or_else(|| {
                invalid("ACTIONS_ID_TOKEN_REQUEST_URL is not an https address".to_owned())
            })?;
            all.push(Issued::GitHub { url, bearer: bearer.into() });
        }
        Ok(all)
    }

    fn finish(
        self,
        env: &dyn Fn(&str) -> Option<String>,
        pipeline: Option<&'static str>,
    ) -> Result<Config> {
        let method = self.method()?;
        let timeout = match self.get("http_timeout_seconds") {
            None => 60,
            Some(text) => match text.parse() {
                Ok(seconds) if (1..=3600).contains(&seconds) => seconds,
                _ => {
                    return Err(invalid(format!(
                        "`http_timeout_seconds` is `{text}`, not a number from 1 to 3600"
                    )));
                }
            },
        };
        let account_id = self.need("account_id", "DATABRICKS_ACCOUNT_ID")?;
        if !account_id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(invalid(format!(
                "`account_id` is `{account_id}`, which is not the id of an account"
            )));
        }
        Ok(Config {
            host: account_host(&self.need("host", "DATABRICKS_HOST")?)?,
            sign_in: self.sign_in(method, env, &account_id)?,
            account_id,
            timeout: Duration::from_secs(timeout),
            pipeline,
            origins: self.0.into_iter().map(|(name, (_, origin))| (name, origin)).collect(),
        })
    }
}

fn account_host(text: &str) -> Result<Url> {
    let with_scheme =
        if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let mut url = Url::parse(&with_scheme)
        .map_err(|e| invalid(format!("the host `{}` is not a URL: {e}", without_user(text))))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("the host must not hold a user or a password".to_owned()));
    }
    url.set_path("");
    url.set_query(None);
    url.set_fragment(None);
    let name = match url.host() {
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => "",
        Some(Host::Domain(name)) => name,
        None => return Err(invalid(format!("the host `{text}` has no name"))),
    };
    match url.scheme() {
        _ if is_safe(&url) => {}
        "http" => {
            return Err(invalid(format!("`{url}` is not encrypted: only https is accepted")));
        }
        _ => return Err(invalid(format!("`{url}` is not an https address"))),
    }
    let account = name.starts_with("accounts.") || name.starts_with("accounts-dod.");
    let elsewhere = name.contains(".azuredatabricks.") || name.contains(".gcp.databricks.com");
    let workspace =
        name.ends_with(".cloud.databricks.com") || name.ends_with(".cloud.databricks.us");
    if elsewhere || (workspace && !account) {
        return Err(invalid(format!(
            "`{name}` is not the host of a Databricks account on AWS, which is \
             accounts.cloud.databricks.com (GovCloud: accounts.cloud.databricks.us)"
        )));
    }
    Ok(url)
}

/// Whether a secret may be sent there: encrypted, or to this machine.
fn is_safe(url: &Url) -> bool {
    let here = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return false,
    };
    url.scheme() == "https" || (here && url.scheme() == "http")
}

/// Text for a message: what may be a password is left out.
fn without_user(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(_, host)| host)
}

fn invalid(message: String) -> Error {
    Error::new(Class::Invalid, "databricks:config", message)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const FILE: &str = "
[DEFAULT]
host = https://accounts.cloud.databricks.com/
account_id = from-default
client_id = default-client
client_secret = de\\fa\"ult

[other]
account_id = from-other
client_id = other-client
client_secret = other

[__settings__]
";

    fn resolve(given: &Given, env: &[(&str, &str)], file: Option<&str>) -> Result<Config> {
        let lookup = |name: &str| {
            env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Config::resolve(given, &lookup, file)
    }

    /// Host, account, client, secret; or the words of the error.
    fn outcome(config: Result<Config>) -> String {
        let config = match config {
            Ok(config) => config,
            Err(error) => return error.message,
        };
        let way = match &config.sign_in {
            SignIn::Secret { secret, .. } => secret.expose_secret().to_owned(),
            SignIn::Federated { issued, audience, .. } => {
                let token = match issued {
                    Issued::Variable(token) => token.expose_secret().to_owned(),
                    Issued::File(path) => path.display().to_string(),
                    Issued::GitHub { url, bearer } => format!("{url} {}", bearer.expose_secret()),
                };
                format!("{} {token} for {audience}", issued.method())
            }
        };
        let client = config.client_id().unwrap_or("-");
        format!("{} {} {client} {way}", config.host(), config.account_id)
    }

    /// Name, given, environment, file, outcome.
    type Case<'a> = (&'a str, Given, &'a [(&'a str, &'a str)], &'a str, String);

    #[test]
    fn precedence() {
        let none = Given::default();
        let given = |account: &str| Given { account_id: Some(account.to_owned()), ..none.clone() };
        let profile = |name: &str| Given { profile: Some(name.to_owned()), ..none.clone() };
        let host = ("DATABRICKS_HOST", "accounts.cloud.databricks.us");
        let account = ("DATABRICKS_ACCOUNT_ID", "from-env");
        let client = ("DATABRICKS_CLIENT_ID", "env-client");
        let secret = ("DATABRICKS_CLIENT_SECRET", "env");
        let settings = format!("{FILE}default_profile = other\n");
        let us = "https://accounts.cloud.databricks.us";
        let com = "https://accounts.cloud.databricks.com";
        let cases: &[Case<'_>] = &[
            ("file alone", none.clone(), &[], FILE, format!("{com} from-default default-client de\\fa\"ult")),
            ("environment over file", none.clone(), &[account], FILE, format!("{com} from-env default-client de\\fa\"ult")),
            ("given over environment", given("from-spec"), &[account], FILE, format!("{com} from-spec default-client de\\fa\"ult")),
            ("environment is complete: no file", none.clone(), &[host, account, client, secret], FILE, format!("{us} from-env env-client env")),
            ("a credential is set: the file is not read", none.clone(), &[client, secret], FILE, "`account_id` is not set: neither `DATABRICKS_ACCOUNT_ID` nor a profile has it".to_owned()),
            ("DEFAULT is not merged", profile("other"), &[host], FILE, format!("{us} from-other other-client other")),
            ("profile by variable", none.clone(), &[("DATABRICKS_CONFIG_PROFILE", "other"), host], FILE, format!("{us} from-other other-client other")),
            ("profile by setting", none.clone(), &[], &settings, "`host` is not set: neither `DATABRICKS_HOST` nor a profile has it".to_owned()),
            ("unknown profile", profile("nope"), &[], FILE, "the config file has no profile `nope`".to_owned()),
            ("no file at all", none.clone(), &[host], "", "`account_id` is not set: neither `DATABRICKS_ACCOUNT_ID` nor a profile has it".to_owned()),
            ("empty variables do not count", none.clone(), &[("DATABRICKS_HOST", "")], FILE, format!("{com} from-default default-client de\\fa\"ult")),
            ("two families", none.clone(), &[client, ("DATABRICKS_TOKEN", "t")], FILE, "more than one authorization method configured: oauth-m2m, pat; choose one with DATABRICKS_AUTH_TYPE".to_owned()),
            ("two families, one chosen", none.clone(), &[host, account, client, secret, ("DATABRICKS_TOKEN", "t"), ("DATABRICKS_AUTH_TYPE", "oauth-m2m")], FILE, format!("{us} from-env env-client env")),
            ("unsupported", none.clone(), &[("DATABRICKS_AUTH_TYPE", "azure-cli")], FILE, "the authorization method `azure-cli` is not supported; `oauth-m2m`, `env-oidc`, `file-oidc` and `github-oidc` are".to_owned()),
        ];
        for (name, given, env, file, expected) in cases {
            assert_eq!(&outcome(resolve(given, env, Some(file))), expected, "{name}");
        }
    }

    #[test]
    fn federation() {
        let none = Given::default();
        let host = ("DATABRICKS_HOST", "accounts.cloud.databricks.com");
        let account = ("DATABRICKS_ACCOUNT_ID", "acc");
        let client = ("DATABRICKS_CLIENT_ID", "app");
        let token = ("DATABRICKS_OIDC_TOKEN", "jwt");
        let file = ("DATABRICKS_OIDC_TOKEN_FILEPATH", "/run/token");
        let url = ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://github.example/token?x=1");
        let bearer = ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "b");
        let kind = |kind: &'static str| ("DATABRICKS_AUTH_TYPE", kind);
        let com = "https://accounts.cloud.databricks.com acc";
        let key = "[DEFAULT]\nhost = accounts.cloud.databricks.com\naccount_id = acc\n\
                   audience = them\ndatabricks_id_token_filepath = /run/of-file\n";
        #[rustfmt::skip]
        let cases: &[Case<'_>] = &[
            ("a variable", none.clone(), &[host, account, client, token], "", format!("{com} app env-oidc jwt for acc")),
            ("without a client", none.clone(), &[host, account, token], "", format!("{com} - env-oidc jwt for acc")),
            ("a named variable", none.clone(), &[host, account, ("DATABRICKS_OIDC_TOKEN_ENV", "JWT"), ("JWT", "gitlab")], "", format!("{com} - env-oidc gitlab for acc")),
            ("a file", none.clone(), &[host, account, client, file], "", format!("{com} app file-oidc /run/token for acc")),
            ("a file, by its other name", none.clone(), &[host, account, ("DATABRICKS_OIDC_TOKEN_FILE", "/run/other")], "", format!("{com} - file-oidc /run/other for acc")),
            ("keys of the config file", none.clone(), &[], key, format!("{com} - file-oidc /run/of-file for them")),
            ("GitHub", none.clone(), &[host, account, client, url, bearer], "", format!("{com} app github-oidc https://github.example/token?x=1 b for acc")),
            ("the order", none.clone(), &[host, account, url, bearer, file, token], "", format!("{com} - env-oidc jwt for acc")),
            ("one that is asked for", none.clone(), &[host, account, url, bearer, file, token, kind("file-oidc")], "", format!("{com} - file-oidc /run/token for acc")),
            ("a secret comes first", none.clone(), &[host, account, client, ("DATABRICKS_CLIENT_SECRET", "s"), token], "", format!("{com} app s")),
            ("another audience", none.clone(), &[host, account, token, ("DATABRICKS_TOKEN_AUDIENCE", "aud")], "", format!("{com} - env-oidc jwt for aud")),
            ("nothing there", none.clone(), &[host, account, client, kind("github-oidc")], "", "`github-oidc` is asked for, but ACTIONS_ID_TOKEN_REQUEST_URL (does the job have `permissions: id-token: write`?) is not set".to_owned()),
            ("a request in the clear", none.clone(), &[host, account, ("ACTIONS_ID_TOKEN_REQUEST_URL", "http://github.example/"), bearer], "", "ACTIONS_ID_TOKEN_REQUEST_URL is not an https address".to_owned()),
        ];
        for (name, given, env, file, expected) in cases {
            assert_eq!(&outcome(resolve(given, env, Some(file))), expected, "{name}");
        }
    }

    #[test]
    fn hosts() {
        let cases = [
            ("accounts.cloud.databricks.com", Some("https://accounts.cloud.databricks.com")),
            (
                "https://accounts.cloud.databricks.com:443/",
                Some("https://accounts.cloud.databricks.com"),
            ),
            (
                "https://accounts-dod.cloud.databricks.us/x?y",
                Some("https://accounts-dod.cloud.databricks.us"),
            ),
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("http://[::1]:8080", Some("http://[::1]:8080")),
            ("http://accounts.cloud.databricks.com", None),
            ("http://10.0.0.1", None),
            ("http://127.0.0.1.example.com", None),
            ("https://user:word@accounts.cloud.databricks.com", None),
            ("https://dbc-1a2b.cloud.databricks.com", None),
            ("https://accounts.azuredatabricks.net", None),
            ("https://accounts.gcp.databricks.com", None),
            ("ftp://127.0.0.1", None),
            ("https://", None),
        ];
        for (text, expected) in cases {
            let host = account_host(text).ok();
            assert_eq!(host.as_ref().map(|h| h.as_str().trim_end_matches('/')), expected, "{text}");
        }
    }

    #[test]
    fn the_secret_is_in_no_debug_text() {
        let config = resolve(&Given::default(), &[], Some(FILE)).unwrap();
        let debug = format!("{config:?}");
        assert!(
            debug.contains("default-client") && !debug.contains("fa\"") && !debug.contains("de\\"),
            "{debug}"
        );
    }
}
