//! `dbxctl schema`: the JSON Schemas of what we read and write.

use crate::args::SchemaOf;
use crate::commands::check::Answer;
use crate::commands::events::Line;
use crate::commands::history::History;
use crate::commands::plan::PlanFile;
use crate::exit::{Exit, Result};
use crate::render;

pub(crate) fn run(of: SchemaOf) -> Result {
    let schema = match of {
        SchemaOf::Spec => spec::schema(),
        SchemaOf::Plan => schemars::schema_for!(PlanFile).to_value(),
        SchemaOf::Check => schemars::schema_for!(Answer<'_>).to_value(),
        SchemaOf::Events => schemars::schema_for!(Line<'_>).to_value(),
        SchemaOf::History => schemars::schema_for!(History<'_>).to_value(),
        SchemaOf::Reconcile => reconcile::config_schema(),
        SchemaOf::State => schemars::schema_for!(engine::State).to_value(),
    };
    let text = serde_json::to_string_pretty(&schema).expect("a schema is plain data");
    render::result(&format!("{text}\n"));
    Ok(Exit::Done)
}
