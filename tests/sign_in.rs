//! Signing in to both clouds with nothing but a token of the platform.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::{Value, json};

use crate::clouds::{ACCOUNT, AWS_ACCOUNT, Clouds, Moto};

const ISSUER: &str = "https://token.actions.githubusercontent.com";
const SUBJECT: &str = "repo:acme/platform:environment:production";

/// A token as platforms issue them. Nobody here looks at its signature.
#[expect(clippy::disallowed_methods, reason = "tokens end by the clock on the wall")]
fn token(subject: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(&json!({ "alg": "RS256", "typ": "JWT" }));
    let claims = json!({ "iss": ISSUER, "sub": subject, "aud": ACCOUNT, "exp": now + 600 });
    format!("{head}.{}.{}", part(&claims), BASE64_URL_SAFE_NO_PAD.encode("signature"))
}

#[test]
fn a_pipeline_has_no_secret() {
    let mut clouds = Clouds::start(Moto::Patched);
    clouds.set_account(&json!({
        "federation": [{ "issuer": ISSUER, "audience": ACCOUNT, "subject": SUBJECT }]
    }));
    let file = clouds.folder().join("token");
    let path = file.to_str().expect("a plain name").to_owned();
    for secret in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "DATABRICKS_CLIENT_ID",
        "DATABRICKS_CLIENT_SECRET",
    ] {
        clouds.set(secret, "");
    }
    clouds.set("AWS_ROLE_ARN", &format!("arn:aws:iam::{AWS_ACCOUNT}:role/deployer"));
    clouds.set("AWS_WEB_IDENTITY_TOKEN_FILE", &path);
    clouds.set("DATABRICKS_OIDC_TOKEN_FILEPATH", &path);
    let spec = clouds.folder().join("spec.json");
    let text = json!({
        "apiVersion": "dbxctl/v1",
        "name": "keyless",
        "region": "us-east-1",
        "aws": { "account": AWS_ACCOUNT },
        "databricks": { "account": ACCOUNT },
        "workspaces": { "wk1": {} },
    });
    fs::write(&spec, text.to_string()).expect("the folder is ours");
    let spec = spec.to_str().expect("a plain name");

    fs::write(&file, token(SUBJECT)).expect("the folder is ours");
    let who = clouds.dbxctl(&["whoami", spec]).expect(0).stdout;
    assert!(who.contains("assumed-role/deployer/") && who.contains("by file-oidc"), "{who}");
    clouds.dbxctl(&["apply", spec, "--yes"]).expect(0);
    clouds.dbxctl(&["plan", spec, "--detailed-exitcode"]).expect(0);

    let other = token("repo:somebody/else:ref:refs/heads/main");
    fs::write(&file, &other).expect("the folder is ours");
    let refused = clouds.dbxctl(&["plan", spec]).expect(1);
    let said = refused.stdout + &refused.stderr;
    assert!(said.contains("a federation policy must fit"), "{said}");
    assert!(!said.contains(&other), "the token is nobody's business");
}
