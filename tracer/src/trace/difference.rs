//! What an image of the world has that an earlier one has not: with very many processes, most are the same for minutes,
//! and whole images of them would be a large part of a trace. A writer writes the differences ([`Known`]), and a reader
//! puts them together with the image that they follow ([`joined`]).

use std::hash::{BuildHasher, Hasher, RandomState};

use rustc_hash::{FxHashMap, FxHashSet};
use tracer_common::{FreeRecord, Header, RecordKind, TaskId};
use zerocopy::{FromBytes, IntoBytes};

use crate::trace::Records;

/// A process: when it was created, and its pid on the host.
type Id = (u64, u32);

/// What a record of an image says about one process, and which. The others are about the world.
fn part_of(record: &[u8]) -> Option<(RecordKind, Id)> {
    let (header, rest) = Header::read_from_prefix(record).ok()?;
    let kind = RecordKind::from_number(header.kind)?;
    let is_of_process = matches!(
        kind,
        RecordKind::Row
            | RecordKind::CommandLine
            | RecordKind::Running
            | RecordKind::Exit
            | RecordKind::Notify
            | RecordKind::Contained
            | RecordKind::Free
    );
    let (TaskId { start, tgid, .. }, _) = TaskId::read_from_prefix(rest).ok()?;
    is_of_process.then_some((kind, (start, tgid)))
}

fn at(record: &[u8]) -> u64 {
    Header::read_from_prefix(record).map_or(0, |(header, _)| header.at)
}

/// What is in a file by now, as far as it takes to find out what has changed.
pub struct Known {
    /// A hash of all that was written about each process. Processes choose what is written, so it is keyed.
    said: FxHashMap<Id, u64>,
    hasher: RandomState,
}

impl Known {
    /// After this image.
    pub fn of(image: &[u8]) -> Self {
        let hasher = RandomState::new();
        Self { said: said(image, &hasher), hasher }
    }

    /// What an image has that is not known: its beginning, a release of each process that is gone, all about those that
    /// are new or have changed, whatever is about no process, and its end.
    pub fn difference(&self, image: &[u8]) -> Difference {
        let now = said(image, &self.hasher);
        let mut records = Vec::new();
        let mut all = Records(image);
        let begin = all.next().unwrap_or_default();
        records.extend_from_slice(begin);
        let mut gone: Vec<_> = self.said.keys().filter(|&id| !now.contains_key(id)).copied().collect();
        gone.sort_unstable();
        for (start, tgid) in gone {
            let len = size_of::<FreeRecord>() as u32;
            let header = Header { at: at(begin), kind: RecordKind::Free as u8, reserved: 0, cpu: 0, len };
            let id = TaskId { start, tgid, tid: tgid };
            records.extend_from_slice(FreeRecord { header, id }.as_bytes());
        }
        for record in all {
            let is_known = part_of(record).is_some_and(|(_, id)| self.said.get(&id) == now.get(&id));
            if !is_known {
                records.extend_from_slice(record);
            }
        }
        Difference { records, said: now }
    }

    /// That was written.
    pub fn learn(&mut self, difference: Difference) {
        self.said = difference.said;
    }
}

/// See [`Known::difference`].
pub struct Difference {
    /// In sequence.
    pub records: Vec<u8>,
    said: FxHashMap<Id, u64>,
}

/// A hash of what is said of each process, but not of when.
fn said(image: &[u8], hasher: &RandomState) -> FxHashMap<Id, u64> {
    let mut said: FxHashMap<Id, u64> = FxHashMap::default();
    for record in Records(image) {
        let Some((_, id)) = part_of(record) else { continue };
        let known = said.entry(id).or_default();
        let mut hash = hasher.build_hasher();
        hash.write_u64(*known);
        hash.write(record.get(size_of::<u64>()..).unwrap_or_default());
        *known = hash.finish();
    }
    said
}

/// The image that differences of it lead to, in their order.
pub fn joined(image: &[u8], differences: &[Vec<u8>]) -> Vec<u8> {
    let Some(last) = differences.last() else { return image.to_vec() };
    let (mut rows, mut ends, mut members) = (Vec::new(), Vec::new(), Vec::new());
    // Of a process the last one that speaks of it says all.
    let mut later: FxHashSet<Id> = FxHashSet::default();
    for part in differences.iter().rev().map(Vec::as_slice).chain([image]) {
        let mut here: FxHashSet<Id> = FxHashSet::default();
        let mut ended = 0;
        for record in Records(part) {
            let Some((kind, id)) = part_of(record).filter(|(_, id)| !later.contains(id)) else { continue };
            here.insert(id);
            match kind {
                RecordKind::Row | RecordKind::CommandLine | RecordKind::Running => rows.push((id, record)),
                RecordKind::Exit => {
                    ended = at(record);
                    ends.push(((ended, id), record));
                }
                // It follows its exit.
                RecordKind::Notify => ends.push(((ended, id), record)),
                RecordKind::Contained => members.push((id, record)),
                _ => {}
            }
        }
        later.extend(here);
    }
    // As in any image: the oldest first, and in order of their ends. What belongs together stays so.
    rows.sort_by_key(|&(id, _)| id);
    ends.sort_by_key(|&(place, _)| place);
    members.sort_by_key(|&(id, _)| id);
    let is_end = |record: &[u8]| record.get(size_of::<u64>()) == Some(&(RecordKind::SnapshotEnd as u8));
    let mut of_world = Records(last).filter(|record| part_of(record).is_none() && !is_end(record));
    let begin = of_world.next();
    let end = Records(last).filter(|record| is_end(record));
    let rows = rows.into_iter().map(|(_, record)| record).chain(ends.into_iter().map(|(_, record)| record));
    let members = members.into_iter().map(|(_, record)| record);
    begin.into_iter().chain(rows).chain(of_world).chain(members).chain(end).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        detector::Detector,
        event::{Adopter, Event, EventKind},
        host::Container,
        source::{decode::decode, encode::image},
        story::{Story, born, born_in, end, key, task},
        thresholds::Thresholds,
        world::World,
    };

    fn shown(world: &World) -> Vec<String> {
        let of = |process: &crate::world::Process| {
            format!(
                "{} {:?} {:?} {:?} {:?}",
                process.identity(),
                process.args,
                process.parent,
                process.state,
                world.container_of(&process.identity()).map(|container| &container.id)
            )
        };
        world.processes().map(of).collect()
    }

    fn restored(image: &[u8]) -> Detector {
        let mut detector = Detector::without_rules(&Thresholds::default());
        for record in Records(image) {
            detector.step(&decode(record).unwrap(), record);
        }
        detector
    }

    #[test]
    fn an_image_and_all_differences_since_are_the_image_of_now() {
        let mut story = Story::new();
        for pid in 10..200 {
            story.fork(born(pid, pid / 10)).exec(pid, &format!("worker {pid}"));
        }
        let whole = image(story.world());
        let mut known = Known::of(&whole);
        let mut differences = Vec::new();
        let web = Container { id: "web".into(), ..Container::default() };
        let steps: [&dyn Fn(&mut Story); 4] = [
            &|story| {
                story.exit(end(150, 15, Adopter::None)).free(150);
            },
            &|story| {
                story.fork(born(300, 20)).exec(300, "late one").exit(end(151, 15, Adopter::None));
                story.fork(born_in(77, 301, 1, 300)).event(EventKind::Container(Box::new(web.clone())));
                story.event(EventKind::Contained(key(301), "web".into()));
            },
            &|story| {
                story.exec(10, "another program").free(151);
            },
            &|story| {
                story.exit(end(20, 2, Adopter::Subreaper(task(2)))).free(20);
            },
        ];
        for step in steps {
            step(&mut story);
            let now = image(story.world());
            let difference = known.difference(&now);
            assert!(difference.records.len() < now.len() / 4, "{} of {}", difference.records.len(), now.len());
            differences.push(difference.records.clone());
            known.learn(difference);
            let (joined, whole) = (restored(&joined(&whole, &differences)), restored(&now));
            assert_eq!(shown(joined.world()), shown(whole.world()));
            assert!(joined.world().is_whole());
        }
    }

    #[test]
    fn what_is_no_image_is_put_together_too() {
        let tick = Event { at: crate::time::BootNs(1), cpu: 0, kind: EventKind::Tick };
        let mut record = Vec::new();
        crate::source::encode::encode(&tick, &mut record);
        assert!(joined(b"nothing", &[b"nothing".to_vec()]).is_empty());
        assert_eq!(joined(&record, &[record.clone()]), record);
    }
}
