//! What runs inside a booted kernel, after `tracer doctor`.

/// One thing to run.
#[derive(Debug, Clone)]
pub enum Job {
    /// The kernel tests, with these arguments.
    Tests(Vec<String>),
    /// A program of the package `tracer-tests`, with its arguments. It says for itself how it
    /// went, and its exit code counts.
    Program(&'static str, Vec<String>),
}

impl Job {
    /// Its part of the first process's script.
    pub fn script(&self) -> String {
        match self {
            Self::Tests(arguments) => include_str!("tests.sh").replace("@ARGUMENTS@", &quoted(arguments)),
            Self::Program(name, arguments) => {
                let arguments = quoted(arguments);
                format!(
                    "echo 'vm: {name} begins'\n/target/release/{name} {arguments}\necho \"vm: {name} ended with $?\"\n"
                )
            }
        }
    }

    /// Nothing to judge is asked for.
    pub fn is_list(&self) -> bool {
        matches!(self, Self::Tests(arguments) if arguments.iter().any(|argument| argument == "--list"))
    }
}

fn quoted(arguments: &[String]) -> String {
    let quoted = arguments.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''")));
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_arrive_as_they_are() {
        let script = Job::Program("verifier", vec!["a b".to_owned(), "it's".to_owned()]).script();
        assert!(script.contains(r"/target/release/verifier 'a b' 'it'\''s'"), "{script}");
    }
}
