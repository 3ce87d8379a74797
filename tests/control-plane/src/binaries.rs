//! Where etcd, kube-apiserver, kube-controller-manager and kubectl come from.
//!
//! They are built from Go modules, once for each version, into a folder outside of any build tree. `KUBEBUILDER_ASSETS` names a folder
//! that holds them already.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Error, doing};

const KUBERNETES: &str = "v1.36.3";
const KUBERNETES_MINOR: &str = "36";
const ETCD: &str = "v3.6.8";
const GO_MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kubernetes");

/// Each program and the package it is built from.
const PROGRAMS: [(&str, &str); 4] = [
    ("etcd", "./etcd"),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
];

/// The programs.
#[derive(Clone, Debug)]
pub struct Binaries {
    assets: Option<PathBuf>,
    cache: PathBuf,
}

impl Binaries {
    /// The path of a program.
    #[must_use]
    pub fn path(&self, program: &str) -> PathBuf {
        let given = self.assets.as_ref().map(|assets| assets.join(program)).filter(|path| path.exists());
        given.unwrap_or_else(|| self.cache.join(program))
    }

    /// Finds the programs, and builds those that are missing. Progress is told on standard error.
    ///
    /// # Errors
    /// When one cannot be built.
    pub fn ensure() -> Result<Self, Error> {
        let assets = std::env::var_os("KUBEBUILDER_ASSETS")
            .map(PathBuf::from)
            .filter(|path| path.join("kube-apiserver").exists());
        let binaries = Self { assets, cache: cache_folder()? };
        if binaries.missing().is_empty() {
            return Ok(binaries);
        }
        fs::create_dir_all(&binaries.cache).map_err(doing(format!("creating {}", binaries.cache.display())))?;
        // Two processes that need the same programs build them once.
        let lock = File::create(binaries.cache.join(".lock")).map_err(doing("opening the lock of the cache"))?;
        lock.lock().map_err(doing("waiting for another build"))?;
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

/// The folder for these versions and this build recipe.
fn cache_folder() -> Result<PathBuf, Error> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let base = base.ok_or_else(|| Error::new("neither XDG_CACHE_HOME nor HOME is set, so there is no cache folder"))?;
    let mut recipe = DefaultHasher::new();
    for file in ["go.mod", "go.sum", "etcd/main.go"] {
        fs::read(Path::new(GO_MODULE).join(file)).map_err(doing(format!("reading {file}")))?.hash(&mut recipe);
    }
    let (os, arch, recipe) = (std::env::consts::OS, std::env::consts::ARCH, recipe.finish());
    let key = format!("kubernetes-{KUBERNETES}_etcd-{ETCD}_{os}-{arch}_{recipe:016x}");
    Ok(base.join("fic-support-operator").join("control-plane").join(key))
}

fn build(folder: &Path, program: &str, package: &str, number: &str) -> Result<(), Error> {
    eprintln!("building {program} {KUBERNETES} ({number}); all four take about 5 minutes on 2 cores, once");
    let stamp = |package: &str, name: &str, value: &str| format!("-X {package}.{name}={value}");
    let version = "k8s.io/component-base/version";
    let flags = [
        "-s -w".to_owned(),
        stamp(version, "gitVersion", KUBERNETES),
        stamp(version, "gitMajor", "1"),
        stamp(version, "gitMinor", KUBERNETES_MINOR),
        stamp("k8s.io/client-go/pkg/version", "gitVersion", KUBERNETES),
    ];
    // Under another name until it is whole, so that a build that was broken off is not taken for one that was finished.
    let unfinished = folder.join(format!(".{program}"));
    let log = folder.join(format!(".{program}.log"));
    let stderr = File::create(&log).map_err(doing("opening a log"))?;
    let mut go = Command::new("go")
        .args(["build", "-buildvcs=false", "-trimpath", "-ldflags", &flags.join(" "), "-o"])
        .arg(&unfinished)
        .arg(package)
        .current_dir(GO_MODULE)
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null())
        .stderr(stderr)
        .spawn()
        .map_err(doing("starting go, which builds the control plane (https://go.dev/doc/install, 1.26 or newer)"))?;
    let (began, mut told) = (Instant::now(), Instant::now());
    let status = loop {
        if let Some(status) = go.try_wait().map_err(doing("waiting for go"))? {
            break status;
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            eprintln!("  still building {program}: {} s", began.elapsed().as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    if !status.success() {
        let said = fs::read_to_string(&log).unwrap_or_default();
        return Err(Error::new(format!("go could not build {program}:\n{said}")));
    }
    let _ = fs::remove_file(&log);
    fs::rename(&unfinished, folder.join(program)).map_err(doing(format!("keeping {program}")))?;
    eprintln!("  built {program} in {} s", began.elapsed().as_secs());
    Ok(())
}
