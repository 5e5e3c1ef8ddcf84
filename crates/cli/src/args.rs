//! The command line. The doc comments are the help text.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use reconcile::{Interval, Policy};

/// Databricks workspaces on AWS from one spec: plan, apply, destroy.
#[derive(Debug, Parser)]
#[command(name = "dbxctl", version, propagate_version = true, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done, or nothing to do
  1    error
  2    there are changes (plan --detailed-exitcode), or there is drift (plan --drift-only)
  3    the spec or a check refused it, nothing was touched
  4    the state is locked by another run
  5    the saved plan is stale
  6    apply stopped half-way, safe to run again
  130  interrupted (143: terminated), the state is saved";

#[derive(Debug, ClapArgs)]
pub(crate) struct Global {
    /// Which cloud to work on
    #[arg(long, global = true, value_enum, default_value_t = CloudChoice::Live, env = "DBXCTL_CLOUD")]
    pub(crate) cloud: CloudChoice,
    /// Where the state is kept, unless the spec says `state` [default: `.dbxctl` beside the first spec]
    #[arg(long, global = true, value_name = "FOLDER", env = "DBXCTL_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CloudChoice {
    /// AWS and the Databricks account, with the credentials of the environment
    Live,
    /// An embedded simulation: no credentials, no network
    Sandbox,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a commented spec to start from
    Init {
        /// What it describes
        #[arg(value_enum, default_value_t = Template::SharedVpc)]
        template: Template,
        /// The file to write; an existing one is never overwritten
        #[arg(long, short, default_value = "dbxctl.yaml")]
        out: PathBuf,
    },
    /// Check the spec by itself: syntax, schema, meaning. No network
    Validate {
        #[command(flatten)]
        specs: Specs,
        /// Print the spec with all defaults filled in
        #[arg(long)]
        effective: bool,
    },
    /// Find out from the spec alone what would not work once it is built. No network
    Check {
        #[command(flatten)]
        specs: Specs,
        #[arg(long, value_enum, default_value_t = CheckFormat::Human)]
        format: CheckFormat,
        /// Print every decision on the way: `all` of them, those of one workspace or to one destination
        /// (`wk1`, `wk1:D6`, `:relay`)
        #[arg(long, value_name = "WORKSPACE[:CLASS]")]
        details: Option<String>,
        /// Show also what is only worth knowing
        #[arg(long)]
        info: bool,
        /// Print all rules as Markdown, and check nothing
        #[arg(long, conflicts_with_all = ["details", "info", "format", "files"])]
        rules: bool,
    },
    /// Draw the topology: networks, workspaces, and the ways their packets take
    Graph {
        #[command(flatten)]
        specs: Specs,
        #[arg(long, value_enum, default_value_t = GraphFormat::Mermaid)]
        format: GraphFormat,
        /// The file to write [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Show also what a plan would add, change, replace and remove
        #[arg(long)]
        changes: bool,
        /// Compare with what was last seen instead of reading the clouds
        #[arg(long, requires = "changes")]
        offline: bool,
    },
    /// Show what would be created, changed and deleted
    Plan {
        #[command(flatten)]
        specs: Specs,
        /// Save the plan, for `dbxctl apply FILE`
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[arg(long, value_enum, default_value_t = PlanFormat::Human)]
        format: PlanFormat,
        #[command(flatten)]
        length: Length,
        /// Plan to delete everything this stack has made, as `dbxctl destroy` would
        #[arg(long)]
        destroy: bool,
        /// Exit with 2 when there are changes
        #[arg(long)]
        detailed_exitcode: bool,
        /// Compare with what was last seen instead of reading the clouds
        #[arg(long)]
        offline: bool,
        /// Show only what was changed outside dbxctl since the last apply, whatever the spec says
        /// now; exit with 2 when there is any
        #[arg(long, conflicts_with_all = ["out", "offline", "destroy"])]
        drift_only: bool,
    },
    /// Make the clouds agree with the spec, or carry out a saved plan
    Apply {
        #[command(flatten)]
        specs: Specs,
        /// Do not ask. What loses data takes words in the spec (`allow_deletion`) all the same
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        events: EventsOption,
    },
    /// Delete everything this stack has made
    Destroy {
        #[command(flatten)]
        specs: Specs,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        events: EventsOption,
    },
    /// List what was done: when, by whom, with which plan, and what came of it
    History {
        #[command(flatten)]
        specs: Specs,
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
        /// Show how long steps took instead
        #[arg(long)]
        durations: bool,
    },
    /// Write a spec for running workspaces and own them from now on; nothing but marks is changed
    Adopt {
        /// Its name or number; may be repeated
        #[arg(long = "workspace", value_name = "NAME|ID", required = true)]
        workspaces: Vec<String>,
        /// The name of the stack [default: from the marks of its objects, else from the workspace]
        #[arg(long)]
        name: Option<String>,
        /// The spec to write; an existing one is never overwritten
        #[arg(long, short, default_value = "dbxctl.yaml")]
        out: PathBuf,
        #[command(flatten)]
        given: Accounts,
        /// Own also what other workspaces stand on, or another stack has marked
        #[arg(long)]
        own_shared: bool,
        /// An object that is only to be used; may be repeated
        #[arg(long = "use", value_name = "ID")]
        leave: Vec<String>,
        /// Write and own what can be said although other things cannot
        #[arg(long)]
        partial: bool,
        /// Print the spec and touch nothing
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Tell what stands behind an object, a field of the spec or a rule. No network
    Explain {
        /// Such as `aws.vpc/main`, `vpcs.main.nat`, `workspaces.*.subnets` or `DBX-RTE-008`
        #[arg(value_name = "ADDRESS|FIELD|RULE")]
        what: String,
        #[command(flatten)]
        specs: SpecOption,
    },
    /// Print a saved plan, or the outputs of a stack
    Show {
        /// A plan saved with `plan --out`
        plan: Option<PathBuf>,
        /// How to print the plan [default: human]
        #[arg(long, value_enum, requires = "plan")]
        format: Option<ShowFormat>,
        #[command(flatten)]
        length: Length,
        #[command(flatten)]
        specs: SpecOption,
    },
    /// Look at the state, put it right, move it, or free its lock
    State {
        #[command(subcommand)]
        command: StateCommand,
    },
    /// Keep every stack of a folder in step, on change and at an interval, until it is stopped
    ///
    /// A spec in the folder is a stack, and so is a sub-folder with a `dbxctl.yaml`; `reconcile.yaml`
    /// says more. Stopped by a signal it begins nothing new, saves what is under way, and exits with 0.
    Reconcile(Reconcile),
    /// Print a JSON Schema
    Schema {
        #[arg(value_enum)]
        of: SchemaOf,
    },
    /// Show which AWS and Databricks identity would be used, and from where
    Whoami {
        #[command(flatten)]
        specs: Specs,
    },
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
    /// Print the manual page of dbxctl, or write those of all commands
    Man {
        /// The folder to write to
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// List all resources
    List {
        #[command(flatten)]
        specs: Specs,
    },
    /// Print one resource as JSON
    Show {
        /// Such as `aws.vpc/main`
        address: String,
        #[command(flatten)]
        specs: SpecOption,
    },
    /// Print the whole state as JSON
    Pull {
        #[command(flatten)]
        specs: Specs,
    },
    /// Put a state that `pull` has printed in the place of the present one
    Push {
        /// The state
        file: PathBuf,
        /// Also if it has another past than the present state, or is behind it
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        specs: SpecOption,
    },
    /// Give a resource another address; its object stays as it is
    Mv {
        /// Such as `aws.vpc/main`
        from: String,
        to: String,
        #[command(flatten)]
        specs: SpecOption,
    },
    /// Forget resources; their objects stay, and nobody manages them any more
    Forget {
        /// Such as `aws.vpc/main`
        #[arg(required = true, value_name = "ADDRESS")]
        addresses: Vec<String>,
        #[command(flatten)]
        specs: SpecOption,
    },
    /// Restore what a lost state knew, from the marks and names of what exists
    Rebuild {
        #[command(flatten)]
        specs: Specs,
    },
    /// Say who holds the lock, if anybody does. A dead run's lock is gone by itself, at once for a
    /// file, when its lease ends for a shared state
    Unlock {
        /// Take a shared state's lock away from this run, which must not be running any more
        #[arg(long, value_name = "ID")]
        owner: Option<String>,
        #[command(flatten)]
        specs: Specs,
    },
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Reconcile {
    /// The folder with the specs
    pub(crate) folder: PathBuf,
    /// Pull it with git (`--ff-only`) before each look at it
    #[arg(long)]
    pub(crate) git: bool,
    /// Give each stack one turn and exit: with 0 when all are in step, 2 when changes are left, 4 when
    /// one was locked, 1 when one failed, 6 when an apply stopped half-way
    #[arg(long)]
    pub(crate) once: bool,
    /// What is done about differences, unless `reconcile.yaml` says it
    #[arg(long, value_enum, default_value_t = PolicyChoice::Report)]
    pub(crate) policy: PolicyChoice,
    /// How long a stack is left alone after a turn, give or take a tenth, unless `reconcile.yaml` says it
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub(crate) interval: Interval,
    /// How often to look whether the files have changed [default: 5s, with `--git` 1m]
    #[arg(long, value_name = "TIME")]
    pub(crate) poll: Option<Interval>,
    /// Stacks side by side; all share the limits of each service
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) parallel: u16,
    /// Where `/healthz`, `/readyz` and `/metrics` are answered, or `none`; not with `--once`
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464", value_parser = listen)]
    pub(crate) listen: Listen,
    /// How to write the log to stderr [default: text on a terminal, else json]
    #[arg(long, value_enum)]
    pub(crate) log_format: Option<LogFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listen {
    Nowhere,
    At(SocketAddr),
}

fn listen(text: &str) -> Result<Listen, String> {
    match text {
        "none" => Ok(Listen::Nowhere),
        _ => {
            let wrong = |_| "it is neither an address such as `127.0.0.1:9464` nor `none`";
            Ok(Listen::At(text.parse().map_err(wrong)?))
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyChoice {
    /// Nothing: they are counted and logged
    Report,
    /// Plans that only add and change in place, and that nobody notices, are carried out
    Safe,
    /// Every plan is carried out; what needs words in the spec needs them here too
    All,
}

impl From<PolicyChoice> for Policy {
    fn from(choice: PolicyChoice) -> Self {
        match choice {
            PolicyChoice::Report => Policy::Report,
            PolicyChoice::Safe => Policy::Safe,
            PolicyChoice::All => Policy::All,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One object a line
    Json,
    Text,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Accounts {
    /// The AWS region [default: that of the workspaces]
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// The AWS account [default: that of the sign-in]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) aws_account: Option<String>,
    /// The Databricks account [default: that of the sign-in]
    #[arg(long, value_name = "UUID")]
    pub(crate) databricks_account: Option<String>,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Specs {
    /// Spec files; several are merged in order [default: dbxctl.yaml, .yml or .json here]
    #[arg(value_name = "SPEC")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct SpecOption {
    /// Spec file; may be repeated, several are merged in order
    #[arg(long = "spec", value_name = "SPEC")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct EventsOption {
    /// Write what happens to this file, a line of JSON an event; `-` is stdout, which then has nothing else
    #[arg(long = "events", value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Human,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    Human,
    Json,
    /// One comment for the reviewers of a pull request
    Markdown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShowFormat {
    Human,
    Json,
    /// One comment for the reviewers of a pull request
    Markdown,
    /// As `terraform show -json` prints a plan, for policy tools; reads the state
    TerraformJson,
}

fn characters() -> clap::builder::RangedU64ValueParser<usize> {
    clap::builder::RangedU64ValueParser::new().range(2_000..)
}

/// How long a comment may be.
#[derive(Debug, Clone, Copy, ClapArgs)]
pub(crate) struct Length {
    /// The most characters of a Markdown comment; what does not fit is told shorter or left out
    #[arg(long, value_name = "N", default_value_t = 65_000, value_parser = characters())]
    pub(crate) max_chars: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    Human,
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// A flowchart for Markdown
    Mermaid,
    /// A picture
    Svg,
    /// One page, without outside requests, in which one can look at each workspace
    Html,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    Spec,
    Plan,
    State,
    Check,
    /// One line of `apply --events`
    Events,
    History,
    /// `reconcile.yaml`
    Reconcile,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Template {
    /// One workspace in a network that Databricks manages
    Simple,
    /// Two workspaces in one VPC
    SharedVpc,
    /// One workspace that only private endpoints reach
    Privatelink,
}
