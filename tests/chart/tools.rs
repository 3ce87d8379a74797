//! The tools that read the chart. `make helm` builds them if they are not cached.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use control_plane::ControlPlane;

use crate::make;

pub(crate) struct Tools {
    /// helm 4 and helm 3.
    pub(crate) helm: [PathBuf; 2],
    pub(crate) helm_unittest: PathBuf,
}

pub(crate) static TOOLS: LazyLock<Tools> = LazyLock::new(|| {
    let [helm, helm3, helm_unittest] = make::tools("helm").try_into().unwrap();
    Tools { helm: [helm, helm3], helm_unittest }
});

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn chart() -> PathBuf {
    repository().join("deploy/chart")
}

/// The control plane that the tests share that install nothing.
pub(crate) fn control_plane() -> &'static ControlPlane {
    static SHARED: LazyLock<ControlPlane> =
        LazyLock::new(|| ControlPlane::start().unwrap_or_else(|error| panic!("{error}")));
    &SHARED
}

/// What a command prints, if it succeeds, and else its error.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    if status.success() { Ok(stdout) } else { Err(stderr + &stdout) }
}
