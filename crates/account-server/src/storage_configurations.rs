use axum::http::StatusCode;
use serde::Serialize;

use crate::account::{Call, Object, new_id, now};
use crate::answer::{Answer, Refusal};

/// From the text of a reported refusal.
const LIMIT: usize = 50;

#[derive(Serialize)]
pub(crate) struct StorageConfiguration {
    storage_configuration_id: String,
    account_id: String,
    storage_configuration_name: String,
    creation_time: u64,
    root_bucket_info: RootBucket,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_arn: Option<String>,
}

#[derive(Serialize)]
struct RootBucket {
    bucket_name: String,
}

impl Object for StorageConfiguration {
    const WHAT: &'static str = "Storage configuration";
    const ID: &'static str = "storage_configuration_id";

    fn id(&self) -> &str {
        &self.storage_configuration_id
    }
}

/// The bucket is not looked at: the real server does that when a workspace is created.
pub(crate) fn create(call: &mut Call<'_>) -> Answer {
    let fields = call.fields();
    fields.require(&["storage_configuration_name", "root_bucket_info.bucket_name"])?;
    let name = fields.name("storage_configuration_name", 4..=256)?;
    let bucket_name = fields.required_text("root_bucket_info.bucket_name")?;
    let role_arn = fields.text("role_arn")?;
    let shelf = &mut call.account.storage_configurations;
    if call.settings.unique_names && shelf.iter().any(|it| it.storage_configuration_name == name) {
        // Unconfirmed text and status.
        return Err(Refusal::exists(
            format!("Storage configuration name {name} already exists in this account."),
            call.settings.duplicates_are_400,
        ));
    }
    if shelf.len() >= LIMIT {
        return Err(Refusal::state(format!(
            "Storage configuration limit exceeded, only {LIMIT} storage configurations are allowed"
        )));
    }
    let storage = StorageConfiguration {
        storage_configuration_id: new_id(),
        account_id: call.account_id.to_owned(),
        storage_configuration_name: name,
        creation_time: now(),
        root_bucket_info: RootBucket { bucket_name },
        role_arn,
    };
    shelf.create(storage, StatusCode::CREATED)
}

pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    call.account.storage_configurations.get(call.id)?;
    let uses = call.account.user(|it| it.refs.storage_configuration_id.as_deref() == Some(call.id));
    if let Some(user) = uses {
        // Unconfirmed text.
        return Err(Refusal::in_use(format!(
            "Unable to delete, Storage configuration is being used by active workspace {user}"
        )));
    }
    call.account.storage_configurations.delete(call.id)
}
