//! What runs inside a booted kernel, after `tracer doctor`.

/// One thing to run.
#[derive(Debug, Clone)]
pub enum Job {
    /// The kernel tests, with these arguments.
    Tests(Vec<String>),
    /// A program of the package `tracer-tests`, with its arguments. It says for itself how it
    /// went, and its exit code counts.
    Program(&'static str, Vec<String>),
    /// A shell script of that name, which leaves in `code` how it went. What stands between its lines
    /// `vm: file NAME` and `vm: file ends` is in the log of the console only.
    Script(&'static str, &'static str),
}

impl Job {
    /// Its part of the first process's script.
    pub fn script(&self) -> String {
        match self {
            Self::Tests(arguments) => include_str!("tests.sh").replace("@ARGUMENTS@", &quoted(arguments)),
            Self::Script(name, script) => {
                format!("echo 'vm: {name} begins'\n{script}echo \"vm: {name} ended with $code\"\n")
            }
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

/// Variables of this environment that mean the same inside.
const PASSED_ON: [&str; 1] = ["TRACER_TESTS_HOOKS"];

/// What the first process's script needs, before the jobs, to have those that are set here.
pub fn exports(value: impl Fn(&str) -> Option<String>) -> String {
    let set = PASSED_ON.into_iter().filter_map(|name| Some((name, value(name)?)));
    set.map(|(name, value)| format!("export {name}={}\n", quoted(&[value]))).collect()
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

    #[test]
    fn what_is_set_here_is_set_inside() {
        let value = |name: &str| (name == "TRACER_TESTS_HOOKS").then(|| "kprobe".to_owned());
        assert_eq!(exports(value), "export TRACER_TESTS_HOOKS='kprobe'\n");
        assert_eq!(exports(|_| None), "");
    }
}
