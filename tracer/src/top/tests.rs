//! The screen as a whole: what it shows of a recording, how it holds, and what the keys do.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, mpsc::channel},
    thread,
    time::{Duration, Instant},
};

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use jiff::tz::TimeZone;
use ratatui::{buffer::Buffer, layout::Rect};

use crate::{
    detector::Detector,
    event::{Adopter, Event as Record, EventKind, Exec, Fork, Look, Looked, TaskInfo},
    ident::{Args, Comm, ProcKey, is_visible, lies::LIES},
    rules::Wanted,
    signal::Signal,
    source::trace::Trace,
    story::{after_boot, born, born_in, end, kill, task},
    thresholds::Thresholds,
    time::{BootNs, Span},
    top::{
        board::{Ask, Board},
        deck::Deck,
        draw::Canvas,
        found::{Found, Order},
        lately::Lately,
        query::Query,
        rows::{Maker, RowId, What},
        scene::{Flow, Scene},
        state::{Act, Focus, Page, Question, State, Subject},
        story::Story,
        tape::{Place, Tape},
    },
};

/// A dropped SIGTERM, two zombies, an adoption, and the end of a namespace.
const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/commands/demo/demo.mcap");

/// A scene of the demo, so long before its end, once all of it has been read; and the story that was asked for.
pub(super) fn demo(before_end: Span, ask: Option<fn(&Scene) -> Ask>) -> (Arc<Scene>, Option<Arc<Story>>) {
    let file = Path::new(DEMO);
    let mut trace = Trace::open(file).unwrap();
    let (_, until) = trace.span().unwrap().unwrap();
    let tape = Tape { thresholds: trace.start().thresholds, place: Place::File(file.to_owned()) };
    let (board, (asks, asked)) = (Arc::new(Board::default()), channel());
    let mut deck = Deck::open(tape, Some(until - before_end), false, board.clone(), asked).unwrap();
    let playing = thread::spawn(move || deck.run().unwrap());
    let is_whole = |scene: &Scene| !scene.notes.iter().any(|note| note.starts_with("reading"));
    let scene = awaited(|| board.scene().filter(|scene| is_whole(scene)));
    let story = ask.map(|ask| {
        asks.send(ask(&scene)).unwrap();
        awaited(|| board.story())
    });
    asks.send(Ask::Leave).unwrap();
    playing.join().unwrap();
    (scene, story)
}

/// Waits for what another thread makes.
fn awaited<T>(mut it: impl FnMut() -> Option<T>) -> T {
    for _ in 0..6_000 {
        if let Some(it) = it() {
            return it;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not come in a minute");
}

pub(super) fn state(scene: Arc<Scene>, width: u16, height: u16) -> State {
    let mut state = State { area: Rect::new(0, 0, width, height), ..State::default() };
    state.take(scene);
    state
}

fn drawn(state: &State) -> Buffer {
    let mut out = Buffer::empty(state.area);
    Canvas { colour: true, zone: &TimeZone::UTC, title: "demo.mcap" }.draw(state, &mut out);
    out
}

fn text(out: &Buffer) -> String {
    let line = |y| {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..out.area.width {
            let symbol = out[(x, y)].symbol();
            if skip == 0 {
                line.push_str(symbol);
                skip = crate::console::style::columns(symbol).max(1);
            }
            skip -= 1;
        }
        line.trim_end().to_owned()
    };
    (0..out.area.height).map(line).collect::<Vec<_>>().join("\n")
}

pub(super) fn press(state: &mut State, keys: &str) -> Vec<Act> {
    keys.chars().filter_map(|c| state.input(&key(KeyCode::Char(c)))).collect()
}

fn key(code: KeyCode) -> Event {
    Event::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

#[test]
fn the_end_of_a_recording_shows_what_was_found() {
    let (scene, _) = demo(Span::ZERO, None);
    for (width, height) in [(80, 24), (160, 50)] {
        insta::assert_snapshot!(format!("end-{width}x{height}"), text(&drawn(&state(scene.clone(), width, height))));
    }
}

#[test]
fn a_moment_of_a_recording_shows_zombies_and_whom_they_belong_to() {
    let (scene, _) = demo(Span::ms(300), None);
    for (width, height) in [(80, 24), (160, 50)] {
        let mut state = state(scene.clone(), width, height);
        press(&mut state, "j");
        insta::assert_snapshot!(format!("moment-{width}x{height}"), text(&drawn(&state)));
    }
}

#[test]
fn help_fits_and_rules_are_explained() {
    let (scene, _) = demo(Span::ZERO, None);
    let mut state = state(scene, 80, 24);
    press(&mut state, "?");
    insta::assert_snapshot!("help-80x24", text(&drawn(&state)));
    press(&mut state, "qe");
    assert!(matches!(state.page, Some((Page::Rule(rule), 0)) if rule.name == "namespace-killed"));
    assert!(text(&drawn(&state)).contains("explain namespace-killed"));
}

#[test]
fn a_process_has_the_page_that_why_prints() {
    let (scene, story) = demo(Span::ZERO, Some(|scene| Ask::Story(scene.entries[0].told.process.key, 60)));
    let mut state = state(scene, 160, 50);
    let key = state.process().unwrap();
    state.story = story;
    state.page = Some((Page::Why(key), 0));
    let text = text(&drawn(&state));
    for words in ["sleep (pid 154, pid 1 in namespace", "Signals to it", "DROPPED: it is pid 1", "ended by SIGKILL"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn without_colours_the_same_is_said() {
    let (scene, _) = demo(Span::ms(300), None);
    let state = state(scene, 100, 30);
    let mut plain = Buffer::empty(state.area);
    Canvas { colour: false, zone: &TimeZone::UTC, title: "demo.mcap" }.draw(&state, &mut plain);
    assert_eq!(text(&plain), text(&drawn(&state)));
    let reset = ratatui::style::Color::Reset;
    assert!(plain.content.iter().all(|cell| cell.fg == reset && cell.bg == reset));
}

/// What a scene is made of, step by step.
#[derive(Default)]
struct Stream {
    lately: Lately,
    found: Found,
}

impl Stream {
    fn step(&mut self, detector: &mut Detector, at: BootNs, kind: EventKind) {
        let event = Record { at, cpu: 0, kind };
        let (step, world) = detector.step(&event, &[]);
        self.lately.step(world, &step);
        step.findings.iter().for_each(|finding| self.found.add(Arc::new(finding.clone())));
    }

    /// Time passes; whatever is looked at is as it was.
    fn tick(&mut self, detector: &mut Detector, at: BootNs) {
        for wanted in detector.due(at, usize::MAX) {
            let Wanted::Look(key) = wanted else { continue };
            let process = detector.world().get(key);
            let found = process.map(|process| {
                let ppid = detector.world().parent(key).map_or(0, |parent| parent.key.tgid);
                Looked { state: if process.is_zombie() { b'Z' } else { b'S' }, ppid, pts: None }
            });
            self.step(detector, at, EventKind::Look(Look { key, found }));
        }
        self.step(detector, at, EventKind::Tick);
    }
}

/// A world in which everything that has a name has a misleading one.
fn hostile() -> Scene {
    let mut detector = Detector::new(&Thresholds::default());
    let mut stream = Stream::default();
    let fork = |task: TaskInfo| EventKind::Fork(Box::new(Fork { task, creator: task.parent }));
    let mut events = vec![fork(born(1, 0)), fork(born_in(7, 2, 1, 1))];
    let wide: &[u8] = "日本語の名前".as_bytes();
    for (pid, name) in (10..).zip(LIES.into_iter().chain([wide])) {
        let line = Args { bytes: [name, b"\0", name, b"\0"].concat().into(), ..Args::default() };
        let comm = Comm::cut(name);
        let exec = Exec { task: task(pid), comm, old_tid: pid, args: line, mount_ns: 0, ignored: Some(0) };
        events.extend([fork(born_in(7, pid, pid, 2)), EventKind::Exec(Box::new(exec))]);
        events.push(EventKind::Signal(kill(pid, 2, Signal::TERM)));
        if pid % 3 == 0 {
            events.push(EventKind::Exit(Box::new(end(pid, 2, Adopter::None))));
        }
        if pid % 6 == 0 {
            events.push(EventKind::Free(task(pid)));
        }
    }
    for (ms, kind) in (1_000..).zip(events) {
        stream.step(&mut detector, after_boot(ms), kind);
    }
    for ms in [2_000, 3_000, 4_000] {
        stream.tick(&mut detector, after_boot(ms));
    }
    let Stream { lately, found } = stream;
    let (world, accused) = (detector.world(), found.accused(detector.world().now()));
    let query = Query::default();
    Scene {
        at: world.now(),
        rows: Maker { world, lately: &lately, accused: &accused, query: &query }.rows(),
        entries: found.ranked(Order::Present),
        ..Scene::default()
    }
}

#[test]
fn no_name_breaks_the_grid_whatever_the_size() {
    let scene = Arc::new(hostile());
    assert!(!scene.entries.is_empty(), "something is found");
    assert!(scene.rows.len() > LIES.len(), "{}", scene.rows.len());
    for (width, height) in [(60, 16), (61, 17), (80, 24), (100, 30), (160, 50), (300, 100)] {
        let mut state = state(scene.clone(), width, height);
        for keys in ["", "j", "\t", "G", "gz", "z?", "qw"] {
            for c in keys.chars() {
                state.input(&if c == '\t' { key(KeyCode::Tab) } else { key(KeyCode::Char(c)) });
            }
            let out = drawn(&state);
            for cell in &out.content {
                let ours = |c: char| is_visible(c) || "─│▾▸→✓✗×▼·▁▂▃▄▅▆▇█…".contains(c);
                assert!(cell.symbol().chars().all(ours), "{:?}", cell.symbol());
            }
        }
    }
    for (width, height) in [(0, 0), (1, 1), (59, 16), (60, 15), (10, 100)] {
        let out = drawn(&state(scene.clone(), width, height));
        assert!(width < 10 || text(&out).starts_with("too small"), "{width}x{height}");
    }
}

#[test]
fn what_has_just_died_is_shown_where_it_was_with_who_reaped_it() {
    let (scene, _) = demo(Span::ZERO, None);
    let text = text(&drawn(&state(scene, 160, 50)));
    assert!(text.contains("sh killed by SIGKILL, reaped by tracer (151)"), "{text}");
}

#[test]
fn a_selection_is_of_a_process_not_of_a_line() {
    let (scene, _) = demo(Span::ms(300), None);
    let mut state = state(scene.clone(), 80, 24);
    state.input(&key(KeyCode::Tab));
    state.input(&key(KeyCode::Tab));
    state.input(&key(KeyCode::Tab));
    let (row, at) = (state.row.unwrap(), state.row_at);
    let mut later = (*scene).clone();
    let mut above = later.rows[0].clone();
    above.id = RowId::Process(ProcKey { start: BootNs(1), tgid: 4_000_000 });
    later.rows.insert(0, above);
    state.take(Arc::new(later));
    assert_eq!((state.row, state.row_at), (Some(row), at + 1));
    // It is gone: the line that took its place.
    let mut last = (*scene).clone();
    last.rows.retain(|other| other.id != row);
    state.take(Arc::new(last));
    assert!(state.row.is_some() && state.row != Some(row));
}

#[test]
fn folds_hide_what_is_below_and_stay_with_their_row() {
    let (scene, _) = demo(Span::ms(300), None);
    let mut state = state(scene.clone(), 80, 24);
    let all = state.visible.len();
    state.focus = Focus::Tree;
    state.select_row(0);
    press(&mut state, "h");
    let folded = state.visible.len();
    assert!(folded < all && matches!(scene.rows[0].what, What::Place(_)));
    state.take(scene);
    assert_eq!(state.visible.len(), folded);
    press(&mut state, "l");
    assert_eq!(state.visible.len(), all);
    press(&mut state, "-");
    assert_eq!(state.visible.len(), 2);
    // A finding brings its process to light.
    state.select_entry(0);
    assert!(state.visible.len() > 2);
}

#[test]
fn keys_ask_for_moments() {
    let (scene, _) = demo(Span::ms(300), None);
    let mut state = state(scene.clone(), 80, 24);
    let seek = |at| vec![Act::Ask(Ask::Seek(at))];
    assert_eq!(press(&mut state, ","), seek(scene.at - Span::SECOND));
    assert_eq!(press(&mut state, ">"), seek(scene.at + Span::seconds(10)));
    let marks = &scene.line.marks;
    let next = marks.iter().map(|mark| mark.at).filter(|&at| at > scene.at).min().unwrap();
    let before = marks.iter().map(|mark| mark.at).filter(|&at| at < scene.at).max().unwrap();
    assert_eq!((press(&mut state, "n"), press(&mut state, "N")), (seek(next), seek(before)));
    assert_eq!(press(&mut state, " "), [Act::Ask(Ask::Play(true))]);
    press(&mut state, "t+1s");
    assert_eq!(state.input(&key(KeyCode::Enter)), Some(seek(scene.line.span.0 + Span::SECOND).remove(0)));
    press(&mut state, "tnoon");
    assert_eq!(state.input(&key(KeyCode::Enter)), None);
    assert!(text(&drawn(&state)).contains("give a time"));
    state.input(&key(KeyCode::Esc));
    assert!(state.prompt.is_none());
}

#[test]
fn a_speed_can_be_chosen_before_a_recording_is_played() {
    let (scene, _) = demo(Span::ms(300), None);
    let mut state = state(scene.clone(), 80, 24);
    assert_eq!(press(&mut state, "[]"), [0.5, 2.0].map(|speed| Act::Ask(Ask::Speed(speed))));
    let faster = Scene { flow: Flow::Still { is_live: false, speed: 100.0 }, ..(*scene).clone() };
    state.take(Arc::new(faster));
    assert!(text(&drawn(&state)).contains(" paused, 100x "));
    assert_eq!(press(&mut state, "]"), []);
    // The present has one speed.
    state.take(Arc::new(Scene { flow: Flow::Live, ..(*scene).clone() }));
    assert_eq!(press(&mut state, "[]"), []);
}

#[test]
fn the_mouse_scrubs_and_selects() {
    let (scene, _) = demo(Span::ms(300), None);
    let mut state = state(scene.clone(), 80, 24);
    let parts = state.parts().unwrap();
    let click = |column, row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    };
    let bars = parts.bars();
    let first = state.input(&click(bars.x, bars.y));
    let last = state.input(&click(bars.right() - 1, bars.y));
    let (from, until) = scene.line.span;
    assert_eq!([first, last], [from, until].map(|at| Some(Act::Ask(Ask::Seek(at)))));
    state.input(&click(parts.tree.x, parts.tree.y + 2));
    assert_eq!((state.row_at, state.focus, state.subject), (1, Focus::Tree, Subject::Process));
    assert_eq!(press(&mut state, "m"), [Act::Mouse(true)]);
}

#[test]
fn the_filter_speaks_the_language_of_the_command_line() {
    let (scene, _) = demo(Span::ms(300), None);
    let mut state = state(scene, 80, 24);
    press(&mut state, "/--rule unreaped-child -p 154");
    let given = "--rule unreaped-child -p 154".to_owned();
    let ask = Ask::Query { given, only_troubled: false };
    assert_eq!(state.input(&key(KeyCode::Enter)), Some(Act::Ask(ask)));
    press(&mut state, "/");
    for _ in 0..40 {
        state.input(&key(KeyCode::Backspace));
    }
    press(&mut state, "--rul x");
    assert_eq!(state.input(&key(KeyCode::Enter)), None);
    let prompt = state.prompt.as_ref().unwrap();
    assert!(prompt.question == Question::Filter && prompt.error.as_ref().unwrap().contains("'--rul'"), "{prompt:?}");
}

#[test]
fn where_a_filter_lets_nothing_pass_it_is_not_said_that_nothing_was_found() {
    let (scene, _) = demo(Span::ms(300), None);
    let mut state = state(Arc::new(Scene { entries: Vec::new(), ..(*scene).clone() }), 80, 24);
    assert!(text(&drawn(&state)).contains("\nnothing was found\n"));
    state.given = "--rule zombie-leak".to_owned();
    assert!(text(&drawn(&state)).contains("\nnothing was found that passes the filter\n"));
}

#[test]
fn of_the_past_what_was_worst_stands_first_and_now_what_is_open() {
    let (scene, _) = demo(Span::ZERO, None);
    let past: Vec<_> = scene.entries.iter().map(|entry| (entry.told.rule.severity, entry.is_closed())).collect();
    assert!(past.iter().any(|&(_, is_closed)| is_closed));
    assert!(past.is_sorted_by_key(|&(severity, is_closed)| (std::cmp::Reverse(severity), is_closed)), "{past:?}");
    let mut found = Found::default();
    scene.entries.iter().flat_map(|entry| [Some(&entry.told), entry.end.as_ref()]).flatten().for_each(|finding| {
        found.add(finding.clone());
    });
    let now: Vec<_> = found.ranked(Order::Present).iter().map(|entry| entry.is_closed()).collect();
    assert!(now.is_sorted() && now.contains(&true) && now.contains(&false), "{now:?}");
}

#[test]
fn no_key_asks_for_an_end_of_anything_but_the_screen() {
    let (scene, _) = demo(Span::ZERO, None);
    let mut state = state(scene, 80, 24);
    for code in (1..=12).map(KeyCode::F).chain((' '..='~').map(KeyCode::Char)) {
        let act = state.input(&key(code));
        assert!(act != Some(Act::Quit) || code == KeyCode::Char('q'), "{code:?}");
        (state.prompt, state.page) = (None, None);
    }
    let control = |c| Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL));
    assert_eq!([control('c'), control('z')].map(|event| state.input(&event)), [Some(Act::Quit), Some(Act::Suspend)]);
    assert_eq!(state.scene.flow, Flow::Still { is_live: false, speed: 1.0 });
}

/// A world of that many processes, half of them children of the others.
fn crowd(processes: u32) -> Detector {
    let mut detector = Detector::new(&Thresholds::default());
    let fork = |pid, parent| {
        let task = born(pid, parent);
        EventKind::Fork(Box::new(Fork { task, creator: task.parent }))
    };
    let births = (1..=processes).map(|pid| fork(pid, if pid % 2 == 0 { pid - 1 } else { u32::from(pid > 1) }));
    for (ms, kind) in (1_000..).zip(births.chain([EventKind::Tick])) {
        detector.step(&Record { at: after_boot(ms), cpu: 0, kind }, &[]);
    }
    detector
}

/// Says with `--nocapture` what each part takes; the best of several, as this is no machine of its own.
#[test]
fn ten_thousand_processes_are_drawn_before_a_key_seems_slow() {
    let detector = crowd(10_000);
    let (world, lately, query, accused) = (detector.world(), Lately::default(), Query::default(), BTreeMap::new());
    let [mut making, mut taking, mut drawing] = [Duration::MAX; 3];
    for _ in 0..20 {
        let began = Instant::now();
        let rows = Maker { world, lately: &lately, accused: &accused, query: &query }.rows();
        making = making.min(began.elapsed());
        assert_eq!(rows.len(), 10_001);
        let scene = Arc::new(Scene { at: world.now(), rows, ..Scene::default() });
        let began = Instant::now();
        let state = state(scene, 160, 50);
        taking = taking.min(began.elapsed());
        let began = Instant::now();
        drawn(&state);
        drawing = drawing.min(began.elapsed());
    }
    println!("10,000 processes at 160x50: scene {making:?}, taken {taking:?}, drawn {drawing:?}");
    assert!(taking + drawing < Duration::from_millis(50), "{taking:?} {drawing:?}");
}
