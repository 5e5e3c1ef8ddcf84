use axum::http::StatusCode;
use serde::Serialize;

use crate::account::{Call, Object, new_id, now};
use crate::answer::{Answer, Refusal};

#[derive(Serialize)]
pub(crate) struct CustomerManagedKey {
    customer_managed_key_id: String,
    account_id: String,
    creation_time: u64,
    pub(crate) use_cases: Vec<String>,
    aws_key_info: AwsKey,
}

#[derive(Serialize)]
struct AwsKey {
    key_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_alias: Option<String>,
    key_region: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reuse_key_for_cluster_volumes: Option<bool>,
}

impl Object for CustomerManagedKey {
    const WHAT: &'static str = "Customer managed key";
    const ID: &'static str = "customer_managed_key_id";

    fn id(&self) -> &str {
        &self.customer_managed_key_id
    }
}

/// Keys have no name; equal ones may exist side by side.
pub(crate) fn create(call: &mut Call<'_>) -> Answer {
    let fields = call.fields();
    fields.require(&["use_cases", "aws_key_info.key_arn"])?;
    let use_cases = fields.texts("use_cases")?;
    if use_cases.is_empty() {
        return Err(Refusal::missing(&["use_cases"]));
    }
    if let Some(odd) =
        use_cases.iter().find(|it| !["MANAGED_SERVICES", "STORAGE"].contains(&it.as_str()))
    {
        return Err(Refusal::invalid("use_cases", odd));
    }
    let key_arn = fields.required_text("aws_key_info.key_arn")?;
    // arn:aws:kms:<region>:<account>:key/<id>
    let region = match key_arn.split(':').collect::<Vec<_>>()[..] {
        ["arn", _, "kms", region, _, ..] => region.to_owned(),
        _ => return Err(Refusal::invalid("key_arn", &key_arn)),
    };
    let is_storage = use_cases.iter().any(|it| it == "STORAGE");
    let reuse = fields.flag("aws_key_info.reuse_key_for_cluster_volumes")?;
    if reuse.is_some() && !is_storage {
        // Documented as belonging to STORAGE; that the server refuses is unconfirmed.
        return Err(Refusal::malformed("reuse_key_for_cluster_volumes needs use case STORAGE"));
    }
    let key = CustomerManagedKey {
        customer_managed_key_id: new_id(),
        account_id: call.account_id.to_owned(),
        creation_time: now(),
        use_cases,
        aws_key_info: AwsKey {
            key_arn,
            key_alias: fields.text("aws_key_info.key_alias")?,
            key_region: region,
            reuse_key_for_cluster_volumes: is_storage.then_some(reuse.unwrap_or(true)),
        },
    };
    call.account.customer_managed_keys.create(key, StatusCode::CREATED)
}

pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    call.account.customer_managed_keys.get(call.id)?;
    let id = Some(call.id);
    let user = call.account.user(|it| {
        it.refs.managed_services_customer_managed_key_id.as_deref() == id
            || it.refs.storage_customer_managed_key_id.as_deref() == id
    });
    if let Some(user) = user {
        // Unconfirmed text.
        return Err(Refusal::in_use(format!(
            "Unable to delete, Customer managed key is being used by active workspace {user}"
        )));
    }
    call.account.customer_managed_keys.delete(call.id)
}
