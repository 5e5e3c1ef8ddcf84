//! From arguments and environment to what a command works with. The only place that reads the
//! environment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use blueprint::expand;
use engine::{Cloud, Graph, Kinds, Limit, Live, Paced, Settings};
use kinds::Clients;
use sandbox::Sandbox;
use serde::{Deserialize, Serialize};
use spec::{Diagnostic, SourceFile, Spec};

use crate::args::{CloudChoice, Global};
use crate::exit::{Exit, Fail, Result};
use crate::render;

/// A loaded spec and the graph it stands for.
pub(crate) struct Loaded {
    pub(crate) spec: Spec,
    pub(crate) graph: Graph,
    pub(crate) target: Target,
}

/// Which clouds and which state a run is about. Saved with a plan, so that apply needs no spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    pub(crate) stack: String,
    pub(crate) sandbox: bool,
    pub(crate) region: String,
    pub(crate) aws_account: String,
    pub(crate) databricks_account: String,
    /// The folder of the state, relative to where the plan was made.
    pub(crate) state_dir: PathBuf,
}

impl Target {
    pub(crate) fn state_path(&self) -> PathBuf {
        self.folder().join(format!("{}.json", self.stack))
    }

    /// The sandbox has a state of its own, so that a rehearsal never touches the real one.
    fn folder(&self) -> PathBuf {
        if self.sandbox { self.state_dir.join("sandbox") } else { self.state_dir.clone() }
    }
}

pub(crate) fn kinds() -> Kinds {
    kinds::facts()
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The spec files to read: those given, or the one lying here.
pub(crate) fn spec_files(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    let names = ["dbxctl.yaml", "dbxctl.yml", "dbxctl.json"];
    match names.iter().map(PathBuf::from).find(|path| path.exists()) {
        Some(path) => Ok(vec![path]),
        None => Err(Fail::new(Exit::Refused, "there is no spec here")
            .hint("name one, or write one with `dbxctl init`")),
    }
}

/// Reads, checks and expands the spec. Warnings go to stderr, mistakes into the failure.
pub(crate) fn load(files: &[PathBuf], global: &Global) -> Result<Loaded> {
    let files = spec_files(files)?;
    let style = render::style();
    let refuse = |mistakes: &[Diagnostic], sources: &[SourceFile]| {
        Fail::rendered(Exit::Refused, spec::render(mistakes, sources, style.color, style.width))
    };
    let mut sources = Vec::new();
    for path in &files {
        let bytes = std::fs::read(path).map_err(|error| {
            Fail::new(Exit::Refused, format!("cannot read `{}`: {error}", path.display()))
        })?;
        let source = SourceFile::from_bytes(path.display().to_string(), bytes);
        sources.push(source.map_err(|mistake| refuse(&[*mistake], &[]))?);
    }
    let loaded = spec::load(&sources, &environment).map_err(|all| refuse(&all, &sources))?;
    let mut found = loaded.warnings.clone();
    found.extend(loaded.explain(blueprint::mistakes(&loaded.spec)));
    if found.iter().any(Diagnostic::is_error) {
        return Err(refuse(&found, &sources));
    }
    if !found.is_empty() {
        render::note(&spec::render(&found, &sources, style.color, style.width));
    }
    let graph = expand(&loaded.spec);
    if let Err(errors) = graph.check() {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        return Err(Fail::new(Exit::Error, format!("bug: {}", all.join("; "))));
    }
    let target = target(&loaded.spec, &files[0], global);
    Ok(Loaded { spec: loaded.spec, graph, target })
}

fn target(spec: &Spec, first: &Path, global: &Global) -> Target {
    let beside = first.parent().unwrap_or(Path::new("")).join(".dbxctl");
    Target {
        stack: spec.name.clone(),
        sandbox: global.cloud == CloudChoice::Sandbox,
        region: spec.region.clone(),
        aws_account: spec.aws.account.clone(),
        databricks_account: spec.databricks.account.clone(),
        state_dir: global.state_dir.clone().unwrap_or(beside),
    }
}

/// A cloud to work on, and how patient to be with it.
pub(crate) struct Session {
    pub(crate) cloud: Box<dyn Cloud>,
    pub(crate) settings: Settings,
}

/// Connects to the clouds of the target, as nobody else than the spec says.
pub(crate) async fn connect(target: &Target, graph: Option<&Graph>) -> Result<Session> {
    if target.sandbox {
        return open_sandbox(target, graph);
    }
    let clients = clients(target).await?;
    check_identity(target, &clients).await?;
    let live = Live { env: clients, kinds: kinds::KINDS };
    let cloud = Box::new(Paced::new(live, kinds(), limit));
    Ok(Session { cloud, settings: Settings::default() })
}

/// Calls a service may take. EC2 and IAM publish token buckets that these stay below; the account
/// API publishes nothing, and Databricks' own SDK limits itself to 15 a second.
fn limit(service: &str) -> Limit {
    let (concurrent, per_second) = match service {
        "databricks" => (4, 15),
        "iam" => (4, 10),
        "s3" => (8, 50),
        _ => (8, 20),
    };
    Limit { concurrent, interval: Duration::from_secs(1) / per_second }
}

fn open_sandbox(target: &Target, graph: Option<&Graph>) -> Result<Session> {
    let folder = target.folder();
    std::fs::create_dir_all(&folder).map_err(|error| {
        Fail::new(Exit::Error, format!("cannot create `{}`: {error}", folder.display()))
    })?;
    let mut settings = sandbox::Settings {
        account: target.aws_account.clone(),
        partition: facts::regions::partition(&target.region).arn_partition.clone(),
        ..sandbox::Settings::default()
    };
    if let Some(profile) = environment("DBXCTL_SANDBOX_PROFILE") {
        settings.profile = serde_json::from_value(profile.into()).map_err(|error| {
            Fail::new(Exit::Error, format!("DBXCTL_SANDBOX_PROFILE is not valid: {error}"))
        })?;
    }
    if let Some(faults) = environment("DBXCTL_SANDBOX_FAULTS") {
        settings = settings.with_faults(&faults).map_err(|error| {
            Fail::new(Exit::Error, format!("DBXCTL_SANDBOX_FAULTS is not valid: {error}"))
        })?;
    }
    let cloud = Sandbox::open(&folder.join("cloud.json"), settings)
        .map_err(|error| Fail::new(Exit::Error, error))?;
    if let Some(graph) = graph {
        cloud.adopt_used(graph)?;
    }
    let settings = Settings {
        first_pause: Duration::from_millis(20),
        longest_pause: Duration::from_millis(500),
        parallel: 32,
        ..Settings::default()
    };
    Ok(Session { cloud: Box::new(cloud), settings })
}

pub(crate) async fn clients(target: &Target) -> Result<Clients> {
    let aws = aws::Aws::connect(&target.region).await?;
    let databricks = databricks::Account::connect(databricks_config(target)?)?;
    Ok(Clients { aws, databricks })
}

pub(crate) fn databricks_config(target: &Target) -> Result<databricks::Config> {
    let path = databricks::Config::file_path(&environment);
    let file = path.and_then(|path| std::fs::read_to_string(path).ok());
    // The spec names the account; the environment may leave it out, but not contradict it.
    let given = databricks::Given {
        account_id: environment("DATABRICKS_ACCOUNT_ID")
            .is_none()
            .then(|| target.databricks_account.clone()),
        ..databricks::Given::default()
    };
    databricks::Config::resolve(&given, &environment, file.as_deref()).map_err(|error| {
        Fail::new(Exit::Error, error.message)
            .hint("see `Credentials` in the README, or rehearse without any: `--cloud sandbox`")
    })
}

async fn check_identity(target: &Target, clients: &Clients) -> Result<()> {
    // The first call of a run: what is wrong here for long is more likely a wrong address.
    let settings = Settings { patience: Duration::from_secs(30), ..Settings::default() };
    let identity = engine::patiently(settings, || clients.aws.identity()).await?;
    if identity.account != target.aws_account {
        return Err(Fail::new(
            Exit::Refused,
            format!(
                "signed in to AWS account {} as {}, but the spec is for account {}",
                identity.account, identity.arn, target.aws_account
            ),
        )
        .hint("use other AWS credentials, or correct `aws.account` in the spec"));
    }
    let account = clients.databricks.config().account_id();
    if account != target.databricks_account {
        return Err(Fail::new(
            Exit::Refused,
            format!(
                "signed in to Databricks account {account}, but the spec is for account {}",
                target.databricks_account
            ),
        )
        .hint("use other Databricks credentials, or correct `databricks.account` in the spec"));
    }
    Ok(())
}
