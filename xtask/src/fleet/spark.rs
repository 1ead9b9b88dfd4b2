//! Whether a distributed engine says the same: every question on a cluster of Spark, a master and two workers, of which one
//! is killed in the middle, and on the embedded engine, over the same lake, compared row for row.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};

use crate::{
    debian,
    process::{on_path, read, run, shown},
    workspace::Workspace,
};

/// Spark, as PyPI has it.
const PACKAGE: &str = "pyspark==4.1.3";
/// The job, below the top of the checkout.
const JOB: &str = "examples/fleet/ask.py";
/// How long a part of the cluster may take to start.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

type Row = Map<String, Value>;
/// The rows of each question.
type Answers = BTreeMap<String, Vec<Row>>;

/// Asks both all of these questions, which is an error if an answer differs.
pub fn compare(workspace: &Workspace, lake: &Path, program: &Path, questions: &[String]) -> Result<()> {
    let spark = Spark::install(workspace)?;
    let began = Instant::now();
    let theirs = spark.ask(workspace, lake, questions)?;
    println!("spark: {} questions in {:.1} s, one of two workers killed meanwhile", questions.len(), took(began));
    let mut compared = 0;
    for question in questions {
        let said = read(Command::new(program).args(["query", question, "--format", "json"]).arg(lake))?;
        let ours = said.lines().map(serde_json::from_str).collect::<Result<Vec<Row>, _>>()?;
        let theirs = theirs.get(question).map_or(&[][..], Vec::as_slice);
        let rows = ours.len().max(theirs.len());
        if let Some(at) = (0..rows).find(|&at| !is_same(ours.get(at), theirs.get(at))) {
            let shown = |row: Option<&Row>| row.map_or("no row".to_owned(), |row| Value::from(row.clone()).to_string());
            let (ours, theirs) = (shown(ours.get(at)), shown(theirs.get(at)));
            bail!("{question}, row {}: the embedded engine says\n  {ours}\nand Spark\n  {theirs}", at + 1);
        }
        println!("  {question}: {rows} rows, the same");
        compared += rows;
    }
    ensure!(compared > 0, "no question has an answer: the lake has nothing to compare");
    Ok(())
}

/// Engines have different types for a number.
fn is_same(one: Option<&Row>, other: Option<&Row>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return false };
    let is_same = |(name, value): (&String, &Value)| match (value.as_f64(), other.get(name).map(Value::as_f64)) {
        (Some(one), Some(Some(other))) => one == other,
        _ => other.get(name) == Some(value),
    };
    one.len() == other.len() && one.iter().all(is_same)
}

fn took(began: Instant) -> f64 {
    began.elapsed().as_secs_f64()
}

/// An installation.
struct Spark {
    /// What it calls SPARK_HOME.
    home: PathBuf,
    python: PathBuf,
    /// For logs and what workers write.
    scratch: PathBuf,
}

impl Spark {
    /// Into a virtual environment below the target directory.
    fn install(workspace: &Workspace) -> Result<Self> {
        if on_path("java").is_none() {
            debian::install(&["default-jre-headless"]).context("Spark needs Java")?;
        }
        let folder = workspace.target.join("fleet/spark");
        let python = folder.join("bin/python3");
        if !read(Command::new(&python).args(["-m", "pip", "freeze"])).is_ok_and(|has| has.contains(PACKAGE)) {
            println!("spark: installing {PACKAGE} (450 MB)");
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
            run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--no-cache-dir", PACKAGE]))?;
        }
        let home =
            read(Command::new(&python).args(["-c", "import os, pyspark; print(os.path.dirname(pyspark.__file__))"]))?;
        let scratch = workspace.target.join("fleet/spark-run");
        fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
        Ok(Self { home: home.into(), python, scratch })
    }

    /// What it answers, as lines come.
    fn ask(&self, workspace: &Workspace, lake: &Path, questions: &[String]) -> Result<Answers> {
        let master = self.part("master", "org.apache.spark.deploy.master.Master", &[])?;
        let said = master.says("Starting Spark master at ")?;
        let url = said.split_whitespace().last().context("the master says no address")?.to_owned();
        let work = self.scratch.join("work");
        let work = work.to_str().context("the path of the target directory is not UTF-8")?;
        let worker = |name| -> Result<Part> {
            let options = ["--cores", "1", "--memory", "1g", "--work-dir", work, &url];
            let worker = self.part(name, "org.apache.spark.deploy.worker.Worker", &options)?;
            worker.says("Successfully registered with master")?;
            Ok(worker)
        };
        let (mut victim, _other) = (Some(worker("worker-1")?), worker("worker-2")?);
        let mut job = self.command("spark-submit");
        job.args(["--master", &url, "--executor-memory", "800m", "--conf", "spark.driver.host=127.0.0.1"]);
        job.args(["--conf", "spark.ui.enabled=false"]).arg(workspace.root.join(JOB)).arg(lake).args(questions);
        let log = self.scratch.join("job.log");
        let mut running = Part::start(&mut job, log, true)?;
        let lines = BufReader::new(running.child.stdout.take().context("it is piped")?).lines();
        let mut answers = Answers::new();
        for line in lines {
            let line = line.context("cannot read what Spark answers")?;
            let mut row: Row = serde_json::from_str(&line).with_context(|| format!("Spark answers {line:?}"))?;
            let question = row.remove("question").and_then(|name| Some(name.as_str()?.to_owned()));
            answers.entry(question.context("an answer without a question")?).or_default().push(row);
            // The next question has begun.
            drop(victim.take());
        }
        let status = running.child.wait()?;
        ensure!(status.success(), "Spark's job failed ({status}); {} says why", running.log.display());
        ensure!(victim.is_none(), "Spark answered nothing; {} says why", running.log.display());
        // It has lost the worker, and done without.
        master.says("removing it")?;
        Ok(answers)
    }

    fn part(&self, name: &str, class: &str, options: &[&str]) -> Result<Part> {
        let mut command = self.command("spark-class");
        command.arg(class).args(["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]).args(options);
        Part::start(&mut command, self.scratch.join(format!("{name}.log")), false)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.home.join("bin").join(program));
        command.env("SPARK_HOME", &self.home).env("PYSPARK_PYTHON", &self.python).env("SPARK_LOCAL_IP", "127.0.0.1");
        command
    }
}

/// A process of the cluster, which ends with this.
struct Part {
    child: Child,
    log: PathBuf,
}

impl Part {
    fn start(command: &mut Command, log: PathBuf, is_heard: bool) -> Result<Self> {
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let out = if is_heard { Stdio::piped() } else { Stdio::null() };
        command.stdin(Stdio::null()).stdout(out).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start `{}`", shown(command)))?;
        Ok(Self { child, log })
    }

    /// Waits for a line with these words.
    fn says(&self, words: &str) -> Result<String> {
        let began = Instant::now();
        loop {
            let said = fs::read_to_string(&self.log).with_context(|| format!("cannot read {}", self.log.display()))?;
            // Whole lines only.
            let mut lines = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            if let Some(line) = lines.find(|line| line.contains(words)) {
                return Ok(line.trim_end().to_owned());
            }
            ensure!(began.elapsed() < STARTS_WITHIN, "{} never says {words:?}", self.log.display());
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It may have ended by itself. An executor ends when it loses its worker.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_the_same_whatever_type_a_number_has() {
        let row = |value: Value| value.as_object().cloned();
        let is_same = |one, other| is_same(row(one).as_ref(), row(other).as_ref());
        assert!(is_same(json!({ "a": 1, "b": "x", "c": null }), json!({ "c": null, "b": "x", "a": 1.0 })));
        assert!(!is_same(json!({ "a": 1 }), json!({ "a": 2 })));
        assert!(!is_same(json!({ "a": 1 }), json!({ "a": "1" })));
        assert!(!is_same(json!({ "a": 1 }), json!({ "a": 1, "b": 1 })));
        assert!(!is_same(json!({ "a": 1, "b": null }), json!({ "a": 1, "c": null })));
    }
}
