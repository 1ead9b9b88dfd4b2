//! What a test expects of a finding.

use std::fmt;

use crate::{
    contract::{Finding, Sender},
    run::Run,
};

type Test = Box<dyn Fn(&Finding) -> bool>;

/// A description of findings, as words and as tests.
pub struct Description {
    rule: String,
    tests: Vec<(String, Test)>,
}

impl Description {
    /// Whether that finding is described.
    pub fn fits(&self, finding: &Finding) -> bool {
        finding.rule == self.rule && self.tests.iter().all(|(_, test)| test(finding))
    }

    /// For findings of the same rule: where this one differs, in words.
    pub fn misfit(&self, finding: &Finding) -> Option<String> {
        let wrong: Vec<&str> =
            self.tests.iter().filter(|(_, test)| !test(finding)).map(|(words, _)| words.as_str()).collect();
        (finding.rule == self.rule).then(|| wrong.join(", "))
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rule)?;
        self.tests.iter().try_for_each(|(words, _)| write!(f, " {words}"))
    }
}

/// An expectation in the making; [`Expect::once`] or [`Expect::times`] makes it count.
#[must_use = "nothing is expected before `once` or `times`"]
pub struct Expect<'a> {
    run: &'a mut Run,
    is: Description,
}

impl<'a> Expect<'a> {
    pub(crate) fn new(run: &'a mut Run, rule: &str) -> Self {
        Self { run, is: Description { rule: rule.to_owned(), tests: Vec::new() } }
    }

    fn and(mut self, words: impl fmt::Display, test: impl Fn(&Finding) -> bool + 'static) -> Self {
        self.is.tests.push((words.to_string(), Box::new(test)));
        self
    }

    /// It is about this process.
    pub fn about(self, pid: i32) -> Self {
        self.and(format_args!("about {pid}"), move |f| f.process.pid == pid)
    }

    /// The process has that pid inside that depth of namespaces.
    pub fn at_level(self, level: u32, ns_pid: i32) -> Self {
        self.and(format_args!("at level {level} with pid {ns_pid}"), move |f| {
            f.process.ns_level == level && f.process.ns_pid == ns_pid
        })
    }

    /// It is about this signal.
    pub fn signal(self, name: &'static str) -> Self {
        self.and(format_args!("of {name}"), move |f| f.signal.as_deref() == Some(name))
    }

    /// The signal was dropped for this reason.
    pub fn reason(self, reason: &'static str) -> Self {
        self.and(format_args!("for {reason}"), move |f| f.reason.as_deref() == Some(reason))
    }

    /// This process sent it.
    pub fn sender(self, pid: i32) -> Self {
        self.and(
            format_args!("sent by {pid}"),
            move |f| matches!(&f.sender, Some(Sender::Process(sender)) if sender.pid == pid),
        )
    }

    /// This process owes the wait.
    pub fn parent(self, pid: i32) -> Self {
        self.and(format_args!("owed by {pid}"), move |f| f.parent.as_ref().is_some_and(|p| p.pid == pid))
    }

    /// Why nobody waits.
    pub fn blame(self, blame: &'static str) -> Self {
        self.and(format_args!("because {blame}"), move |f| f.blame.as_deref() == Some(blame))
    }

    /// This process adopted, for this reason.
    pub fn adopter(self, pid: i32, class: &'static str) -> Self {
        self.and(format_args!("by {pid}, its {class}"), move |f| {
            f.adopter.as_ref().is_some_and(|a| a.pid == pid) && f.adopter_class.as_deref() == Some(class)
        })
    }

    /// This parent died.
    pub fn dead_parent(self, pid: i32) -> Self {
        self.and(format_args!("after {pid}"), move |f| f.dead_parent.as_ref().is_some_and(|p| p.pid == pid))
    }

    /// So many processes died with the namespace.
    pub fn killed(self, count: u64) -> Self {
        self.and(format_args!("with {count} killed"), move |f| f.killed == Some(count))
    }

    /// The process belongs to that container.
    pub fn in_container(self, name: &'static str) -> Self {
        self.and(format_args!("in {name}"), move |f| f.process.container.as_deref() == Some(name))
    }

    /// The kernel itself sent it.
    pub fn certain(self) -> Self {
        self.and("for certain", |f| f.confidence == "certain")
    }

    /// Anything else, in words and as a test.
    pub fn so_that(self, words: &str, test: impl Fn(&Finding) -> bool + 'static) -> Self {
        self.and(words, test)
    }

    /// Waits until it is there; fails at the end if there is another.
    pub fn once(self) -> Finding {
        self.times(1).remove(0)
    }

    /// Waits until it is there that many times; fails at the end if there are more.
    pub fn times(self, times: usize) -> Vec<Finding> {
        self.run.await_findings(self.is, times)
    }
}
