//! The `dbxctl` command: parse, run, exit.

mod args;
mod commands;
mod exit;
mod http;
mod metrics;
mod render;
mod setup;

use clap::Parser;

use crate::args::Args;
use crate::exit::Exit;

fn main() -> std::process::ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are answers; anything else must not look like "there are changes".
            let exit = if error.use_stderr() { Exit::Error } else { Exit::Done };
            let _ = error.print();
            return exit.code();
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(commands::run(args));
            runtime.shutdown_background();
            result
        }
        Err(error) => {
            Err(exit::Fail::new(Exit::Error, format!("dbxctl cannot start its threads: {error}")))
        }
    };
    match result {
        Ok(exit) => exit.code(),
        Err(fail) => {
            render::fail(&fail);
            fail.exit.code()
        }
    }
}
