//! The demo from a recording: the same story, with each action found in the recorded events.

use std::{ops::ControlFlow, vec};

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::scene::{Scene, is_command};
use crate::{
    detector::Detector,
    event::{Event, ExitStatus},
    finding::Finding,
    host::StartInfo,
    ident::PidNs,
    source::trace::Trace,
    time::BootNs,
    trace::reader::Reader,
    world::{Process, World},
};

/// `tracer demo --record` made it, in the machine that `cargo xtask traces` boots.
const RECORDING: &[u8] = include_bytes!("demo.mcap");

/// See the module.
pub(super) struct RecordedScene {
    start: StartInfo,
    events: vec::IntoIter<Event>,
    detector: Detector,
    ns: PidNs,
    init: u32,
    heard: Vec<Finding>,
}

impl RecordedScene {
    /// Plays the recording to the point at which pid 1 runs.
    pub(super) async fn open(init: &[&str]) -> Result<Self> {
        let mut trace = Trace::new(Reader::pipe(Box::new(RECORDING))?)?;
        let start = trace.start().clone();
        let mut events = Vec::new();
        trace.play(|event, _| {
            events.push(event.clone());
            Ok(ControlFlow::Continue(()))
        })?;
        let detector = Detector::new(&start.thresholds);
        let events = events.into_iter();
        let mut scene = Self { start, events, detector, ns: PidNs::default(), init: 0, heard: Vec::new() };
        let find = |scene: &mut Self| {
            let is_it = |process: &&Process| process.is_init_of_namespace();
            let found = scene.world().processes().filter(is_it).find(|process| is_command(&process.args, init));
            Ok(found.map(|process| (process.pid_ns, process.key.tgid)))
        };
        (scene.ns, scene.init) = scene.until("the start of pid 1", find).await?;
        Ok(scene)
    }

    /// What was recorded, and how.
    pub(super) fn start(&self) -> &StartInfo {
        &self.start
    }
}

impl Scene for RecordedScene {
    fn world(&self) -> &World {
        self.detector.world()
    }

    fn now(&self) -> BootNs {
        self.world().now()
    }

    fn namespace(&self) -> PidNs {
        self.ns
    }

    fn init(&self) -> u32 {
        self.init
    }

    fn heard(&mut self) -> &mut Vec<Finding> {
        &mut self.heard
    }

    async fn run(&mut self, command: &[&str]) -> Result<u32> {
        let ns = self.ns;
        // Oldest first: until its children run another program, they have its command line.
        self.until("a command of the recording", |scene| {
            let mut inside = scene.world().processes().filter(|process| process.pid_ns == ns);
            Ok(inside.find(|process| is_command(&process.args, command)).map(|process| process.key.tgid))
        })
        .await
    }

    fn kill(&mut self, _pid: u32, _signal: Signal) -> Result<()> {
        // It was done then.
        Ok(())
    }

    fn ended(&mut self, pid: u32) -> Result<Option<ExitStatus>> {
        Ok(self.world().by_pid(pid).and_then(Process::death).map(|death| death.status))
    }

    async fn go_on(&mut self, what: &str) -> Result<()> {
        let Self { events, detector, ns, heard, .. } = self;
        let event = events.next().with_context(|| format!("the recording ends before {what}"))?;
        let (step, _) = detector.step(&event, &[]);
        heard.extend(step.findings.iter().filter(|finding| finding.is_new() && finding.process.pid_ns == *ns).cloned());
        Ok(())
    }
}
