//! Findings in the order of their severity, each with its facts, its fixes and the text of its rule. All words are those of
//! the findings.

use pulldown_cmark::{Parser, html};

use super::clock::Clock;
use crate::{
    finding::{Confidence, Finding, Note, RuleDef, Severity, Stage},
    history::{Ending, Found, History},
    rules::RULES,
    summary::seconds,
};

/// A sentence at the top of the page.
pub struct Sentence {
    /// The finding that it is of.
    pub anchor: String,
    pub word: &'static str,
    pub severity: &'static str,
    pub headline: String,
    /// It is over.
    pub is_over: bool,
    /// In which container, if the finding says so.
    pub container: Option<String>,
    /// What to do first, unless a sentence before says so.
    pub fix: Option<String>,
}

/// All findings of one severity.
pub struct Section {
    pub severity: &'static str,
    pub groups: Vec<Group>,
    /// How many there are.
    pub count: u64,
}

/// All findings of one rule.
pub struct Group {
    pub rule: &'static RuleDef,
    pub cards: Vec<Card>,
    /// How many are not shown.
    pub more: u64,
    /// What the rule means, as HTML of our own.
    pub explanation: String,
}

impl Group {
    fn count(&self) -> u64 {
        self.more + self.cards.iter().map(|card| card.count).sum::<u64>()
    }
}

/// A finding.
pub struct Card {
    pub anchor: String,
    pub at: String,
    /// Its severity, or that it was wrong.
    pub word: &'static str,
    pub severity: &'static str,
    pub rule: &'static str,
    /// Stands before the headline of one that stands for others.
    pub remark: String,
    pub headline: String,
    pub notes: Vec<Note>,
    pub incomplete: Option<String>,
    pub fixes: Vec<String>,
    pub ending: Option<Over>,
    /// By the numbers of the events.
    pub evidence: String,
    /// For how many it stands; one that was wrong does not count.
    count: u64,
    is_certain: bool,
}

/// How a finding ended.
pub struct Over {
    pub word: &'static str,
    pub at: String,
    pub headline: String,
    pub notes: Vec<Note>,
}

/// Sentences at the top.
const SENTENCES: usize = 3;

/// All findings, the most urgent first.
pub fn sections(history: &History, clock: &Clock) -> Vec<Section> {
    let severities = [Severity::Error, Severity::Warning, Severity::Info];
    let sections = severities.map(|severity| {
        let rules = RULES.iter().filter(|rule| rule.severity == severity);
        let mut groups: Vec<_> = rules.filter_map(|rule| group(history, clock, rule)).collect();
        // In the order in which they were found: `f12` comes before `f100`.
        groups.sort_by_key(|(first, _)| *first);
        let groups: Vec<Group> = groups.into_iter().map(|(_, group)| group).collect();
        let count = groups.iter().map(Group::count).sum();
        Section { severity: severity.id(), groups, count }
    });
    sections.into_iter().filter(|section| !section.groups.is_empty()).collect()
}

/// The findings of a rule, and the number of the first.
fn group(history: &History, clock: &Clock, rule: &'static RuleDef) -> Option<(usize, Group)> {
    let found: Vec<_> = history.findings.iter().filter(|found| found.finding.rule.name == rule.name).collect();
    let more = history.findings.more().get(rule.name).copied().unwrap_or(0);
    let first = found.first().map_or(usize::MAX, |found| found.number);
    let cards: Vec<_> = found.into_iter().map(|found| card(clock, found)).collect();
    let explanation = || {
        let mut explanation = String::new();
        html::push_html(&mut explanation, Parser::new(rule.explanation));
        // Its headings stand below those of the page.
        explanation.replace("<h2>", "<h5>").replace("</h2>", "</h5>")
    };
    (!cards.is_empty() || more > 0).then(|| (first, Group { rule, cards, more, explanation: explanation() }))
}

fn card(clock: &Clock, found: &Found) -> Card {
    let Found { finding, ending, together, number: _ } = found;
    let Finding { rule, at, since, confidence, headline, notes, fixes, evidence, .. } = finding;
    let remark = together
        .as_ref()
        .map(|together| format!("{} more within {}, the last: ", together.count, seconds(*at - *since)));
    let mut notes = notes.clone();
    if let Some(signals) = together.as_ref().map(|together| &together.signals).filter(|signals| signals.len() > 1) {
        let signals: Vec<_> = signals.iter().map(|(signal, n)| format!("{signal} {n}")).collect();
        notes.push(Note::new("signals", signals.join(", ")));
    }
    let evidence: Vec<_> = evidence.iter().map(ToString::to_string).collect();
    Card {
        anchor: anchor(found),
        at: clock.time(*at),
        word: if found.is_withdrawn() { Stage::Withdrawn.id() } else { rule.severity.id() },
        severity: rule.severity.id(),
        rule: rule.name,
        remark: remark.unwrap_or_default(),
        headline: headline.clone(),
        notes,
        incomplete: if let Confidence::Incomplete(why) = confidence { Some(why.clone()) } else { None },
        fixes: if together.is_some() || found.is_withdrawn() { Vec::new() } else { fixes.clone() },
        ending: ending.as_ref().map(|ending| end(clock, ending)),
        evidence: format!("{} {}", if evidence.len() == 1 { "event" } else { "events" }, evidence.join(", ")),
        count: match together {
            _ if found.is_withdrawn() => 0,
            Some(together) => together.count,
            None => 1,
        },
        is_certain: *confidence == Confidence::Certain,
    }
}

/// How a finding is named on the page.
pub fn anchor(found: &Found) -> String {
    format!("f{}", found.number + 1)
}

fn end(clock: &Clock, ending: &Ending) -> Over {
    let Ending { stage, at, headline, notes } = ending;
    Over { word: stage.id(), at: clock.time(*at), headline: headline.clone(), notes: notes.clone() }
}

/// The most urgent ones, each of another rule while there are others; and how many findings there are besides.
pub fn lead(sections: &[Section]) -> (Vec<Sentence>, u64) {
    let mut lead: Vec<Sentence> = Vec::new();
    let groups = || sections.iter().flat_map(|section| section.groups.iter().map(move |group| (section, group)));
    let all: u64 = groups().map(|(_, group)| group.count()).sum();
    for section in sections {
        let mut cards: Vec<_> = section
            .groups
            .iter()
            .flat_map(|group| {
                let mut cards: Vec<_> = group.cards.iter().filter(|card| card.count == 1).collect();
                // What is certain before what is not; else in their order.
                cards.sort_by_key(|card| !card.is_certain);
                cards.into_iter().enumerate()
            })
            .collect();
        // What lasts, or was over at once, before what is over by now.
        cards.sort_by_key(|(place, card)| (*place, card.ending.is_some()));
        for (_, card) in cards.into_iter().take(SENTENCES - lead.len()) {
            lead.push(Sentence {
                anchor: card.anchor.clone(),
                word: card.word,
                severity: card.severity,
                headline: card.headline.clone(),
                is_over: card.ending.is_some(),
                container: card.notes.iter().find(|note| note.label == "container").map(|note| note.text.clone()),
                fix: card.fixes.first().filter(|fix| lead.iter().all(|said| said.fix.as_ref() != Some(fix))).cloned(),
            });
        }
    }
    let more = all - (lead.len() as u64).min(all);
    (lead, more)
}
