//! `tracer agent`: live events to the journal, to Prometheus and into memory, without a terminal.

use std::{
    env, fs, io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{DirBuilderExt as _, chown},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, Error, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    agent::{
        Findings, Sinks,
        confine::{self, Confined},
        courier,
        journal::Journal,
        messenger,
        reaction::Reaction,
        supervisor::Supervisor,
        telemetry::Telemetry,
    },
    caller,
    cli::{
        self,
        agent::{Place, Settings},
    },
    config::Config,
    console::{
        outlet::{self, Drain, Outlet},
        stderr::say,
        style,
    },
    event_loop::event_loop,
    filter::Filter,
    ident::{file_name, quote},
    lake::{Kept, Lake},
    metrics::own::Own,
    pump::Pump,
    serve::Scraped,
    sink::{
        Counted,
        json::{Json, unwritten_line},
        trace::{Recorder, flight::Flight, redact::Redactor, shelf::Shelf},
    },
    source::{
        containers,
        fill::Fill,
        live::Live,
        load::LoadOptions,
        witness::{Witness, serve as help_out},
    },
    thresholds::Thresholds,
    trace::{file::CreateError, kept::Door},
    users::{self, User},
};

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// If the configuration is wrong, what it asks for cannot be had, or live tracing is not possible here.
pub fn run(options: &cli::Agent) -> Result<ExitCode> {
    let file = options.config.as_deref();
    let config = Config::load(file, &Witness::here())?;
    // Its files are those of the user that it becomes, whoever has started it.
    caller::nobody_else();
    let opened = Opened::open(&config.settings)?;
    let load = load_options(&config.settings);
    let live = Live::attach(&load)?;
    let witness = Witness::start(file).context("cannot start the helper that looks as root")?;
    let mut live = live.with_witness(witness);
    say(format_args!("the agent {}", opened.confine(&mut live)?));
    let (sinks, out) = opened.sinks(&config.settings, live.fill())?;
    let agent = Agent { file, config, supervisor: Supervisor::default() };
    event_loop()?.block_on(agent.watch(live, &load, sinks, out.as_ref())).context("agent")?;
    Ok(ExitCode::SUCCESS)
}

/// Is the helper of an agent: looks at what only root may see.
///
/// # Errors
/// If no agent has started this.
pub fn help(configuration: Option<PathBuf>) -> Result<ExitCode> {
    const WHY: &str = "this is for `tracer agent` to start";
    confine::helper().context(WHY)?;
    help_out(configuration, containers::answers).context(WHY)?;
    Ok(ExitCode::SUCCESS)
}

/// Is the messenger of an agent: does what is to be done about findings.
///
/// # Errors
/// If no agent has started this.
pub fn tell(options: &cli::agent::Messenger) -> Result<ExitCode> {
    messenger::serve(options).context("the messenger of findings")?;
    Ok(ExitCode::SUCCESS)
}

/// Is the courier of an agent: sends findings and numbers.
///
/// # Errors
/// If no agent has started this.
pub fn deliver(options: &cli::agent::Courier) -> Result<ExitCode> {
    courier::serve(options).context("the courier of findings and numbers")?;
    Ok(ExitCode::SUCCESS)
}

fn load_options(settings: &Settings) -> LoadOptions {
    let keeps = !settings.recorder.before.is_zero();
    LoadOptions {
        all_signals: keeps,
        all_deliveries: keeps,
        tree: settings.findings.filter.tree,
        ..LoadOptions::from(&settings.probes)
    }
}

/// What has to be opened while this is root.
struct Opened {
    user: User,
    numbers: Option<Scraped>,
    door: Option<Door>,
    shelf: Option<Shelf>,
    lake: Option<PathBuf>,
    messenger: Option<OwnedFd>,
    courier: Option<UnixStream>,
}

impl Opened {
    fn open(settings: &Settings) -> Result<Self> {
        let Settings { recorder, reactions, metrics, otlp, lake, process, .. } = settings;
        let user = users::meant(&process.user);
        let Some(user) = user else {
            let name = quote(&process.user);
            bail!("there is no user {name}; `useradd --system {name}` makes one, or name another one in user")
        };
        let numbers = metrics.metrics.map(Scraped::open).transpose()?;
        let shelf = recorder.traces.as_deref().map(|folder| shelf(folder, recorder.budget, &user)).transpose()?;
        let lake = lake.lake.clone();
        lake.as_deref().map_or(Ok(()), |folder| own_folder(folder, &user)).context("lake")?;
        let group = recorder.group.as_deref().map(group).transpose()?;
        let door = (!recorder.before.is_zero()).then(|| door(group)).flatten();
        messenger::check(reactions).map_err(Error::msg)?;
        let messenger = messenger::start(reactions).context("cannot start the messenger of findings")?;
        let courier = courier::start(otlp).context("cannot start the courier of findings and numbers")?;
        Ok(Self { user, numbers, door, shelf, lake, messenger, courier })
    }

    /// Gives up what is not needed any more.
    fn confine(&self, live: &mut Live) -> Result<Confined> {
        // What the loop does with the kernel.
        let mut works = || {
            live.stats().map_err(io::Error::other)?;
            live.try_iterator()
        };
        let folders = self.shelf.iter().map(Shelf::folder).chain(self.lake.as_deref());
        let confined = confine::agent(&self.user, &folders.collect::<Vec<_>>(), &mut works)
            .context("the agent cannot be confined")?;
        self.shelf.as_ref().map_or(Ok(()), Shelf::check).with_context(|| {
            format!(
                "{} cannot write traces; make it the owner of the folder, or name another one in user",
                quote(self.user.name.as_encoded_bytes())
            )
        })?;
        Ok(confined)
    }

    fn sinks(self, settings: &Settings, fill: Arc<Fill>) -> Result<(Sinks, Option<Drain>)> {
        let Self { user: _, numbers, door, shelf, lake, messenger, courier } = self;
        let Settings { findings: shown, recorder, reactions, otlp, .. } = settings;
        let a_minute = reactions.reactions_a_minute;
        let reaction = messenger.map(|messenger| Reaction::new(messenger, Filter::from(&shown.filter), a_minute));
        if let Some(numbers) = &numbers {
            say(format_args!("numbers for Prometheus: http://{}/metrics", numbers.address()?));
        }
        let own = Own { fill: Some(fill), deliveries: courier.as_ref().map(|_| Arc::default()) };
        let counter = numbers.map(Scraped::serve).transpose()?.map(|counter| counter.with_own(own.clone()));
        let telemetry = courier
            .map(|courier| Telemetry::new(courier, Filter::from(&shown.filter), shown.each, otlp.otlp_interval, own));
        let telemetry = telemetry.transpose().context("cannot speak to the courier")?;
        let flight = (!recorder.before.is_zero()).then(|| Flight::shelved(shelf, recorder.before).with_door(door));
        let recorder = flight.map(|flight| {
            let filter = Filter::from(&settings.findings.filter);
            Recorder::new(Box::new(flight)).redacted(Redactor::new(recorder.redact)).on(&recorder.snapshot_on, filter)
        });
        let kept = Kept { budget: settings.lake.lake_budget };
        let lake = lake.map(|folder| Lake::new(&folder).kept(kept));
        let (findings, out) = findings(settings)?;
        Ok((Sinks { findings, reaction, telemetry, counter, recorder, lake }, out))
    }
}

fn findings(settings: &Settings) -> Result<(Findings, Option<Drain>)> {
    let cli::agent::Findings { findings_to, each, filter } = &settings.findings;
    let filter = Filter::from(filter);
    // Where systemd has connected it to the journal (systemd.exec(5)).
    let is_journalled = env::var_os("JOURNAL_STREAM").is_some();
    match findings_to {
        Place::None => Ok((Findings::None, None)),
        Place::Auto | Place::Journal if is_journalled || *findings_to == Place::Journal => {
            let journal = Journal::open(filter, *each);
            let journal = journal.context("cannot write to the journal; findings-to can be stdout instead")?;
            Ok((Findings::Journal(Box::new(journal)), None))
        }
        Place::Auto | Place::Journal | Place::Stdout => {
            let out = Outlet::new(rustix::stdio::stdout(), outlet::ROOM, unwritten_line);
            let out = out.context("cannot write beside the tracing")?;
            let drain = out.drain();
            let json = Json::new(out, filter, &[]);
            Ok((Findings::Lines(Box::new(if *each { json } else { json.few() })), Some(drain)))
        }
    }
}

/// The folder for traces, which must be the user's to write; it is made if it is missing.
fn shelf(folder: &Path, budget: u64, user: &User) -> Result<Shelf> {
    own_folder(folder, user).with_context(|| format!("cannot keep traces in {}", file_name(folder)))?;
    Ok(Shelf::new(folder, budget))
}

/// Makes a folder of that user's, unless it is there.
fn own_folder(folder: &Path, user: &User) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => Ok(chown(folder, Some(user.uid), Some(user.gid))?),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(CreateError::Io(folder.to_owned(), error).into()),
    }
}

fn group(name: &str) -> Result<u32> {
    users::group(name.as_ref()).with_context(|| format!("there is no group {}; name another one in group", quote(name)))
}

/// Through which others can ask. The agent works without one, too.
fn door(group: Option<u32>) -> Option<Door> {
    Door::open(group).inspect_err(|error| say(format_args!("nobody can ask this agent: {error}"))).ok()
}

/// The agent at work.
struct Agent<'a> {
    file: Option<&'a Path>,
    config: Config,
    supervisor: Supervisor,
}

impl Agent<'_> {
    async fn watch(mut self, live: Live, load: &LoadOptions, mut sinks: Sinks, out: Option<&Drain>) -> Result<()> {
        const CANNOT_RECEIVE: &str = "cannot receive signals";
        let mut stop = Stop::new().context(CANNOT_RECEIVE)?;
        let mut hangup = signal(SignalKind::hangup()).context(CANNOT_RECEIVE)?;
        let thresholds = self.thresholds();
        let mut sink = Counted::new(&mut sinks);
        let mut pump = Pump::begin(live, load, &thresholds, &mut |world, step| sink.step(world, step))?;
        let mut is_ready = false;
        loop {
            pump.turn(&mut |world, step| sink.step(world, step))?;
            sink.flush()?;
            if !is_ready && !pump.is_listing() {
                is_ready = true;
                self.supervisor.ready(&status(&pump));
            }
            self.supervisor.alive();
            tokio::select! {
                biased;
                () = stop.asked() => break,
                _ = hangup.recv() => {
                    self.supervisor.reloading();
                    self.reload(&mut pump, &mut sink)?;
                    self.supervisor.ready(&status(&pump));
                }
                () = pump.rest() => {}
            }
        }
        self.supervisor.stopping();
        pump.end(&mut |world, step| sink.step(world, step))?;
        if let Some(out) = out {
            out.last_words();
            sink.unwritten(out.unwritten());
        }
        sink.finish(pump.world())?;
        if let Some(out) = out {
            out.end(stop.asked(), true).await?;
        }
        Ok(())
    }

    fn thresholds(&self) -> Thresholds {
        self.config.settings.thresholds.over(Thresholds::default())
    }

    /// Reads the configuration again. If it is wrong, everything stays as it was.
    fn reload(&mut self, pump: &mut Pump, sink: &mut Counted<'_, Sinks>) -> io::Result<()> {
        let config = match Config::load(self.file, pump.witness()) {
            Ok(config) => config,
            Err(error) => {
                say(format_args!("the configuration stays as it was: {error}"));
                return Ok(());
            }
        };
        let filter = Filter::from(&config.settings.findings.filter);
        if let Err(missing) = sink.inner().refilter(filter, pump.world()) {
            say(format_args!("the configuration stays as it was: {missing}"));
            return Ok(());
        }
        let before = self.thresholds();
        let fixed = self.config.differs_in(&config, &["findings", "thresholds"]);
        self.config = config;
        let thresholds = self.thresholds();
        if thresholds != before {
            pump.judge_by(&thresholds, &mut |world, step| sink.step(world, step))?;
        }
        match &fixed[..] {
            [] => say("the configuration was read again"),
            names => say(format_args!(
                "the configuration was read again; for {} to change, the agent must be restarted",
                names.join(", ")
            )),
        }
        Ok(())
    }
}

/// A sentence for `systemctl status`.
fn status(pump: &Pump) -> String {
    let world = pump.world();
    format!(
        "watching {} in {}",
        style::count(world.process_count() as u64, "process"),
        style::count(world.namespace_count() as u64, "pid namespace")
    )
}

/// The signals that ask an agent to end.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for one of them.
    async fn asked(&mut self) {
        let Self { interrupt, terminate } = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}
