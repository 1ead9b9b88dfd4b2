//! DuckDB, confined: it reads files of the lake, and can do nothing else, whatever the SQL is.
//!
//! Each of three would be enough, and none depends on another: only a single SELECT is run; the engine's own settings,
//! which are locked then; and Landlock, where the kernel has it.

use anyhow::{Context as _, Result, anyhow};
use arrow::{datatypes::Schema, record_batch::RecordBatch};
use duckdb::{Config, Connection};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _,
};

use crate::{embedded::tables, lake::Lake};

/// The newest version of Landlock whose rights are known here; an older kernel restricts less.
const LANDLOCK: ABI = ABI::V6;

/// Where the engine looks up how many processors it may use.
const READABLE: [&str; 2] = ["/proc/self/cgroup", "/sys/fs/cgroup"];

/// See the module.
pub struct Engine(Connection);

impl Engine {
    /// Starts it, and confines this process to reading that lake.
    ///
    /// # Errors
    /// If the kernel or the engine refuses something.
    pub fn start(lake: &Lake, memory: &str) -> Result<Self> {
        confine(lake).context("Landlock")?;
        let connection = Connection::open_in_memory_with_flags(Config::default()).context("cannot start the engine")?;
        let root = lake.root.to_str().context("the path of the lake is not UTF-8, and the engine takes no other")?;
        connection
            .execute_batch(&format!(
                // Nothing goes to a disk, such as what does not fit into memory. No access comes last: it locks the others.
                "SET temp_directory = ''; SET memory_limit = {}; SET autoinstall_known_extensions = false; \
                 SET autoload_known_extensions = false; SET allow_community_extensions = false; \
                 SET allowed_directories = [{}]; SET enable_external_access = false; SET lock_configuration = true;",
                quoted(memory),
                quoted(&format!("{root}/"))
            ))
            .map_err(told)?;
        Ok(Self(connection))
    }

    /// Makes the views that the SQL names.
    ///
    /// # Errors
    /// If a file is damaged.
    pub fn show(&self, lake: &Lake, sql: &str) -> Result<()> {
        for (table, columns) in tables(sql) {
            let patterns: Vec<_> = lake.patterns(table).iter().map(|pattern| quoted(pattern)).collect();
            let view = if patterns.is_empty() {
                let columns: Vec<_> = columns.iter().map(|(name, kind)| format!("NULL::{kind} AS {name}")).collect();
                format!("SELECT {}, NULL::DATE AS day, NULL::VARCHAR AS bucket WHERE false", columns.join(", "))
            } else {
                // Times are UTC; with a zone, they could not be cut to hours without another extension. All files of a lake
                // have the same columns, that is what its version says: with `union_by_name`, each would be opened to ask.
                format!(
                    "SELECT * EXCLUDE (\"table\") REPLACE (CAST(time AS TIMESTAMP) AS time) FROM read_parquet([{}], \
                     hive_partitioning = true, hive_types = {{'day': DATE, 'bucket': VARCHAR}})",
                    patterns.join(", ")
                )
            };
            self.0.execute_batch(&format!("CREATE VIEW {table} AS {view}")).map_err(told)?;
        }
        Ok(())
    }

    /// Hands the answer to the function.
    ///
    /// # Errors
    /// What the engine says, and what the function does.
    pub fn ask<T>(&self, sql: &str, take: impl FnOnce(&Schema, &[RecordBatch]) -> Result<T>) -> Result<T> {
        let mut statement = self.0.prepare(&only_select(sql)).map_err(told)?;
        let answer = statement.query_arrow([]).map_err(told)?;
        let schema = answer.get_schema();
        take(&schema, &answer.collect::<Vec<_>>())
    }

    /// What the engine did for the answer.
    ///
    /// # Errors
    /// What the engine says.
    pub fn explain(&self, sql: &str) -> Result<String> {
        let explain = format!("EXPLAIN ANALYZE {}", only_select(sql));
        self.0.query_row(&explain, [], |row| row.get(1)).map_err(told)
    }
}

/// The engine's own parser refuses all but one SELECT there.
fn only_select(sql: &str) -> String {
    format!("SELECT * FROM query({})", quoted(sql.trim().trim_end_matches(';')))
}

/// As a word of SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What the engine complains about, without the place in SQL that nobody wrote.
fn told(error: duckdb::Error) -> anyhow::Error {
    let text = error.to_string();
    let text = text.split("\n\nLINE ").next().unwrap_or_default();
    let next = if text.contains("Expected a single SELECT") { "; a lake is only read, by one SELECT" } else { "" };
    anyhow!("the engine says: {text}{next}")
}

/// From now on, this process can read below the lake, and open little else.
fn confine(lake: &Lake) -> Result<()> {
    let read = AccessFs::from_read(LANDLOCK) & !AccessFs::Execute;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .create()?
        .add_rule(PathBeneath::new(PathFd::new(&lake.root)?, read))?;
    for path in READABLE {
        // What is not there cannot be opened anyway.
        if let Ok(file) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(file, read))?;
        }
    }
    rules.restrict_self()?;
    Ok(())
}
