use std::io::{Read, Write};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use dbxctl_account_server::{Config, Pace, Settings, start};

/// A Databricks account API server for tests, on the loopback address.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Port to listen on; 0 takes any free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// UUID of the account.
    #[arg(long)]
    account: String,
    #[arg(long)]
    client_id: String,
    #[arg(long)]
    client_secret: String,
    /// DNS zone: accounts.<ZONE> is the account host, <deployment>.<ZONE> a workspace host.
    #[arg(long)]
    zone: Option<String>,
    /// Base URL of an AWS API (moto) to look up roles and VPC endpoints in.
    #[arg(long)]
    aws: Option<String>,
    /// Reads of a new workspace until it is RUNNING; 2 unless told otherwise.
    #[arg(long, value_name = "N")]
    polls_to_running: Option<u32>,
    /// Milliseconds instead of reads.
    #[arg(long, value_name = "MS", conflicts_with = "polls_to_running")]
    millis_to_running: Option<u64>,
    /// Behaviour as JSON: any subset of the settings.
    #[arg(long, value_name = "JSON")]
    settings: Option<String>,
    /// End after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    lifetime: u64,
    /// End when standard input closes.
    #[arg(long)]
    exit_with_stdin: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut settings: Settings = match &args.settings {
        Some(json) => serde_json::from_str(json).context("--settings")?,
        None => Settings::default(),
    };
    let polls = args.polls_to_running.map(Pace::Polls);
    if let Some(pace) = args.millis_to_running.map(Pace::Millis).or(polls) {
        settings.to_running = pace;
    }
    let running = start(Config {
        port: args.port,
        account: args.account,
        client_id: args.client_id,
        client_secret: args.client_secret,
        zone: args.zone,
        aws: args.aws,
        settings,
    })
    .await
    .context("cannot listen")?;
    announce(&running.base_url())?;
    tokio::select! {
        () = lifetime(args.lifetime) => {}
        () = stdin_closed(), if args.exit_with_stdin => {}
    }
    running.stop();
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the line is this program's interface")]
fn announce(base_url: &str) -> std::io::Result<()> {
    println!("listening on {base_url}");
    std::io::stdout().flush()
}

#[expect(clippy::disallowed_methods, reason = "a forgotten server has to end")]
async fn lifetime(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Reads on a thread of its own that nobody joins: a pending read would hold up the exit.
async fn stdin_closed() {
    let (closed, is_closed) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        // An error ends the input just as well.
        let _ = std::io::stdin().read_to_end(&mut rest);
        drop(closed);
    });
    let _ = is_closed.await;
}
