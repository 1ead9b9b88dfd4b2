//! The names that are most like one that nobody has: it may be a slip.

use crate::ident::quote;

/// How many are told.
const TOLD: usize = 5;
/// Names that are less like it than this are others. Between 0 and 1, after Jaro and Winkler.
const LEAST: f64 = 0.8;
/// A longer name is compared by its beginning.
const COMPARED: usize = 64;
/// A part that is shorter says nothing.
const SHORTEST_PART: usize = 3;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Nearest {
    asked: String,
    /// The best so far, and how like it they are, the best first.
    best: Vec<(f64, String)>,
}

impl Nearest {
    pub(super) fn new(asked: &[u8]) -> Self {
        Self { asked: comparable(asked), best: Vec::new() }
    }

    /// Somebody has that name.
    pub(super) fn offer(&mut self, name: &[u8]) {
        let shown = quote(name);
        if name.is_empty() || self.best.iter().any(|(_, known)| *known == shown) {
            return;
        }
        let name = comparable(name);
        let is_part = |part: &str, whole: &str| part.len() >= SHORTEST_PART && whole.contains(part);
        let likeness = if is_part(&name, &self.asked) || is_part(&self.asked, &name) {
            1.0
        } else {
            strsim::jaro_winkler(&name, &self.asked)
        };
        if likeness < LEAST {
            return;
        }
        let at = self.best.partition_point(|(better, _)| *better >= likeness);
        self.best.insert(at, (likeness, shown));
        self.best.truncate(TOLD);
    }

    /// Those that are told, quoted.
    pub(super) fn names(self) -> Vec<String> {
        self.best.into_iter().map(|(_, name)| name).collect()
    }
}

fn comparable(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_lowercase().chars().take(COMPARED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest(asked: &str, names: &[&str]) -> Vec<String> {
        let mut nearest = Nearest::new(asked.as_bytes());
        names.iter().for_each(|name| nearest.offer(name.as_bytes()));
        nearest.names()
    }

    #[test]
    fn slips_are_near_and_other_names_are_not() {
        let names = ["redis-server", "redis-cli", "nginx", "sleep", "tmux: server", "", "redis-server"];
        assert_eq!(nearest("redis", &names), ["redis-server", "redis-cli"]);
        assert_eq!(nearest("rdis-server", &names)[0], "redis-server");
        assert_eq!(nearest("Ngnix", &names), ["nginx"]);
        assert_eq!(nearest("tmux", &names), ["\"tmux: server\""]);
        assert_eq!(nearest("zz", &names), [""; 0]);
        assert_eq!(nearest("", &names), [""; 0]);
    }

    #[test]
    fn of_many_only_the_best_are_kept() {
        let names: Vec<_> = (0..1000).map(|i| format!("worker-{i}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).chain(["worker"]).collect();
        assert_eq!(nearest("workr", &names).len(), TOLD);
        let long = "x".repeat(100_000);
        assert_eq!(nearest(&long, &[&long]).len(), 1);
    }
}
