use axum::http::StatusCode;
use serde::Serialize;

use crate::account::{Call, Object, new_id};
use crate::answer::{Answer, Refusal};
use crate::config::{Countdown, UseCase};

/// A registration of an AWS VPC endpoint.
#[derive(Serialize)]
pub(crate) struct VpcEndpoint {
    vpc_endpoint_id: String,
    account_id: String,
    vpc_endpoint_name: String,
    aws_vpc_endpoint_id: String,
    aws_account_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    aws_endpoint_service_id: Option<String>,
    pub(crate) use_case: UseCase,
    region: String,
    /// As AWS spells it, in camel case.
    state: &'static str,
    #[serde(skip)]
    progress: Countdown,
}

impl VpcEndpoint {
    pub(crate) fn is_available(&self) -> bool {
        self.state == "available"
    }

    fn poll(&mut self) {
        self.progress.poll();
        self.settle();
    }

    fn settle(&mut self) {
        self.state = if self.progress.is_done() {
            "available"
        } else if self.progress.has_begun() {
            "pending"
        } else {
            "pendingAcceptance"
        };
    }
}

impl Object for VpcEndpoint {
    const WHAT: &'static str = "VPC endpoint";
    const ID: &'static str = "vpc_endpoint_id";

    fn id(&self) -> &str {
        &self.vpc_endpoint_id
    }
}

pub(crate) fn create(call: &mut Call<'_>) -> Answer {
    let fields = call.fields();
    fields.require(&["vpc_endpoint_name", "aws_vpc_endpoint_id", "region"])?;
    let name = fields.name("vpc_endpoint_name", 4..=256)?;
    let aws_id = fields.required_text("aws_vpc_endpoint_id")?;
    let region = fields.required_text("region")?;
    if !aws_id.starts_with("vpce-") || call.outside.is_missing {
        return Err(Refusal::invalid("aws_vpc_endpoint_id", &aws_id));
    }
    if call.account.vpc_endpoints.iter().any(|it| it.aws_vpc_endpoint_id == aws_id) {
        // An already-exists conflict is reported; its text is unconfirmed.
        return Err(Refusal::exists(
            format!("VPC endpoint {aws_id} is already registered."),
            false,
        ));
    }
    let service = call.outside.service.as_ref().or_else(|| call.settings.endpoints.get(&aws_id));
    let use_case = service
        .and_then(|service| call.settings.services.get(service))
        .copied()
        .unwrap_or_else(|| use_case_by_name(&name));
    let mut endpoint = VpcEndpoint {
        vpc_endpoint_id: new_id(),
        account_id: call.account_id.to_owned(),
        vpc_endpoint_name: name,
        aws_vpc_endpoint_id: aws_id,
        aws_account_id: call.outside.owner.clone().unwrap_or_else(|| "123456789012".into()),
        aws_endpoint_service_id: service
            .map(|it| it.rsplit('.').next().unwrap_or_default().to_owned()),
        use_case,
        region,
        state: "pendingAcceptance",
        progress: Countdown::start(call.settings.to_available),
    };
    endpoint.settle();
    call.account.vpc_endpoints.create(endpoint, StatusCode::OK)
}

pub(crate) fn list(call: &mut Call<'_>) -> Answer {
    call.account.vpc_endpoints.iter_mut().for_each(VpcEndpoint::poll);
    call.account.vpc_endpoints.list()
}

pub(crate) fn get(call: &mut Call<'_>) -> Answer {
    call.account.vpc_endpoints.get_mut(call.id)?.poll();
    call.account.vpc_endpoints.show(call.id)
}

pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    let account = &mut *call.account;
    account.vpc_endpoints.get(call.id)?;
    let listed = account.networks.iter().filter(|it| it.lists_endpoint(call.id));
    for network in listed {
        let user = account.user(|it| it.refs.network_id.as_deref() == Some(network.id()));
        if user.is_some() || call.settings.listed_endpoint_blocks {
            // Unconfirmed text.
            return Err(Refusal::in_use(format!(
                "Unable to delete, VPC endpoint is being used by network {}",
                network.id()
            )));
        }
    }
    let allowed = account.private_access_settings.iter().find(|it| it.allows_endpoint(call.id));
    if let Some(settings) = allowed.filter(|_| call.settings.listed_endpoint_blocks) {
        // Unconfirmed.
        return Err(Refusal::in_use(format!(
            "Unable to delete, VPC endpoint is being used by private access settings {}",
            settings.id()
        )));
    }
    account.vpc_endpoints.delete(call.id)
}

/// For an endpoint whose AWS service nobody told us. A rule of this server only.
fn use_case_by_name(name: &str) -> UseCase {
    let name = name.to_ascii_lowercase();
    if name.contains("scc") || name.contains("relay") {
        UseCase::DataplaneRelayAccess
    } else {
        UseCase::GeneralAccess
    }
}
