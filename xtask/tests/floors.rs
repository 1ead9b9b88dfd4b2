//! The floors of the house: an import goes down, never up. `docs/architecture.md` says what stands on which.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What the page says.
#[derive(Default)]
struct Plan {
    /// Each folder of sources and its modules, from the ground up.
    floors: Vec<(PathBuf, Vec<String>)>,
}

impl Plan {
    /// Of the section "Floors": rows of a folder with its modules.
    fn read(page: &str) -> Self {
        let mut plan = Self::default();
        let lines = page.lines().skip_while(|line| *line != "## Floors").skip(1);
        for line in lines.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(quoted).collect();
            match &cells[..] {
                [folder, modules, ..] if folder.len() == 1 => {
                    let folder = Path::new(&folder[0]);
                    match plan.floors.iter_mut().find(|(known, _)| known == folder) {
                        Some((_, known)) => known.extend_from_slice(modules),
                        None => plan.floors.push((folder.to_owned(), modules.clone())),
                    }
                }
                _ => panic!("this row is not understood: {line}"),
            }
        }
        plan
    }

    /// How high each module stands.
    fn heights(&self) -> BTreeMap<&str, usize> {
        let all: Vec<_> = self.floors.iter().flat_map(|(_, modules)| modules).map(String::as_str).collect();
        let heights: BTreeMap<_, _> = (0..).zip(&all).map(|(height, &module)| (module, height)).collect();
        assert_eq!(heights.len(), all.len(), "a module stands on two floors");
        heights
    }
}

/// The words between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A module of a file and what else of its crate it names, with the number of the line.
struct Source {
    module: String,
    names: Vec<(usize, String)>,
}

impl Source {
    /// `path` is below the folder of sources. Comments and tests do not count.
    fn read(path: &Path, text: &str) -> Self {
        let mut place: Vec<_> = path.with_extension("").iter().map(|name| name.display().to_string()).collect();
        let module = place[0].clone();
        // What the program says `tracer::` to is `crate::` to the library.
        let own = if module == "main" { "tracer::" } else { "crate::" };
        place.push(String::new());
        let code = code(text);
        let mut names = Vec::new();
        for (at, _) in code.match_indices(own).filter(|&(at, _)| is_start(&code, at)) {
            names.extend(heads(&code[at + own.len()..]).into_iter().map(|name| (at, name)));
        }
        for (at, _) in code.match_indices("super::").filter(|&(at, _)| is_start(&code, at)) {
            let rest = code[at..].trim_start_matches("super::");
            let ups = (code.len() - at - rest.len()) / "super::".len();
            // Only from the outermost module does it lead to another one.
            if ups + 1 == place.len() {
                names.extend(heads(rest).into_iter().map(|name| (at, name)));
            }
        }
        let names = names.into_iter().map(|(at, name)| (code[..at].matches('\n').count() + 1, name)).collect();
        Self { module, names }
    }
}

/// Whether no longer word or path ends there.
fn is_start(code: &str, at: usize) -> bool {
    !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
}

/// The first words of what a path goes on with: of one, or of all between braces.
fn heads(rest: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(list) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let (mut depth, mut heads, mut is_next) = (0, Vec::new(), true);
    for (at, c) in list.char_indices() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => is_next = true,
            c if is_next && c.is_alphanumeric() => {
                heads.push(word(&list[at..]));
                is_next = false;
            }
            _ => {}
        }
    }
    heads
}

/// The text without comments and without items that are for tests; its lines stay where they are.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            code.push('\n');
            // The formatter ends an item at the margin.
            for line in lines.by_ref() {
                code.push('\n');
                if line == "}" || line.ends_with(';') && !line.starts_with(' ') {
                    break;
                }
            }
            continue;
        }
        code += line.split("//").next().unwrap_or_default();
        code.push('\n');
    }
    code
}

/// The files that only tests have, as far as `text`, the module at `path`, says.
fn for_tests(path: &Path, text: &str) -> Vec<PathBuf> {
    let lines: Vec<_> = text.lines().collect();
    let pairs = lines.windows(2).filter(|pair| pair[0].starts_with("#[cfg(") && pair[0].contains("test"));
    let names = pairs.filter_map(|pair| pair[1].trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    let folder = if path == Path::new("lib.rs") { PathBuf::new() } else { path.with_extension("") };
    names.map(|name| folder.join(name).with_extension("rs")).collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_import_runs_upwards() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let plan = Plan::read(&fs::read_to_string(root.join("docs/architecture.md")).unwrap());
    assert!(plan.floors.len() >= 2, "the page has no floors");
    let heights = plan.heights();
    let (mut faults, mut seen) = (Vec::new(), BTreeSet::new());
    for (folder, modules) in &plan.floors {
        let mut paths = Vec::new();
        files(&root.join(folder), &mut paths);
        paths.sort();
        let texts: Vec<_> = paths
            .iter()
            .map(|path| {
                let below = path.strip_prefix(root.join(folder)).unwrap();
                (below, fs::read_to_string(path).unwrap())
            })
            .collect();
        let tests: BTreeSet<_> = texts.iter().flat_map(|(path, text)| for_tests(path, text)).collect();
        for (path, text) in &texts {
            if *path == Path::new("lib.rs") || tests.contains(*path) {
                continue;
            }
            let Source { module, names } = Source::read(path, text);
            seen.insert(module.clone());
            if !modules.contains(&module) {
                faults.push(format!("{}: the module {module} has no floor", folder.join(path).display()));
                continue;
            }
            for (line, name) in names.into_iter().filter(|(_, name)| *name != module) {
                let place = format!("{}:{line}", folder.join(path).display());
                match heights.get(&*name) {
                    Some(height) if *height < heights[&*module] => {}
                    Some(_) => faults.push(format!("{place}: {name} stands above {module}")),
                    None => faults.push(format!("{place}: {name} has no floor")),
                }
            }
        }
    }
    let gone = heights.keys().filter(|module| !seen.contains(**module));
    faults.extend(gone.map(|module| format!("the module {module} is gone")));
    assert!(faults.is_empty(), "see \"Floors\" in docs/architecture.md:\n{}", faults.join("\n"));
}

#[test]
fn what_a_file_names_is_found_with_its_line() {
    let text = "//! crate::engine\nuse crate::{\n    event::{Event, EventKind},\n    ident,\n};\n\n\
                fn f() { crate::rules::g() }\n\n#[cfg(test)]\nmod tests {\n    use crate::story;\n}\nuse super::world;\n";
    let Source { module, names } = Source::read(Path::new("change.rs"), text);
    assert_eq!(module, "change");
    let mut names: Vec<_> = names.iter().map(|(line, name)| (*line, &**name)).collect();
    names.sort_unstable();
    assert_eq!(names, [(2, "event"), (2, "ident"), (7, "rules"), (13, "world")]);
    // From further inside it leads to the module's own file.
    assert!(Source::read(Path::new("sink/json.rs"), "use super::Sink;\n").names.is_empty());
}
