use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region};
use cloud::{Class, Error, Meter, Result};
use serde::{Deserialize, Serialize};

use crate::error::Named;
use crate::meter::Counted;

/// One AWS account and region, and the clients for them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Aws {
    pub ec2: aws_sdk_ec2::Client,
    pub iam: aws_sdk_iam::Client,
    pub s3: aws_sdk_s3::Client,
    pub sts: aws_sdk_sts::Client,
    pub region: String,
}

/// Whom AWS takes us for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Twelve digits.
    pub account: String,
    pub arn: String,
}

impl Aws {
    /// Clients with the credentials of the SDK's default chain, whose requests `meter` counts. Makes
    /// no call to AWS itself.
    ///
    /// # Errors
    /// When an endpoint from the environment or the profile would send credentials unencrypted
    /// over a network.
    pub async fn connect(region: &str, meter: Arc<dyn Meter>) -> Result<Self> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(60))
            .operation_timeout(Duration::from_secs(90))
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Ok(name) = AppName::new("dbxctl") {
            loader = loader.app_name(name);
        }
        let config = loader.load().await;

        let variables = ["", "_EC2", "_IAM", "_S3", "_STS"].map(|s| format!("AWS_ENDPOINT_URL{s}"));
        #[expect(
            clippy::disallowed_methods,
            reason = "the SDK reads these; what it will use is checked"
        )]
        let mut endpoints: Vec<String> =
            variables.iter().filter_map(|name| std::env::var(name).ok()).collect();
        endpoints.extend(config.endpoint_url().map(str::to_owned));
        endpoints.retain(|url| !url.is_empty());
        endpoints.iter().try_for_each(|url| encrypted_or_loopback(url))?;

        // Bucket names as host names need a wildcard DNS record, which only AWS itself has.
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(!endpoints.is_empty());
        let counted = Counted(meter);
        let ec2 = aws_sdk_ec2::config::Builder::from(&config).interceptor(counted.clone());
        let iam = aws_sdk_iam::config::Builder::from(&config).interceptor(counted.clone());
        let sts = aws_sdk_sts::config::Builder::from(&config).interceptor(counted.clone());
        Ok(Aws {
            ec2: aws_sdk_ec2::Client::from_conf(ec2.build()),
            iam: aws_sdk_iam::Client::from_conf(iam.build()),
            s3: aws_sdk_s3::Client::from_conf(s3.interceptor(counted).build()),
            sts: aws_sdk_sts::Client::from_conf(sts.build()),
            region: region.to_owned(),
        })
    }

    /// Asks AWS who we are: one call, which needs no permission.
    pub async fn identity(&self) -> Result<Identity> {
        let answer = self.sts.get_caller_identity().send().await.named("sts:GetCallerIdentity")?;
        Ok(Identity {
            account: answer.account.unwrap_or_default(),
            arn: answer.arn.unwrap_or_default(),
        })
    }
}

fn encrypted_or_loopback(url: &str) -> Result<()> {
    let refused = |why: &str| {
        let message = format!("the AWS endpoint `{url}` {why}");
        Err(Error::new(Class::Invalid, "aws:connect", message))
    };
    let Some((scheme, rest)) = url.split_once("://") else {
        return refused("is not a URL");
    };
    if scheme.eq_ignore_ascii_case("https") {
        return Ok(());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host_and_port.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host_and_port.split(':').next().unwrap_or_default(),
    };
    let loopback = host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if scheme.eq_ignore_ascii_case("http") && loopback {
        Ok(())
    } else {
        refused("is not encrypted: only https, or http to this machine itself, is accepted")
    }
}

#[cfg(test)]
mod tests {
    use super::encrypted_or_loopback;

    #[test]
    fn only_loopback_may_do_without_encryption() {
        let cases = [
            ("https://ec2.example.com", true),
            ("http://127.0.0.1:5000", true),
            ("http://localhost:5000/", true),
            ("http://[::1]:5000", true),
            ("http://10.0.0.1:5000", false),
            ("http://localhost.example.com", false),
            ("http://127.0.0.1@example.com", false),
            ("http://127.0.0.1.example.com/", false),
            ("ftp://localhost", false),
            ("localhost:5000", false),
        ];
        for (url, accepted) in cases {
            assert_eq!(encrypted_or_loopback(url).is_ok(), accepted, "{url}");
        }
    }
}
