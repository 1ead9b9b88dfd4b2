//! `tracer doctor`: what this machine allows, each hook tried for real, and what therefore cannot
//! be proved.

use std::{io, process::ExitCode};

use anyhow::Context;

use crate::{
    cli::{Doctor, Output},
    console::style::Screen,
};

mod agents;
mod cgroup;
mod check;
mod conclusion;
mod limits;
mod machine;
mod print;
mod rights;
mod trial;

use check::Section;
use conclusion::Conclusion;
use trial::Trial;

/// Runs the command. The exit code says whether live tracing works.
///
/// # Errors
/// Only from writing: whatever is wrong with the machine is part of the output.
pub fn run(options: &Doctor) -> anyhow::Result<ExitCode> {
    let Doctor { output } = options;
    let report = Report::take();
    let out = io::stdout().lock();
    match output {
        Output::Text => print::text(out, Screen::stdout(), &report),
        Output::Json => print::json(out, &report),
    }
    .context("cannot write to standard output")?;
    Ok(if report.conclusion.live_tracing { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All that is printed.
struct Report {
    sections: Vec<Section>,
    conclusion: Conclusion,
}

impl Report {
    fn take() -> Self {
        let kernel = machine::Kernel::running();
        let types = machine::Types::read();
        let trial = Trial::run();
        let conclusion = Conclusion::of(&trial, types.degraded());
        let mut sections = vec![
            Section { title: "Machine", checks: machine::checks(&kernel, &types) },
            Section { title: "Rights", checks: rights::checks(trial.works()) },
            Section { title: "Live tracing, tried for real", checks: trial.checks },
            Section { title: "Limits", checks: limits::checks(&kernel) },
        ];
        let agents = agents::checks();
        if !agents.is_empty() {
            sections.push(Section { title: "Recorders that run", checks: agents });
        }
        Self { sections, conclusion }
    }
}
