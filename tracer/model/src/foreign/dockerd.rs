//! Answers of the Docker Engine API about a container.

use serde::Deserialize;

use crate::host::Container;

/// One of the answer to `/containers/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    names: Option<Vec<String>>,
    image: Option<String>,
}

/// The answer to `/containers/ID/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    name: Option<String>,
    config: Option<Config>,
    host_config: Option<HostConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    image: Option<String>,
    stop_signal: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    pid_mode: Option<String>,
}

/// Takes in the answer to `/containers/json`, of which one container was asked for.
///
/// # Errors
/// If it is no such answer.
pub fn listed(answer: &[u8], container: &mut Container) -> serde_json::Result<()> {
    let listed: Vec<Listed> = serde_json::from_slice(answer)?;
    if let Some(listed) = listed.into_iter().next() {
        container.name = listed.names.and_then(|names| names.into_iter().next()).as_deref().map(plain);
        container.image = listed.image;
    }
    Ok(())
}

/// Takes in the answer to `/containers/ID/json`.
///
/// # Errors
/// If it is no such answer.
pub fn inspected(answer: &[u8], container: &mut Container) -> serde_json::Result<()> {
    let found: Inspected = serde_json::from_slice(answer)?;
    container.name = found.name.as_deref().map(plain);
    if let Some(config) = found.config {
        container.image = config.image;
        container.stop_signal = config.stop_signal;
    }
    // `private` and nothing mean the same.
    let pid_mode = found.host_config.and_then(|config| config.pid_mode);
    container.pid_mode = pid_mode.filter(|mode| !mode.is_empty() && mode != "private");
    Ok(())
}

/// Docker's names begin with a slash, as those of links once did.
fn plain(name: &str) -> String {
    name.trim_start_matches('/').to_owned()
}
