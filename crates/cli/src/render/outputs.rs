//! What a user needs after apply: where the workspaces are, and what has to resolve to what.

use engine::{Address, Group, Record, State};
use serde_json::Value;

/// Workspaces with their URL and ids, and for private ones the names that users' DNS must know.
pub(crate) fn outputs(state: &State, sandbox: bool) -> String {
    let mut text = String::new();
    for (address, record) in of_kind(state, "databricks.workspace") {
        let field = |name: &str| text_of(&record.seen, name);
        text += &format!("workspace {}\n", address.name());
        text += &format!("  url       {}\n", field("url"));
        text += &format!("  id        {}\n", record.id.as_deref().unwrap_or("-"));
        text += &format!("  status    {}\n", field("status"));
        if let Some(network) = record.props.get("network").and_then(Value::as_str) {
            text += &format!("  network   {network}\n");
        }
        if record.props.get("private_access").is_some_and(|p| !p.is_null()) {
            text += &private_dns(state, record);
        }
    }
    for (address, record) in of_kind(state, "aws.vpc_endpoint") {
        text += &format!("endpoint {}  {}\n", address.name(), record.id.as_deref().unwrap_or("-"));
    }
    if text.is_empty() {
        text = "Done. The stack has no workspaces.\n".to_owned();
    }
    if sandbox {
        text += "(sandbox: nothing of this exists outside this machine)\n";
    }
    text
}

fn of_kind<'a>(state: &'a State, kind: &'a str) -> impl Iterator<Item = (&'a Address, &'a Record)> {
    state.resources.iter().filter(move |(address, _)| address.kind() == kind)
}

/// The hand-off to whoever runs the users' DNS: host name → endpoint.
fn private_dns(state: &State, workspace: &Record) -> String {
    let url = text_of(&workspace.seen, "url");
    let host = url.trim_start_matches("https://").trim_end_matches('/');
    let Some((address, endpoint)) = front_end(state, workspace) else { return String::new() };
    let id = endpoint.id.as_deref().unwrap_or("-");
    let names = list_of(&endpoint.seen, "dns_names");
    let interfaces = list_of(&endpoint.seen, "network_interfaces");
    let mut text = format!("  DNS       {host} must resolve to {id} ({})\n", address.name());
    if let Some(name) = names.first() {
        text += &format!("            as an alias or CNAME of {name}\n");
    }
    if !interfaces.is_empty() {
        text += &format!("            or as addresses of {}\n", interfaces.join(", "));
    }
    text
}

/// The endpoint users come in by: one of its own if there is one, else that of the REST API.
fn front_end<'a>(state: &'a State, workspace: &Record) -> Option<(&'a Address, &'a Record)> {
    let network = workspace.props.get("network")?.as_str()?;
    let (_, network) =
        of_kind(state, "databricks.network").find(|(_, r)| r.id.as_deref() == Some(network))?;
    let vpc = network.props.get("vpc")?;
    let here = |role: &'static str| {
        of_kind(state, "aws.vpc_endpoint").find(move |(address, record)| {
            address.name().ends_with(role)
                && record.props.get("vpc") == Some(vpc)
                && matches!(record.group, Group::Shared(_))
        })
    };
    here(".frontend").or_else(|| here(".rest"))
}

fn text_of(seen: &Value, field: &str) -> String {
    seen.get(field).and_then(Value::as_str).unwrap_or("-").to_owned()
}

fn list_of(seen: &Value, field: &str) -> Vec<String> {
    let items = seen.get(field).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}
