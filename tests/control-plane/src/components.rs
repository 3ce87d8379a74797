//! The processes of the control plane: etcd, kube-apiserver, kube-controller-manager.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::binaries::Binaries;
use crate::{Error, certificates, context, kubeconfig};

/// How long the API server may take to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(90);

const AUDIT_POLICY: &str = r#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy","omitStages":["RequestReceived"],
"rules":[{"level":"None","users":["admin"],"verbs":["get","list","watch"]},{"level":"Metadata"}]}"#;

/// A running control plane. Dropping it kills its processes and removes its folder.
pub struct Components {
    folder: TempDir,
    binaries: Binaries,
    ports: Ports,
    etcd: Option<Child>,
    api_server: Option<Child>,
    controller_manager: Option<Child>,
}

/// The revisions of etcd after it was restored.
#[derive(Clone, Copy, Debug)]
pub enum Revisions {
    /// They are those of the backup, and are used a second time from there on.
    GoBack,
    /// They are far above those that were in use, and all older ones are compacted, as the Kubernetes documentation
    /// recommends.
    Jump,
}

struct Ports {
    etcd: u16,
    etcd_peer: u16,
    api_server: u16,
    controller_manager: u16,
}

impl Components {
    /// Starts all components and waits until the API server is ready.
    ///
    /// # Errors
    /// When a component does not start. The message contains the end of its log.
    pub fn start(binaries: Binaries) -> Result<Self, Error> {
        let folder =
            tempfile::Builder::new().prefix("fic-control-plane-").tempdir().map_err(context("creating a folder"))?;
        certificates::generate(folder.path())?;
        fs::write(folder.path().join("audit-policy.json"), AUDIT_POLICY)
            .map_err(context("writing the audit policy"))?;
        let ports = free_ports()?;
        let mut components = Self { folder, binaries, ports, etcd: None, api_server: None, controller_manager: None };
        kubeconfig::write_admin(components.folder(), &components.server(), &components.kubeconfig())?;
        components.start_etcd()?;
        components.start_api_server()?;
        components.start_controller_manager()?;
        Ok(components)
    }

    /// The folder with all files of the control plane.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The URL of the API server.
    #[must_use]
    pub fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api_server)
    }

    /// The kubeconfig of the administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder().join("kubeconfig")
    }

    /// The path of the audit log.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.folder().join("audit.log")
    }

    /// The path of kubectl.
    #[must_use]
    pub fn kubectl(&self) -> PathBuf {
        self.binaries.path("kubectl")
    }

    /// Starts etcd on the existing data, if any.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start_etcd(&mut self) -> Result<(), Error> {
        let client = format!("http://127.0.0.1:{}", self.ports.etcd);
        let peer = format!("http://127.0.0.1:{}", self.ports.etcd_peer);
        let arguments = [
            format!("--data-dir={}", self.folder().join("etcd").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            // The data need not survive a crash of the machine: the test would not survive it either.
            "--unsafe-no-fsync".into(),
        ];
        self.etcd = Some(self.spawn("etcd", &arguments)?);
        Ok(())
    }

    /// Kills etcd, like a crash.
    pub fn stop_etcd(&mut self) {
        kill(&mut self.etcd);
    }

    /// Copies the data of etcd. Restarts etcd for that, since the copy of a running one may be inconsistent.
    ///
    /// # Errors
    /// When the data cannot be copied, or etcd cannot be started.
    pub fn back_up_etcd(&mut self) -> Result<(), Error> {
        self.stop_etcd();
        copy_folder(&self.folder().join("etcd"), &self.etcd_backup())?;
        self.start_etcd()
    }

    /// Restores etcd from the backup, while the API server is stopped.
    ///
    /// # Errors
    /// When there is no backup, or a component cannot be started.
    pub fn restore_etcd(&mut self, revisions: Revisions) -> Result<(), Error> {
        self.stop_api_server();
        self.stop_etcd();
        let data = self.folder().join("etcd");
        fs::remove_dir_all(&data).map_err(context("removing the data of etcd"))?;
        match revisions {
            Revisions::GoBack => copy_folder(&self.etcd_backup(), &data)?,
            Revisions::Jump => {
                let peer = format!("http://127.0.0.1:{}", self.ports.etcd_peer);
                let mut etcdutl = Command::new(self.binaries.path("etcdutl"));
                etcdutl
                    .args([
                        "snapshot",
                        "restore",
                        "--skip-hash-check",
                        "--bump-revision=1000000000",
                        "--mark-compacted",
                    ])
                    .arg(format!("--data-dir={}", data.display()))
                    .arg(format!("--initial-cluster=default={peer}"))
                    .arg(format!("--initial-advertise-peer-urls={peer}"))
                    .arg(self.etcd_backup().join("member/snap/db"));
                run(&mut etcdutl)?;
            }
        }
        self.start_etcd()?;
        self.start_api_server()
    }

    fn etcd_backup(&self) -> PathBuf {
        self.folder().join("etcd-backup")
    }

    /// Starts the API server and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_api_server(&mut self) -> Result<(), Error> {
        let file = |name: &str| self.folder().join(name).display().to_string();
        let arguments = [
            format!("--etcd-servers=http://127.0.0.1:{}", self.ports.etcd),
            format!("--secure-port={}", self.ports.api_server),
            "--bind-address=127.0.0.1".into(),
            "--advertise-address=127.0.0.1".into(),
            "--service-cluster-ip-range=10.0.0.0/24".into(),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-key-file={}", file("service-accounts.pub")),
            format!("--service-account-signing-key-file={}", file("service-accounts.key")),
            format!("--client-ca-file={}", file("ca.crt")),
            format!("--tls-cert-file={}", file("server.crt")),
            format!("--tls-private-key-file={}", file("server.key")),
            "--authorization-mode=RBAC".into(),
            "--disable-admission-plugins=ServiceAccount".into(),
            format!("--audit-policy-file={}", file("audit-policy.json")),
            format!("--audit-log-path={}", file("audit.log")),
        ];
        self.api_server = Some(self.spawn("kube-apiserver", &arguments)?);
        self.wait_until_ready()
    }

    /// Kills the API server.
    pub fn stop_api_server(&mut self) {
        kill(&mut self.api_server);
    }

    fn start_controller_manager(&mut self) -> Result<(), Error> {
        let arguments = [
            format!("--kubeconfig={}", self.kubeconfig().display()),
            "--controllers=namespace-controller,garbage-collector-controller,serviceaccount-controller,\
             validatingadmissionpolicy-status-controller"
                .into(),
            "--leader-elect=false".into(),
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={}", self.ports.controller_manager),
            format!("--cert-dir={}", self.folder().join("controller-manager").display()),
            // The default limits are too low for tests that delete many namespaces at once.
            "--kube-api-qps=200".into(),
            "--kube-api-burst=400".into(),
        ];
        self.controller_manager = Some(self.spawn("kube-controller-manager", &arguments)?);
        Ok(())
    }

    fn spawn(&self, program: &str, arguments: &[String]) -> Result<Child, Error> {
        let log =
            File::options().create(true).append(true).open(self.log_file(program)).map_err(context("opening a log"))?;
        let stdout = log.try_clone().map_err(context("opening a log"))?;
        Command::new(self.binaries.path(program))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(log)
            // A terminal sends Ctrl-C to its whole process group. Only the supervisor may stop this process.
            .process_group(0)
            .spawn()
            .map_err(context(format!("starting {program}")))
    }

    fn wait_until_ready(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            for (program, exited) in
                [("etcd", has_exited(&mut self.etcd)), ("kube-apiserver", has_exited(&mut self.api_server))]
            {
                if exited {
                    return Err(Error::new(format!(
                        "{program} exited unexpectedly:\n{}",
                        tail(&self.log_file(program))
                    )));
                }
            }
            let ready = Command::new(self.kubectl())
                .args(["get", "--raw=/readyz"])
                .env("KUBECONFIG", self.kubeconfig())
                .stdin(Stdio::null())
                .output()
                .is_ok_and(|output| output.status.success());
            if ready {
                return Ok(());
            }
            if Instant::now() > deadline {
                let log = tail(&self.log_file("kube-apiserver"));
                return Err(Error::new(format!(
                    "kube-apiserver did not become ready within {READY_TIMEOUT:?}:\n{log}"
                )));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn log_file(&self, program: &str) -> PathBuf {
        self.folder().join(format!("{program}.log"))
    }
}

impl Drop for Components {
    fn drop(&mut self) {
        kill(&mut self.controller_manager);
        kill(&mut self.api_server);
        kill(&mut self.etcd);
    }
}

fn has_exited(child: &mut Option<Child>) -> bool {
    child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_some()))
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    run(Command::new("cp").arg("-r").arg(from).arg(to))
}

/// Runs a command that must succeed.
fn run(command: &mut Command) -> Result<(), Error> {
    let output = command.stdin(Stdio::null()).output().map_err(context("starting a command"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::new(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr))))
}

/// SIGKILL, because no state needs a graceful shutdown.
fn kill(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().collect::<Vec<_>>();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Holds all listeners open until each port is known, so that the ports are distinct.
fn free_ports() -> Result<Ports, Error> {
    let listeners = (0..4).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>();
    let listeners = listeners.map_err(context("finding free ports"))?;
    let port = |index: usize| {
        listeners[index].local_addr().map(|address| address.port()).map_err(context("finding free ports"))
    };
    Ok(Ports { etcd: port(0)?, etcd_peer: port(1)?, api_server: port(2)?, controller_manager: port(3)? })
}
