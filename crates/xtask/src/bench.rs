//! How long the program takes and how much memory, by size of the spec, on the simulated cloud.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use crate::cargo::{cargo, metadata, run};

/// What is measured together.
struct Bench {
    /// Workspaces in the specs.
    sizes: [usize; 3],
    /// In this order: name, arguments after the program, and the exit code it has.
    commands: &'static [(&'static str, &'static [&'static str], i32)],
}

/// The commands that change something.
const APPLY: Bench = Bench {
    sizes: [1, 10, 100],
    commands: &[
        ("validate", &["validate"], 0),
        ("plan", &["plan", "--detailed-exitcode"], 2),
        ("apply", &["apply", "--yes"], 0),
        ("plan (no-op)", &["plan", "--detailed-exitcode"], 0),
    ],
};

/// The check, and what it takes to read a spec.
const CHECK: Bench = Bench {
    sizes: [1, 100, 1000],
    commands: &[
        ("validate", &["validate"], 0),
        ("check", &["check"], 0),
        ("check (JSON)", &["check", "--format", "json"], 0),
    ],
};

/// Workspaces that share a VPC.
const PER_VPC: usize = 10;
struct Figures {
    time: Duration,
    /// The most memory it ever had, in KiB; `None` where the system does not tell.
    memory: Option<u64>,
}

/// Builds the program, measures it, and prints a table.
pub(crate) fn run_all(release: bool) -> Result<()> {
    APPLY.run(release)
}

/// The same for the check alone.
pub(crate) fn run_check(release: bool) -> Result<()> {
    CHECK.run(release)
}

impl Bench {
    fn run(&self, release: bool) -> Result<()> {
        let profile: &[&str] = if release { &["--release"] } else { &[] };
        run(cargo("build").args(["--package", "dbxctl", "--locked"]).args(profile))?;
        let folder = if release { "release" } else { "debug" };
        let program = metadata()?.target_directory.join(folder).join("dbxctl");
        let mut table = Vec::new();
        for size in self.sizes {
            table.push(self.measure_all(&program, size)?);
        }
        self.print(&table);
        Ok(())
    }

    /// All commands on a spec of that size, from an empty cloud on.
    fn measure_all(&self, program: &Path, workspaces: usize) -> Result<Vec<Figures>> {
        let folder = Scratch::new(workspaces)?;
        let file = folder.0.join("spec.json");
        // Lines as people write them: a column in one long line takes a look at all of it.
        fs::write(&file, format!("{:#}", spec(workspaces)))?;
        let one = |(_, arguments, code): &(&str, &[&str], i32)| {
            let mut command = Command::new(program);
            command
                .args(*arguments)
                .arg(&file)
                .args(["--cloud", "sandbox", "--state-dir"])
                .arg(&folder.0)
                .env("DBXCTL_SANDBOX_PROFILE", "instant");
            measure(&mut command, *code)
        };
        self.commands.iter().map(one).collect()
    }
    /// Figures by command and size, and how they grow over the last step of size.
    fn print(&self, table: &[Vec<Figures>]) {
        let titles: Vec<String> = self.sizes.iter().map(|n| format!("{n} workspaces")).collect();
        let growth = match self.sizes {
            [.., before, last] => format!("{last} : {before}"),
        };
        println!(
            "{:<14}{}{growth:>16}",
            "",
            titles.iter().map(|t| format!("{t:>24}")).collect::<String>()
        );
        for (row, (name, ..)) in self.commands.iter().enumerate() {
            let figures: Vec<&Figures> = table.iter().map(|column| &column[row]).collect();
            let cells: String = figures.iter().map(|f| format!("{:>24}", cell(f))).collect();
            let ratio = match figures[..] {
                [.., before, last] => last.time.as_secs_f64() / before.time.as_secs_f64(),
                _ => 1.0,
            };
            println!("{name:<14}{cells}{:>16}", format!("{ratio:.1} x"));
        }
    }
}

/// Runs the command to its end.
fn measure(command: &mut Command, code: i32) -> Result<Figures> {
    let began = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {command:?}"))?;
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut memory = None;
    let ended = loop {
        // The peak only grows, so the last look before the end is close to the truth.
        memory = peak(&status).or(memory);
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let time = began.elapsed();
    ensure!(ended.code() == Some(code), "{command:?}: {ended}, not exit code {code}");
    Ok(Figures { time, memory })
}

/// The peak of the resident memory of a process, in KiB.
fn peak(status: &Path) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Workspaces in VPCs with private connections.
fn spec(workspaces: usize) -> Value {
    let (mut vpcs, mut all) = (Map::new(), Map::new());
    for n in 0..workspaces {
        let (vpc, block) = (n / PER_VPC, n % PER_VPC);
        vpcs.entry(format!("v{vpc}")).or_insert_with(|| {
            json!({
                "cidr": format!("10.{vpc}.0.0/16"),
                "zones": ["eu-central-1a", "eu-central-1b"],
                "private_link": { "backend": true },
            })
        });
        let subnets = json!({ "prefix": "/23", "block": block });
        all.insert(format!("wk{n}"), json!({ "vpc": format!("v{vpc}"), "subnets": subnets }));
    }
    json!({
        "apiVersion": "dbxctl/v1",
        "name": "bench",
        "region": "eu-central-1",
        "aws": { "account": "111122223333" },
        "databricks": { "account": "3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77" },
        "vpcs": vpcs,
        "workspaces": all,
    })
}

fn cell(figures: &Figures) -> String {
    let time = format!("{} ms", figures.time.as_millis());
    match figures.memory {
        Some(memory) => format!("{time}, {} MiB", memory.div_ceil(1024)),
        None => time,
    }
}

/// A folder that goes with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: usize) -> Result<Scratch> {
        let folder = format!("dbxctl-bench-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir(&folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left in the folder for temporary files does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}
