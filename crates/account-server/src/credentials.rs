use axum::http::StatusCode;
use serde::Serialize;

use crate::account::{Call, Object, new_id, now};
use crate::answer::{Answer, Refusal};

#[derive(Serialize)]
pub(crate) struct Credentials {
    credentials_id: String,
    account_id: String,
    credentials_name: String,
    creation_time: u64,
    aws_credentials: AwsCredentials,
}

#[derive(Serialize)]
struct AwsCredentials {
    sts_role: StsRole,
}

#[derive(Serialize)]
struct StsRole {
    role_arn: String,
    /// Always the account's id.
    external_id: String,
}

impl Object for Credentials {
    const WHAT: &'static str = "Credential configuration";
    const ID: &'static str = "credentials_id";

    fn id(&self) -> &str {
        &self.credentials_id
    }
}

pub(crate) fn create(call: &mut Call<'_>) -> Answer {
    const ROLE: &str = "aws_credentials.sts_role.role_arn";
    let fields = call.fields();
    fields.require(&["credentials_name", ROLE])?;
    let name = fields.name("credentials_name", 4..=256)?;
    let role_arn = fields.required_text(ROLE)?;
    if !role_arn.starts_with("arn:") || !role_arn.contains(":role/") {
        return Err(validation_failed());
    }
    if call.account.credentials.iter().any(|it| it.credentials_name == name) {
        return Err(Refusal::exists(
            format!(
                "Credential configuration name {name} already exists in this account. \
                 Try again with a unique name."
            ),
            call.settings.duplicates_are_400,
        ));
    }
    // The server assumes the role during creation; it refuses one it cannot assume (yet).
    if call.outside.is_missing {
        return Err(validation_failed());
    }
    let account_id = call.account_id.to_owned();
    let credentials = Credentials {
        credentials_id: new_id(),
        credentials_name: name,
        creation_time: now(),
        aws_credentials: AwsCredentials {
            sts_role: StsRole { role_arn, external_id: account_id.clone() },
        },
        account_id,
    };
    call.account.credentials.create(credentials, StatusCode::CREATED)
}

pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    call.account.credentials.get(call.id)?;
    if let Some(user) = call.account.user(|it| it.refs.credentials_id.as_deref() == Some(call.id)) {
        // Unconfirmed text.
        return Err(Refusal::in_use(format!(
            "Unable to delete, Credentials is being used by active workspace {user}"
        )));
    }
    call.account.credentials.delete(call.id)
}

/// The text for a role that is wrong, and for one that IAM does not show everywhere yet.
pub(crate) fn validation_failed() -> Refusal {
    Refusal::malformed(
        "Failed credential validation checks: please use a valid cross account IAM role \
         with permissions setup correctly",
    )
}
