//! Locates etcd, etcdutl, kube-apiserver, kube-controller-manager and kubectl.
//!
//! Missing binaries are built from Go modules, once for each version, into a cache folder outside of the source tree.
//! `KUBEBUILDER_ASSETS` names a folder with prebuilt binaries.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Error, context};

const KUBERNETES: &str = "v1.36.3";
const KUBERNETES_MINOR: &str = "36";
const ETCD: &str = "v3.6.8";
const GO_MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kubernetes");

/// Each program and its Go package.
const PROGRAMS: [(&str, &str); 5] = [
    ("etcd", "./etcd"),
    ("etcdutl", "go.etcd.io/etcd/etcdutl/v3"),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
];

/// The binaries of the control plane.
#[derive(Clone, Debug)]
pub struct Binaries {
    assets: Option<PathBuf>,
    cache: PathBuf,
}

impl Binaries {
    /// The path of a program.
    #[must_use]
    pub fn path(&self, program: &str) -> PathBuf {
        let prebuilt = self.assets.as_ref().map(|assets| assets.join(program)).filter(|path| path.exists());
        prebuilt.unwrap_or_else(|| self.cache.join(program))
    }

    /// Locates the binaries and builds the missing ones. Prints the progress to standard error.
    ///
    /// # Errors
    /// When a binary cannot be built.
    pub fn ensure() -> Result<Self, Error> {
        let assets = std::env::var_os("KUBEBUILDER_ASSETS")
            .map(PathBuf::from)
            .filter(|path| path.join("kube-apiserver").exists());
        let binaries = Self { assets, cache: cache_folder()? };
        if binaries.missing().is_empty() {
            return Ok(binaries);
        }
        fs::create_dir_all(&binaries.cache).map_err(context(format!("creating {}", binaries.cache.display())))?;
        // With this lock, concurrent processes build each binary only once.
        let lock = File::create(binaries.cache.join(".lock")).map_err(context("opening the lock file of the cache"))?;
        lock.lock().map_err(context("waiting for another build"))?;
        let missing = binaries.missing();
        for (number, (program, package)) in missing.iter().enumerate() {
            build(&binaries.cache, program, package, &format!("{} of {}", number + 1, missing.len()))?;
        }
        Ok(binaries)
    }

    fn missing(&self) -> Vec<(&'static str, &'static str)> {
        PROGRAMS.into_iter().filter(|(program, _)| !self.path(program).exists()).collect()
    }
}

/// The cache folder for these versions and these build inputs.
fn cache_folder() -> Result<PathBuf, Error> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let base = base.ok_or_else(|| Error::new("neither XDG_CACHE_HOME nor HOME is set, so there is no cache folder"))?;
    let mut inputs = DefaultHasher::new();
    for file in ["go.mod", "go.sum", "etcd/main.go"] {
        fs::read(Path::new(GO_MODULE).join(file)).map_err(context(format!("reading {file}")))?.hash(&mut inputs);
    }
    let (os, arch, hash) = (std::env::consts::OS, std::env::consts::ARCH, inputs.finish());
    let key = format!("kubernetes-{KUBERNETES}_etcd-{ETCD}_{os}-{arch}_{hash:016x}");
    Ok(base.join("fic-support-operator").join("control-plane").join(key))
}

fn build(folder: &Path, program: &str, package: &str, progress: &str) -> Result<(), Error> {
    eprintln!("building {program} {KUBERNETES} ({progress}); all of them take about 5 minutes on 2 cores, once");
    let set_variable = |package: &str, name: &str, value: &str| format!("-X {package}.{name}={value}");
    let version = "k8s.io/component-base/version";
    let flags = [
        "-s -w".to_owned(),
        set_variable(version, "gitVersion", KUBERNETES),
        set_variable(version, "gitMajor", "1"),
        set_variable(version, "gitMinor", KUBERNETES_MINOR),
        set_variable("k8s.io/client-go/pkg/version", "gitVersion", KUBERNETES),
    ];
    // The build writes to a temporary name, so that an interrupted build does not leave an incomplete binary.
    let temporary = folder.join(format!(".{program}"));
    let log = folder.join(format!(".{program}.log"));
    let stderr = File::create(&log).map_err(context("creating a log"))?;
    let mut go = Command::new("go")
        .args(["build", "-buildvcs=false", "-trimpath", "-ldflags", &flags.join(" "), "-o"])
        .arg(&temporary)
        .arg(package)
        .current_dir(GO_MODULE)
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null())
        .stderr(stderr)
        .spawn()
        .map_err(context("starting go (the build needs Go 1.26 or newer, see https://go.dev/doc/install)"))?;
    let (start, mut last_report) = (Instant::now(), Instant::now());
    let status = loop {
        if let Some(status) = go.try_wait().map_err(context("waiting for go"))? {
            break status;
        }
        if last_report.elapsed() > Duration::from_secs(10) {
            last_report = Instant::now();
            eprintln!("  still building {program}: {} s", start.elapsed().as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    if !status.success() {
        let output = fs::read_to_string(&log).unwrap_or_default();
        return Err(Error::new(format!("go could not build {program}:\n{output}")));
    }
    let _ = fs::remove_file(&log);
    fs::rename(&temporary, folder.join(program)).map_err(context(format!("renaming the binary of {program}")))?;
    eprintln!("  built {program} in {} s", start.elapsed().as_secs());
    Ok(())
}
