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
    let clients = setup::clients(&target, std::sync::Arc::new(())).await?;
    let identity = clients.aws.identity().await?;
    let mut text = format!(
        "AWS         {} in account {}, {}\n",
        identity.arn, identity.account, target.region
    );
    // Listing workspaces is the cheapest call that shows that the account takes us in.
    let workspaces = clients.databricks.list("workspaces").await?;
    let config = clients.databricks.config();
    text += &format!(
        "Databricks  account {} at {}, as {} by {} ({} workspaces visible)\n",
        config.account_id(),
        config.host(),
        config.client_id().unwrap_or("whom its federation policy names"),
        config.method(),
        workspaces.len(),
    );
    render::result(&text);
    Ok(Exit::Done)
}
