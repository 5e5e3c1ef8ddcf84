//! `dbxctl whoami`: as whom the clouds would know us.

use std::path::PathBuf;

use crate::args::Global;
use crate::exit::{Exit, Result};
use crate::{render, setup};

pub(crate) async fn run(files: &[PathBuf], global: &Global) -> Result {
    let target = setup::load(files, global)?.target;
    if target.sandbox {
        render::result("the sandbox: no account, no credentials\n");
        return Ok(Exit::Done);
    }
    let clients = setup::clients(&target).await?;
    let identity = clients.aws.identity().await?;
    let mut text = format!(
        "AWS         {} in account {}, {}\n",
        identity.arn, identity.account, target.region
    );
    // Listing workspaces is the cheapest call that shows that the account takes us in.
    let workspaces = clients.databricks.list("workspaces").await?;
    text += &format!(
        "Databricks  account {} at {}, as {} ({} workspaces visible)\n",
        clients.databricks.config().account_id(),
        clients.databricks.config().host(),
        clients.databricks.config().client_id(),
        workspaces.len(),
    );
    render::result(&text);
    Ok(Exit::Done)
}
