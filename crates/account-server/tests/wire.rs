//! The server over a loopback connection, with a client that shows what is on the wire.

use dbxctl_account_server::{Config, Running, Settings, start};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An answer; status 0 when the connection ended without one.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }

    fn id(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_else(|| panic!("no {field}: {self:?}")).to_owned()
    }
}

struct Client {
    running: Running,
    account: String,
    token: String,
}

impl Client {
    async fn new(settings: Settings) -> Client {
        Client::with(Config { settings, ..Config::default() }).await
    }

    async fn with(config: Config) -> Client {
        let (account, id, secret) =
            (config.account.clone(), config.client_id.clone(), config.client_secret.clone());
        let running = start(config).await.expect("a free port");
        let mut client = Client { running, account, token: String::new() };
        client.token = client.log_in(&id, &secret).await.id("access_token");
        client
    }

    async fn log_in(&self, id: &str, secret: &str) -> Reply {
        use base64::Engine;
        let basic = base64::prelude::BASE64_STANDARD.encode(format!("{id}:{secret}"));
        let path = format!("/oidc/accounts/{}/v1/token", self.account);
        let head = format!(
            "Authorization: Basic {basic}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        );
        self.raw("POST", &path, &head, "grant_type=client_credentials&scope=all-apis").await
    }

    async fn raw(&self, method: &str, path: &str, head: &str, body: &str) -> Reply {
        let host = self.running.base_url().replace("http://", "");
        let host_line =
            if head.contains("Host:") { String::new() } else { format!("Host: {host}\r\n") };
        let mut stream = TcpStream::connect(&host).await.expect("the server listens");
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{host_line}Connection: close\r\nContent-Length: {}\r\n{head}\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("a written request");
        let mut bytes = Vec::new();
        // A cut connection may end in an error or in nothing.
        let _ = stream.read_to_end(&mut bytes).await;
        let text = String::from_utf8(bytes).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(0);
        Reply { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    /// A call below the account's path.
    async fn call(&self, method: &str, path: &str, body: Value) -> Reply {
        let head =
            format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", self.token);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let path = format!("/api/2.0/accounts/{}/{path}", self.account);
        self.raw(method, &path, &head, &body).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, Value::Null).await
    }

    async fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path, Value::Null).await
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        self.call("POST", path, body).await
    }

    async fn fault(&self, fault: Value) {
        let faults = json!([fault]).to_string();
        let head = "Content-Type: application/json\r\n";
        let reply = self.raw("POST", "/_control/faults", head, &faults).await;
        assert_eq!(reply.status, 204, "{reply:?}");
    }

    async fn credentials(&self, name: &str) -> String {
        let reply = self.post("credentials", credentials(name)).await;
        reply.id("credentials_id")
    }

    async fn storage(&self, name: &str) -> String {
        let body =
            json!({"storage_configuration_name": name, "root_bucket_info": {"bucket_name": "b"}});
        self.post("storage-configurations", body).await.id("storage_configuration_id")
    }

    async fn network(&self, name: &str) -> String {
        self.post("networks", network(name)).await.id("network_id")
    }

    async fn workspace(&self, name: &str, network: &str) -> Reply {
        let body = json!({
            "workspace_name": name, "aws_region": "us-east-1",
            "credentials_id": self.credentials(&format!("cred-{name}")).await,
            "storage_configuration_id": self.storage(&format!("stor-{name}")).await,
            "network_id": network,
        });
        self.post("workspaces", body).await
    }
}

fn credentials(name: &str) -> Value {
    let role = json!({"role_arn": "arn:aws:iam::111122223333:role/cross"});
    json!({"credentials_name": name, "aws_credentials": {"sts_role": role}})
}

fn network(name: &str) -> Value {
    json!({"network_name": name, "vpc_id": "vpc-1", "subnet_ids": ["subnet-1", "subnet-2"],
           "security_group_ids": ["sg-1"]})
}

#[tokio::test]
async fn requests_are_refused_in_documented_ways() {
    let client = Client::new(Settings::default()).await;
    client.credentials("taken").await;
    let missing = "MALFORMED_REQUEST: Missing required parameters: ";
    for (path, body, status, text) in [
        (
            "credentials",
            json!({"credentials_name": "only"}),
            400,
            format!("{missing}aws_credentials.sts_role.role_arn"),
        ),
        ("credentials", credentials("abc"), 400, "4 to 256 characters".into()),
        ("credentials", credentials("taken"), 409, "taken already exists in this account".into()),
        (
            "customer-managed-keys",
            json!({"aws_key_info": {"key_arn": "arn:aws:kms:us-east-1:1:key/x"}}),
            400,
            format!("{missing}use_cases"),
        ),
        (
            "storage-configurations",
            json!({"storage_configuration_name": "name"}),
            400,
            missing.into(),
        ),
        (
            "networks",
            json!({"network_name": "name", "vpc_id": "vpc-1", "subnet_ids": ["subnet-1"],
                            "security_group_ids": ["sg-1"]}),
            400,
            "at least 2 subnets".into(),
        ),
        ("vpc-endpoints", json!({"vpc_endpoint_name": "name"}), 400, missing.into()),
        (
            "workspaces",
            json!({"workspace_name": "w", "aws_region": "r"}),
            400,
            format!("{missing}credentials_id, storage_configuration_id"),
        ),
        (
            "workspaces",
            json!({"workspace_name": "w", "aws_region": "r", "credentials_id": "c",
                              "storage_configuration_id": "s"}),
            400,
            "MALFORMED_REQUEST: Invalid credentialsId: c".into(),
        ),
        (
            "workspaces",
            json!({"workspace_name": "w", "aws_region": "r", "compute_mode": "SERVERLESS",
                              "credentials_id": "c"}),
            400,
            "not allowed for SERVERLESS".into(),
        ),
        ("nonsense", json!({}), 404, "No API found".into()),
    ] {
        let reply = client.post(path, body).await;
        let message = reply.message();
        assert!(reply.status == status && message.contains(&text), "{path}: {reply:?}");
    }
    let unknown = "customer-managed-keys/0f4c3d52-0000-4000-8000-000000000000";
    assert_eq!(client.get(unknown).await.json()["error_code"], "RESOURCE_DOES_NOT_EXIST");
    let composite = client.get("customer-managed-keys/no-uuid").await;
    assert_eq!(composite.message(), "MALFORMED_REQUEST: Invalid customerManagedKeyId: no-uuid");
}

#[tokio::test]
async fn creation_status_depends_on_the_family() {
    let client = Client::new(Settings::default()).await;
    let endpoint =
        json!({"vpc_endpoint_name": "rest", "aws_vpc_endpoint_id": "vpce-1", "region": "r"});
    let access = json!({"private_access_settings_name": "name", "region": "r", "unknown": [1]});
    let key =
        json!({"use_cases": ["STORAGE"], "aws_key_info": {"key_arn": "arn:aws:kms:r:1:key/x"}});
    for (path, body, status) in [
        ("credentials", credentials("name"), 201),
        ("networks", network("name"), 201),
        ("customer-managed-keys", key, 201),
        ("vpc-endpoints", endpoint, 200),
        ("private-access-settings", access, 200),
    ] {
        assert_eq!(client.get(path).await.json(), json!([]));
        let reply = client.post(path, body).await;
        assert_eq!(reply.status, status, "{path}: {reply:?}");
        assert_eq!(client.get(path).await.json().as_array().map(Vec::len), Some(1), "{path}");
    }
}

#[tokio::test]
async fn login_is_needed() {
    let client = Client::new(Settings::default()).await;
    let wrong = client.log_in("test-client", "wrong").await;
    assert_eq!((wrong.status, wrong.json()["error"].as_str()), (401, Some("invalid_client")));
    let path = format!("/api/2.0/accounts/{}/credentials", client.account);
    assert_eq!(client.raw("GET", &path, "", "").await.status, 401);
    let head = format!("Authorization: Bearer {}\r\n", client.token);
    assert_eq!(
        client.raw("GET", "/api/2.0/accounts/other/credentials", &head, "").await.status,
        404
    );
    let unscoped = client.raw("GET", "/nowhere", &head, "").await;
    assert_eq!(unscoped.json()["error_code"], "ENDPOINT_NOT_FOUND");
    client.fault(json!({"path": "credentials", "kind": "expire_tokens"})).await;
    assert_eq!(client.get("credentials").await.status, 401);
    let short = Settings { token_seconds: 0, ..Settings::default() };
    assert_eq!(Client::new(short).await.get("credentials").await.status, 401);
    let again = client.log_in("test-client", "test-secret").await;
    assert_eq!((again.status, again.json()["expires_in"].as_u64()), (200, Some(3600)));
    let exchange = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
                    &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt\
                    &scope=all-apis&subject_token=";
    let head = "Content-Type: application/x-www-form-urlencoded\r\n";
    let path = format!("/oidc/accounts/{}/v1/token", client.account);
    for (subject, status) in [("a.b.c", 200), ("", 401), ("a.b.c&client_id=other", 401)] {
        let form = format!("{exchange}{subject}");
        assert_eq!(client.raw("POST", &path, head, &form).await.status, status, "{subject}");
    }
}

#[tokio::test]
async fn deployment_names_need_a_prefix() {
    let client = Client::new(Settings::default()).await;
    let make = async |name: &str| {
        let body = json!({"workspace_name": format!("w-{name}"), "aws_region": "us-east-1",
                          "compute_mode": "SERVERLESS", "deployment_name": name});
        client.post("workspaces", body).await
    };
    assert!(make("abc").await.message().contains("until a deployment name prefix is defined"));
    let settings = json!({"deployment_prefix": "acme", "unique_names": false}).to_string();
    let head = "Content-Type: application/json\r\n";
    assert_eq!(client.raw("POST", "/_control/settings", head, &settings).await.status, 204);
    for (name, status, stored) in [
        ("abc", 201, "acme-abc"),
        ("EMPTY", 201, "acme"),
        ("abc", 400, ""),
        ("-abc", 400, ""),
        ("Abc", 400, ""),
    ] {
        let reply = make(name).await;
        assert_eq!(reply.status, status, "{name}: {reply:?}");
        assert_eq!(reply.json()["deployment_name"].as_str().unwrap_or_default(), stored);
    }
}

#[tokio::test]
async fn refusals_come_in_the_shape_asked_for() {
    for (shape, body) in [
        ("plain_text", "MALFORMED_REQUEST: Invalid credentialsId: x"),
        ("message_only", r#"{"message":"MALFORMED_REQUEST: Invalid credentialsId: x"}"#),
        ("coded", r#"{"error_code":"MALFORMED_REQUEST","message":"Invalid credentialsId: x"}"#),
        ("empty", ""),
    ] {
        let settings = serde_json::from_value(json!({"error_shape": shape})).expect("settings");
        let client = Client::new(settings).await;
        assert_eq!(client.get("credentials/x").await.body, body);
    }
}

#[tokio::test]
async fn lists_can_lag_and_updates_be_lost() {
    let client = Client::new(Settings::default()).await;
    client.credentials("name").await;
    client.fault(json!({"method": "GET", "path": "/credentials$", "kind": "stale_list"})).await;
    assert_eq!(client.get("credentials").await.json(), json!([]));
    assert_eq!(client.get("credentials").await.json().as_array().map(Vec::len), Some(1));

    let made = client.workspace("one", &client.network("net-1").await).await.json();
    let path = format!("workspaces/{}", made["workspace_id"]);
    client.get(&path).await;
    client.get(&path).await;
    client.fault(json!({"method": "PATCH", "path": "/workspaces/", "kind": "silent_revert"})).await;
    let patch = json!({"custom_tags": {"a": "b"}});
    let answer = client.call("PATCH", &format!("{path}?update_mask=custom_tags"), patch).await;
    assert_eq!(answer.json()["custom_tags"]["a"], "b");
    assert_eq!(client.get(&path).await.json()["custom_tags"], Value::Null);
}

#[tokio::test]
async fn a_workspace_comes_and_goes_with_its_network() {
    let settings: Settings =
        serde_json::from_value(json!({"network_lingers": {"polls": 1}})).expect("settings");
    let client = Client::new(settings).await;
    let net = client.network("net-1").await;
    let made = client.workspace("one", &net).await;
    assert_eq!((made.status, &made.json()["workspace_status"]), (201, &json!("NOT_PROVISIONED")));
    let id = made.json()["workspace_id"].as_i64().expect("a number");
    let (path, net_path) = (format!("workspaces/{id}"), format!("networks/{net}"));
    assert_eq!(client.get(&net_path).await.json()["vpc_status"], "UNATTACHED");
    for status in ["PROVISIONING", "RUNNING", "RUNNING"] {
        assert_eq!(client.get(&path).await.json()["workspace_status"], status);
    }
    let attached = client.get(&net_path).await.json();
    assert_eq!((&attached["vpc_status"], &attached["workspace_id"]), (&json!("VALID"), &json!(id)));

    let refused = client.delete(&net_path).await;
    let text =
        format!("INVALID_STATE: Unable to delete, Network is being used by active workspace {id}");
    assert_eq!((refused.status, refused.body), (409, text));

    assert_eq!(client.delete(&path).await.json()["workspace_id"], id);
    assert_eq!(client.get(&path).await.status, 200);
    assert_eq!(client.get(&path).await.status, 404);
    assert_eq!(client.delete(&net_path).await.status, 409);
    assert_eq!(client.delete(&net_path).await.json()["vpc_status"], "UNATTACHED");
    assert_eq!(client.delete(&net_path).await.status, 404);
}

#[tokio::test]
async fn updates_obey_mask_and_field() {
    let settings = serde_json::from_value(json!({"network_lingers": {"polls": 1}}));
    let client = Client::new(settings.expect("settings")).await;
    let (first, second) = (client.network("net-1").await, client.network("net-2").await);
    let made = client.workspace("one", &first).await.json();
    let path = format!("workspaces/{}", made["workspace_id"]);
    let patch =
        async |mask: &str, body: Value| client.call("PATCH", &format!("{path}{mask}"), body).await;
    assert_eq!(patch("?update_mask=network_id", json!({"network_id": second})).await.status, 409);
    client.get("workspaces").await;
    client.get("workspaces").await;
    for (mask, body, status) in [
        ("?update_mask=", json!({"network_id": second}), 400),
        ("?update_mask=workspace_name", json!({"workspace_name": "other"}), 400),
        ("?update_mask=network_id", json!({}), 400),
        ("?update_mask=network_id", json!({"network_id": "unknown"}), 400),
        ("", json!({"workspace_name": "other"}), 400),
        (
            "",
            json!({"workspace_name": "one", "account_id": null, "is_no_public_ip_enabled": true}),
            200,
        ),
        ("?update_mask=custom_tags", json!({"custom_tags": {"a": "b"}}), 200),
        ("?update_mask=custom_tags", json!({"custom_tags": {}}), 200),
        // Not in the mask, so not changed.
        ("?update_mask=custom_tags", json!({"network_id": second, "custom_tags": {}}), 200),
    ] {
        let reply = patch(mask, body).await;
        assert_eq!(reply.status, status, "{mask}: {reply:?}");
    }
    let now = client.get(&path).await.json();
    assert_eq!((&now["custom_tags"]["a"], &now["network_id"]), (&json!("b"), &json!(first)));

    let moved = patch("?update_mask=network_id", json!({"network_id": second})).await.json();
    assert_eq!(
        (&moved["network_id"], &moved["workspace_id"]),
        (&json!(second), &made["workspace_id"])
    );
    // Let go of, but not at once.
    for status in [409, 200] {
        assert_eq!(client.delete(&format!("networks/{first}")).await.status, status);
    }
    assert_eq!(client.delete(&format!("networks/{second}")).await.status, 409);
}

#[tokio::test]
async fn private_link_needs_all_its_parts() {
    let client = Client::new(Settings::default()).await;
    let register = async |name: &str, id: &str| {
        let body =
            json!({"vpc_endpoint_name": name, "aws_vpc_endpoint_id": id, "region": "us-east-1"});
        client.post("vpc-endpoints", body).await
    };
    let rest = register("one-rest", "vpce-1").await;
    assert_eq!(
        (&rest.json()["state"], &rest.json()["use_case"]),
        (&json!("pendingAcceptance"), &json!("GENERAL_ACCESS"))
    );
    let rest = rest.id("vpc_endpoint_id");
    let relay = register("one-relay", "vpce-2").await;
    assert_eq!(relay.json()["use_case"], "DATAPLANE_RELAY_ACCESS");
    let relay = relay.id("vpc_endpoint_id");
    assert_eq!(register("again", "vpce-1").await.status, 409);

    let mut wanted = network("net-1");
    for (endpoints, status) in [
        (json!({"rest_api": [rest]}), 400),
        (json!({"rest_api": [relay], "dataplane_relay": [rest]}), 400),
        (json!({"rest_api": [rest], "dataplane_relay": ["unknown"]}), 400),
        (json!({"rest_api": [rest], "dataplane_relay": [relay]}), 201),
    ] {
        wanted["vpc_endpoints"] = endpoints;
        assert_eq!(client.post("networks", wanted.clone()).await.status, status, "{wanted}");
    }
    let net = client.get("networks").await.json()[0]["network_id"].clone();
    let body = json!({"private_access_settings_name": "pas-1", "region": "us-east-1"});
    let pas = client.post("private-access-settings", body).await;
    assert_eq!(pas.json()["public_access_enabled"], false);
    let pas = pas.id("private_access_settings_id");

    let credentials = client.credentials("cred").await;
    let storage = client.storage("stor").await;
    let plain = client.network("net-2").await;
    let make = async |region: &str, network: Value| {
        let body = json!({
            "workspace_name": "one", "aws_region": region, "credentials_id": credentials,
            "storage_configuration_id": storage, "network_id": network,
            "private_access_settings_id": pas,
        });
        client.post("workspaces", body).await
    };
    for (region, network, text) in [
        ("us-east-1", Value::Null, "Missing required parameters: network_id"),
        ("us-west-2", net.clone(), "Invalid privateAccessSettingsId"),
        ("us-east-1", plain.into(), "Cannot create PrivateLink workspace"),
        ("us-east-1", net.clone(), "is not available"),
    ] {
        let reply = make(region, network).await;
        assert!(reply.status == 400 && reply.message().contains(text), "{text}: {reply:?}");
    }
    assert_eq!(client.get("vpc-endpoints").await.json()[0]["state"], "available");
    assert_eq!(make("us-east-1", net).await.status, 201);
    for path in [
        format!("vpc-endpoints/{rest}"),
        format!("private-access-settings/{pas}"),
        format!("credentials/{credentials}"),
        format!("storage-configurations/{storage}"),
    ] {
        let reply = client.delete(&path).await;
        assert!(
            reply.message().starts_with("INVALID_STATE: Unable to delete"),
            "{path}: {reply:?}"
        );
        assert_eq!(reply.status, 409);
    }
    let renamed = json!({"private_access_settings_name": "pas-2", "region": "us-east-1",
                         "public_access_enabled": true});
    let put = client.call("PUT", &format!("private-access-settings/{pas}"), renamed).await;
    assert_eq!((put.status, &put.json()["private_access_settings_name"]), (200, &json!("pas-2")));
}

#[tokio::test]
async fn faults_hit_the_request_they_name() {
    let client = Client::new(Settings::default()).await;
    // (kind, status of the faulty answer, whether the object came into being)
    for (kind, status, is_made) in [
        ("throttle", 429, false),
        ("503", 503, false),
        ("500_after", 500, true),
        ("drop_before", 0, false),
        ("drop_after", 0, true),
        ("plain_text", 400, false),
        ("empty", 409, false),
        ("html", 200, false),
        ("redirect", 302, false),
        ("role_not_ready", 400, false),
        ("slow_after", 201, true),
    ] {
        let name = format!("name-{kind}");
        client
            .fault(json!({"method": "POST", "path": "/credentials$", "nth": 2, "kind": kind, "millis": 10}))
            .await;
        let first = client.post("credentials", credentials("abc")).await;
        assert_eq!(first.status, 400, "{kind}");
        let reply = client.post("credentials", credentials(&name)).await;
        assert_eq!(reply.status, status, "{kind}: {reply:?}");
        assert_eq!(reply.head.contains("retry-after"), kind == "throttle", "{reply:?}");
        let list = client.get("credentials").await.body;
        assert_eq!(list.contains(&format!("\"{name}\"")), is_made, "{kind}: {list}");
    }
    let log = client.running.requests();
    let cut = log.iter().filter(|it| it.status == Some(0)).count();
    assert_eq!(cut, 2);
    assert!(log.iter().all(|it| !it.path.contains("_control")));
}

#[tokio::test]
async fn a_failed_workspace_can_be_repaired() {
    let client = Client::new(Settings::default()).await;
    client
        .fault(json!({"method": "POST", "path": "/workspaces$", "kind": "workspace_failed",
                      "message": "no way out", "network_error": "subnet is too small"}))
        .await;
    let net = client.network("net-1").await;
    let made = client.workspace("one", &net).await.json();
    let path = format!("workspaces/{}", made["workspace_id"]);
    client.get(&path).await;
    let failed = client.get(&path).await.json();
    assert_eq!(
        (&failed["workspace_status"], &failed["workspace_status_message"]),
        (&json!("FAILED"), &json!("no way out"))
    );
    let broken = client.get(&format!("networks/{net}")).await.json();
    assert_eq!(
        (&broken["vpc_status"], &broken["error_messages"][0]["error_message"]),
        (&json!("BROKEN"), &json!("subnet is too small"))
    );
    let storage = client.storage("other").await;
    let repair = json!({"storage_configuration_id": storage});
    let mask = format!("{path}?update_mask=storage_configuration_id");
    assert_eq!(
        client.call("PATCH", &mask, repair.clone()).await.json()["workspace_status"],
        "PROVISIONING"
    );
    client.get(&path).await;
    assert_eq!(client.get(&path).await.json()["workspace_status"], "RUNNING");
    assert_eq!(client.call("PATCH", &mask, repair).await.status, 400);
}

/// A stand-in for moto: says what it was asked, answers one service name, knows one role.
async fn aws() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = vec![0; 4096];
            let n = stream.read(&mut bytes).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&bytes[..n]).into_owned();
            let is_known = (request.contains("VpcEndpointId.1=vpce-known")
                && request.contains("/us-east-1/ec2/aws4_request"))
                || request.contains("RoleName=known");
            let answer = if is_known {
                "HTTP/1.0 200 OK\r\n\r\n<item><ownerId>999</ownerId>\
                 <serviceName>com.amazonaws.vpce.us-east-1.vpce-svc-1</serviceName></item>"
            } else {
                "HTTP/1.0 400 Bad Request\r\n\r\n<Error/>"
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    base
}

#[tokio::test]
async fn aws_decides_what_exists() {
    let mut config = Config { aws: Some(aws().await), ..Config::default() };
    let services = json!({"com.amazonaws.vpce.us-east-1.vpce-svc-1": "DATAPLANE_RELAY_ACCESS"});
    config.settings.services = serde_json::from_value(services).expect("services");
    let client = Client::with(config).await;
    let body = |id: &str| json!({"vpc_endpoint_name": "name", "aws_vpc_endpoint_id": id, "region": "us-east-1"});
    let made = client.post("vpc-endpoints", body("vpce-known")).await.json();
    assert_eq!(made["use_case"], "DATAPLANE_RELAY_ACCESS");
    assert_eq!(
        (&made["aws_endpoint_service_id"], &made["aws_account_id"]),
        (&json!("vpce-svc-1"), &json!("999"))
    );
    let unknown = client.post("vpc-endpoints", body("vpce-unknown")).await;
    assert_eq!(unknown.message(), "MALFORMED_REQUEST: Invalid awsVpcEndpointId: vpce-unknown");
    for (role, status) in [("known", 201), ("missing", 400)] {
        let role = json!({"role_arn": format!("arn:aws:iam::1:role/path/{role}")});
        let body = json!({"credentials_name": "name", "aws_credentials": {"sts_role": role}});
        assert_eq!(client.post("credentials", body.clone()).await.status, status, "{body}");
        // Both rounds use the same name.
        let made = client.get("credentials").await.json()[0]["credentials_id"].clone();
        if let Some(id) = made.as_str() {
            client.delete(&format!("credentials/{id}")).await;
        }
    }
}

#[tokio::test]
async fn a_zone_gives_workspaces_host_names() {
    let config = Config { zone: Some("test.example".into()), ..Config::default() };
    let client = Client::with(config).await;
    let net = client.network("net-1").await;
    let made = client.workspace("one", &net).await.json();
    let deployment = made["deployment_name"].as_str().expect("a name");
    let host = format!("Host: {deployment}.test.example\r\n");
    let me = "/api/2.0/preview/scim/v2/Me";
    assert_eq!(client.raw("GET", me, &host, "").await.status, 404);
    client.get("workspaces").await;
    client.get("workspaces").await;
    assert_eq!(client.raw("GET", me, &host, "").await.status, 200);
    let config = "/.well-known/databricks-config";
    for (host, kind) in
        [(host.as_str(), "WORKSPACE_HOST"), ("Host: accounts.test.example\r\n", "ACCOUNT_HOST")]
    {
        assert_eq!(client.raw("GET", config, host, "").await.json()["host_type"], kind);
    }
}
