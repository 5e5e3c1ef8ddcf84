use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::error::operation::BuildError;
use cloud::{Class, Error, Result};

/// Turns what the SDK answers into what the engine understands.
pub trait Named<T> {
    /// The answer, or an error with the call's name (`ec2:CreateSubnet`), class, code and request id.
    fn named(self, call: &str) -> Result<T>;
}

impl<T, E> Named<T> for Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    fn named(self, call: &str) -> Result<T> {
        self.map_err(|error| translate(call, &error))
    }
}

impl<T> Named<T> for Result<T, BuildError> {
    fn named(self, call: &str) -> Result<T> {
        self.map_err(|e| Error::new(Class::Other, call, format!("bug: incomplete request: {e}")))
    }
}

fn translate<E>(call: &str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        SdkError::ConstructionFailure(_) => Error::new(Class::Invalid, call, words(error)),
        SdkError::TimeoutError(_) => Error::new(Class::Transient, call, "no answer in time"),
        SdkError::DispatchFailure(failure) => {
            let class = if failure.is_timeout() || failure.is_io() {
                Class::Transient
            } else if failure.is_user() {
                Class::Invalid
            } else if words(error).contains("credential") {
                // Nobody is signed in: the SDK reports that as a failure to send.
                Class::Denied
            } else {
                Class::Transient
            };
            Error::new(class, call, words(error))
        }
        _ => answered(call, error),
    }
}

/// An error from an answer, whether or not its body made sense.
fn answered<E>(call: &str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let raw = error.raw_response();
    let status = raw.map(|raw| raw.status().as_u16());
    let header = |name: &str| raw.and_then(|raw| raw.headers().get(name)).map(str::to_owned);
    let (code, message, extra) = match error.as_service_error() {
        Some(e) => (e.code(), e.message(), e.meta().extra("aws_request_id")),
        None => (None, None, None),
    };
    let message = match (message, status) {
        (Some(message), _) if !message.is_empty() => message.to_owned(),
        (_, Some(status @ 300..400)) => {
            let to = header("location").unwrap_or_default();
            // The query may carry a one-time code.
            let to = to.split(['?', '#']).next().unwrap_or_default();
            format!("HTTP {status}, redirected to `{to}`: something between here and AWS answered")
        }
        (_, Some(status @ 200..300)) => format!("HTTP {status} with something else than an answer"),
        (_, Some(status)) => format!("HTTP {status} without an explanation"),
        (_, None) => words(error),
    };
    let code = code.filter(|code| !code.is_empty());
    let class = classify(code.unwrap_or_default(), status.unwrap_or_default(), &message);
    let message = match code {
        Some("BucketNotEmpty") => {
            format!("{message}: it still holds objects or versions, which dbxctl never deletes")
        }
        _ => message,
    };
    Error {
        status,
        code: code.map(str::to_owned),
        request_id: extra
            .map(str::to_owned)
            .or_else(|| header("x-amzn-requestid"))
            .or_else(|| header("x-amz-request-id")),
        retry_after_ms: header("retry-after")
            .and_then(|seconds| seconds.trim().parse::<u64>().ok())
            .map(|seconds| seconds.saturating_mul(1000)),
        ..Error::new(class, call, message)
    }
}

/// The error and its causes in their own words, without the SDK's debug text.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text
}

/// What an AWS error means. `code` and `message` are the service's, `status` the HTTP status.
///
/// Codes: EC2, IAM and S3 API references.
pub fn classify(code: &str, status: u16, message: &str) -> Class {
    let starts = |all: &[&str]| all.iter().any(|start| code.starts_with(start));
    let ends = |all: &[&str]| all.iter().any(|end| code.ends_with(end));
    match code {
        // It never empties by itself, so waiting is no use.
        "BucketNotEmpty" => Class::Other,
        "DependencyViolation" | "DeleteConflict" => Class::InUse,
        "BucketAlreadyOwnedByYou" | "InvalidSubnet.Conflict" | "Resource.AlreadyAssociated" => {
            Class::AlreadyExists
        }
        "OperationAborted"
        | "ConditionalRequestConflict"
        | "ConcurrentModification"
        | "EntityTemporarilyUnmodifiable"
        | "IncorrectState"
        | "InvalidStateTransition"
        | "InternalError"
        | "InternalFailure"
        | "RequestTimeout"
        | "ServiceUnavailable"
        | "Unavailable" => Class::Transient,
        "AuthFailure"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "OptInRequired"
        | "PendingVerification"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "SignatureDoesNotMatch"
        | "UnauthorizedOperation"
        | "Blocked" => Class::Denied,
        "RequestLimitExceeded"
        | "SlowDown"
        | "BandwidthLimitExceeded"
        | "PriorRequestNotComplete" => Class::Throttled,
        "MalformedPolicyDocument" | "MalformedPolicy" | "InvalidParameterValue"
            if message.to_ascii_lowercase().contains("invalid principal") =>
        {
            Class::Propagating
        }
        _ if starts(&["Throttl", "RequestThrottled", "TooManyRequests"]) => Class::Throttled,
        _ if starts(&["AccessDenied", "ExpiredToken", "UnrecognizedClient"]) => Class::Denied,
        _ if starts(&["NoSuch"]) || ends(&["NotFound"]) => Class::NotFound,
        _ if starts(&["ResourceInUse"]) || ends(&[".InUse"]) => Class::InUse,
        _ if ends(&["AlreadyExists", ".Duplicate"]) => Class::AlreadyExists,
        _ if status == 429 => Class::Throttled,
        _ if status >= 500 => Class::Transient,
        _ if starts(&[
            "Invalid",
            "Malformed",
            "Missing",
            "Unknown",
            "Unsupported",
            "Validation",
        ]) =>
        {
            Class::Invalid
        }
        // HEAD answers have no body, hence no code.
        "" => match status {
            // Somebody in between answered: whether the service got the call is not known.
            200..300 => Class::Transient,
            401 | 403 => Class::Denied,
            404 => Class::NotFound,
            _ => Class::Other,
        },
        _ => Class::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        let cases = [
            ("InvalidVpcID.NotFound", 400, "", Class::NotFound),
            ("NatGatewayNotFound", 400, "", Class::NotFound),
            ("NoSuchEntity", 404, "", Class::NotFound),
            ("NoSuchBucket", 404, "", Class::NotFound),
            ("", 404, "", Class::NotFound),
            ("", 200, "", Class::Transient),
            ("DependencyViolation", 400, "", Class::InUse),
            ("DeleteConflict", 409, "", Class::InUse),
            ("InvalidIPAddress.InUse", 400, "", Class::InUse),
            ("BucketNotEmpty", 409, "", Class::Other),
            ("RequestLimitExceeded", 503, "", Class::Throttled),
            ("ThrottlingException", 400, "", Class::Throttled),
            ("SlowDown", 503, "", Class::Throttled),
            ("InternalError", 500, "", Class::Transient),
            ("", 502, "", Class::Transient),
            ("OperationAborted", 409, "", Class::Transient),
            (
                "MalformedPolicyDocument",
                400,
                "Invalid principal in policy: \"AWS\":\"x\"",
                Class::Propagating,
            ),
            ("MalformedPolicyDocument", 400, "Syntax errors in policy.", Class::Invalid),
            ("UnauthorizedOperation", 403, "", Class::Denied),
            ("AccessDenied", 403, "", Class::Denied),
            ("ExpiredTokenException", 400, "", Class::Denied),
            ("", 403, "", Class::Denied),
            ("InvalidGroup.Duplicate", 400, "", Class::AlreadyExists),
            ("EntityAlreadyExists", 409, "", Class::AlreadyExists),
            ("RouteAlreadyExists", 400, "", Class::AlreadyExists),
            ("InvalidSubnet.Conflict", 400, "", Class::AlreadyExists),
            ("BucketAlreadyOwnedByYou", 409, "", Class::AlreadyExists),
            ("InvalidParameterValue", 400, "", Class::Invalid),
            ("VpcLimitExceeded", 400, "", Class::Other),
        ];
        for (code, status, message, class) in cases {
            assert_eq!(classify(code, status, message), class, "{code} {status}");
        }
    }
}
