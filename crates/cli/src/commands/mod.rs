//! One file a command, thin: arguments in, library calls, rendering out.

mod adopt;
mod apply;
mod check;
mod events;
mod explain;
mod graph;
mod history;
mod init;
mod man;
mod plan;
mod reconcile;
mod schema;
mod show;
mod signals;
mod state;
mod validate;
mod whoami;

pub(crate) use check::{Accepted, Checked, Warning};
pub(crate) use history::History;
pub(crate) use plan::{PlanFile, Touched};

use clap::CommandFactory;

use crate::args::{Args, Command, ShowFormat};
use crate::exit::{Exit, Result};
use crate::render;

pub(crate) async fn run(args: Args) -> Result {
    let Args { command, global } = args;
    render::configure(&global);
    match command {
        Command::Init { template, out } => init::run(template, &out),
        Command::Validate { specs, effective } => validate::run(&specs.files, effective, &global),
        Command::Check { specs, format, details, info, rules } => {
            let options = check::Options { format, details, info, rules };
            check::run(&specs.files, &options, &global)
        }
        Command::Graph { specs, format, out, changes, offline } => {
            let options = graph::Options { format, out, changes, offline };
            graph::run(&specs.files, &options, &global).await
        }
        Command::Plan {
            specs,
            out,
            format,
            length,
            destroy,
            detailed_exitcode,
            offline,
            drift_only,
        } => {
            let options = plan::Options {
                out,
                format,
                length,
                destroy,
                detailed_exitcode,
                offline,
                drift_only,
            };
            plan::run(&specs.files, &options, &global).await
        }
        Command::Apply { specs, yes, events } => {
            let options = apply::Options { yes, events: events.to };
            apply::run(&specs.files, &options, &global).await
        }
        Command::Destroy { specs, yes, events } => {
            let options = apply::Options { yes, events: events.to };
            apply::destroy(&specs.files, &options, &global).await
        }
        Command::History { specs, format, durations } => {
            history::run(&specs.files, format, durations, &global).await
        }
        Command::Adopt {
            workspaces,
            name,
            out,
            given,
            own_shared,
            leave,
            partial,
            dry_run,
            yes,
        } => {
            let wishes = adopt::wishes(name, own_shared, leave);
            let options = adopt::Options {
                workspaces,
                out,
                given: given.into(),
                wishes,
                partial,
                dry_run,
                yes,
            };
            adopt::run(options, &global).await
        }
        Command::Explain { what, specs } => explain::run(&what, &specs.files, &global).await,
        Command::Show { plan: Some(path), format, length, .. } => {
            show::plan(&path, format.unwrap_or(ShowFormat::Human), length).await
        }
        Command::Show { plan: None, specs, .. } => show::outputs(&specs.files, &global).await,
        Command::State { command } => state::run(command, &global).await,
        Command::Reconcile(options) => reconcile::run(&options, &global).await,
        Command::Schema { of } => schema::run(of),
        Command::Whoami { specs } => whoami::run(&specs.files, &global).await,
        Command::Man { out } => man::run(out.as_deref()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "dbxctl", &mut script);
            render::result(&String::from_utf8_lossy(&script));
            Ok(Exit::Done)
        }
    }
}
