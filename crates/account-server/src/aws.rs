use axum::http::StatusCode;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::answer::{Fields, Refusal};

/// What the AWS side says about the thing a request names.
#[derive(Default)]
pub(crate) struct Outside {
    /// AWS answered, and does not know it.
    pub(crate) is_missing: bool,
    /// The endpoint's service name.
    pub(crate) service: Option<String>,
    /// The endpoint's AWS account.
    pub(crate) owner: Option<String>,
}

/// Whether the role of a credentials request exists.
pub(crate) async fn role(base: &str, body: &Value) -> Result<Outside, Refusal> {
    let arn = Fields(body).text("aws_credentials.sts_role.role_arn")?.unwrap_or_default();
    let Some((_, path)) = arn.split_once(":role/") else { return Ok(Outside::default()) };
    let name = path.rsplit('/').next().unwrap_or_default();
    let form = format!("Action=GetRole&Version=2010-05-08&RoleName={}", escaped(name));
    let (status, _) = ask(base, "us-east-1", "iam", &form).await?;
    Ok(Outside { is_missing: status >= 400, ..Outside::default() })
}

/// What is behind the endpoint of a registration request.
pub(crate) async fn endpoint(base: &str, body: &Value) -> Result<Outside, Refusal> {
    let id = Fields(body).text("aws_vpc_endpoint_id")?.unwrap_or_default();
    let region = Fields(body).text("region")?.unwrap_or_default();
    let form =
        format!("Action=DescribeVpcEndpoints&Version=2016-11-15&VpcEndpointId.1={}", escaped(&id));
    let (status, xml) = ask(base, &region, "ec2", &form).await?;
    let service = element(&xml, "serviceName");
    let owner = element(&xml, "ownerId");
    Ok(Outside { is_missing: status >= 400 || service.is_none(), service, owner })
}

/// One request in AWS's query protocol, with credentials that only an emulator accepts.
async fn ask(
    base: &str,
    region: &str,
    service: &str,
    form: &str,
) -> Result<(u16, String), Refusal> {
    let down = |error: &dyn std::fmt::Display| {
        Refusal::coded(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL_ERROR",
            format!("AWS endpoint of the test set-up: {error}"),
        )
    };
    let host = base.trim_start_matches("http://").trim_end_matches('/');
    // HTTP/1.0 keeps the answer unchunked and the connection short.
    let request = format!(
        "POST / HTTP/1.0\r\nHost: {host}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=test/20250101/{region}/{service}/aws4_request, \
         SignedHeaders=host, Signature=0\r\n\r\n{form}",
        form.len()
    );
    let mut stream = TcpStream::connect(host).await.map_err(|it| down(&it))?;
    stream.write_all(request.as_bytes()).await.map_err(|it| down(&it))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map_err(|it| down(&it))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| down(&"no answer"))?;
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    Ok((status.ok_or_else(|| down(&"no status"))?, body.to_owned()))
}

/// The text of the first XML element of that name.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.to_owned())
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(b).to_string()
            }
            b => format!("%{b:02X}"),
        })
        .collect()
}
