//! What a block says besides where it is: how bad it is and what users would see.

use crate::finding::Severity;
use crate::rules;

/// That of the rule, but for two: ports kept for future use hurt nobody yet, and logs that leave the
/// region do where there is no way out.
pub(super) fn severity(rule: &str, class: &str) -> Severity {
    match (rule, class) {
        (_, "D4") | ("DBX-EPT-030", _) => Severity::Warning,
        _ => rules::all()
            .find(|known| known.id == rule)
            .map_or(Severity::Error, |known| known.severity),
    }
}

/// The article's first incident.
const TUNNEL: &str = "NPIP tunnel setup failure during launch. Please try again later and contact \
    Databricks if the problem persists. Instance bootstrap failed command: WaitForNgrokTunnel ... \
    Timed out waiting for ngrok tunnel to be up";
/// The article's second incident.
const DAEMON: &str = "Failed to set up the Spark container due to an error when registering the \
    container to security daemon";
const PRIVATE_LINK: &str = "login.html?error=private-link-validation-error in the browser, 403 \
    PRIVATE_LINK_VALIDATION_ERROR from the API";

/// What users would see, in the words of Databricks or AWS where the reference quotes them.
pub(super) fn symptom(rule: &str, class: &str) -> Option<&'static str> {
    Some(match (rule, class) {
        ("DBX-NET-001" | "DBX-NET-002", _) => {
            "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC \
             attributes set to true"
        }
        ("DBX-NET-016" | "DBX-NET-017", _) => {
            "flow logs show REJECT with source port 443 and a destination port in 1024-65535"
        }
        ("DBX-EPT-001", _) => TUNNEL,
        ("DBX-EPT-002", _) => DAEMON,
        ("DBX-DNS-001", _) => "BOOTSTRAP_TIMEOUT",
        ("DBX-DNS-002", _) => {
            "KCUC4: Unauthorized network access to workspace, on classic compute only"
        }
        ("DBX-DNS-003" | "DBX-EPT-010", "D6") => {
            "connection refused on 2443 and 6666 to the tunnel name"
        }
        ("DBX-DNS-004" | "DBX-PLK-004" | "DBX-PLK-005", _) => PRIVATE_LINK,
        ("DBX-REQ-001", _) => return None,
        (_, "D1") => "CONTROL_PLANE_CONNECTION_FAILURE, NETWORK_CHECK_CONTROL_PLANE_FAILURE",
        (_, "D2") => {
            "CONTROL_PLANE_REQUEST_FAILURE_DUE_TO_MISCONFIG, MTLS_PORT_CONNECTIVITY_FAILURE"
        }
        (_, "D3") => "MTLS_PORT_CONNECTIVITY_FAILURE; lineage and logging of Unity Catalog fail",
        (_, "D4") => "nothing yet: these ports are kept for future use",
        (_, "D5" | "D6") => "NPIP_TUNNEL_SETUP_FAILURE, BOOTSTRAP_TIMEOUT",
        (_, "D7") => "DBFS_COMPONENT_UNHEALTHY, NETWORK_CHECK_STORAGE_FAILURE_DUE_TO_MISCONFIG",
        (_, "D8") => "SPARK_IMAGE_DOWNLOAD_FAILURE, STORAGE_DOWNLOAD_FAILURE_DUE_TO_MISCONFIG",
        (_, "D9") => "cluster logs are lost",
        (_, "D10") => "queries on system tables fail",
        (_, "D11") => "reads of the sample datasets fail",
        (_, "D12") => "reads and writes of the bucket fail",
        (_, "D13") => "STS_CLIENT_SETUP_FAILURE, SECURITY_DAEMON_REGISTRATION_EXCEPTION",
        (_, "D14") => "jobs that call STS under its global name fail",
        (_, "D15") => "internal logs are lost",
        (_, "D16") => {
            "HIVEMETASTORE_CONNECTIVITY_FAILURE, METASTORE_COMPONENT_UNHEALTHY: clusters, SQL \
             warehouses and catalog pages freeze until time-out"
        }
        (_, "D17") => "HIVEMETASTORE_CONNECTIVITY_FAILURE",
        (_, "D18") => "NETWORK_CHECK_DNS_SERVER_FAILURE, DNS_RESOLUTION_ERROR",
        (_, "D19") => "executors cannot join; the network configuration reports securityGroup",
        (_, "D20") => "downloads time out",
        (_, "D21" | "D22" | "D23") => "connections time out",
        _ => return None,
    })
}
