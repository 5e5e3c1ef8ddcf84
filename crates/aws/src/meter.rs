//! Every attempt of every call is counted here.
//!
//! Calls the SDK makes to get credentials are its own and pass by.

use std::fmt;
use std::sync::Arc;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use cloud::{Class, Meter};

/// Hands what is sent to a meter.
#[derive(Clone)]
pub(crate) struct Counted(pub(crate) Arc<dyn Meter>);

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}

#[dyn_dispatch_hint]
impl Intercept for Counted {
    fn name(&self) -> &'static str {
        "Counted"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some((service, operation)) = names(cfg) {
            self.0.sent(&service, operation);
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let (Some((service, operation)), Some(Err(_))) = (names(cfg), context.output_or_error())
        {
            self.0.failed(&service, operation, context.response().map_or(Class::Transient, class));
        }
        Ok(())
    }
}

/// `ec2` and `DescribeVpcs`.
fn names(cfg: &ConfigBag) -> Option<(String, &str)> {
    let metadata = cfg.load::<Metadata>()?;
    Some((metadata.service().to_ascii_lowercase(), metadata.name()))
}

/// What an answer that is an error means. Here it has not been read yet; all of these services say
/// the code in the same element.
fn class(response: &HttpResponse) -> Class {
    let body = String::from_utf8_lossy(response.body().bytes().unwrap_or_default());
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    crate::classify(code.map_or("", |(code, _)| code), response.status().as_u16(), "")
}
