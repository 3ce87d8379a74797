//! Installs the chart on a real API server: one release only, a shard beside it, a move to another name, and an uninstall
//! that leaves the plans.

use std::path::Path;
use std::time::{Duration, Instant};

use control_plane::ControlPlane;

use crate::helm::{NAMESPACE, helm_on};
use crate::tools::{TOOLS, chart, output, repository};

const CRD: &str = "crd/premiumsupportplans.fic.ntt.com";

/// A cluster of its own, and helm 3 or 4.
struct Installation<'a> {
    control_plane: ControlPlane,
    helm: &'a Path,
}

impl<'a> Installation<'a> {
    fn new(helm: &'a Path) -> Self {
        let control_plane = ControlPlane::start().unwrap_or_else(|error| panic!("{error}"));
        Self { control_plane, helm }
    }

    fn kubectl(&self, arguments: &str) -> Result<String, String> {
        output(self.control_plane.kubectl().args(arguments.split(' ')))
    }

    fn helm(&self, command: &str, more: &str) -> Result<String, String> {
        let mut helm = helm_on(self.helm, &self.control_plane);
        helm.args(command.split(' ')).arg(chart()).args(more.split(' ').filter(|word| !word.is_empty()));
        output(&mut helm)
    }

    fn install(&self, release: &str, namespace: &str, more: &str) -> Result<String, String> {
        self.helm(&format!("install {release}"), &format!("--namespace {namespace} --create-namespace {more}"))
    }

    fn upgrade(&self, release: &str, more: &str) -> Result<String, String> {
        self.helm(&format!("upgrade {release}"), &format!("--namespace {NAMESPACE} {more}"))
    }

    fn uninstall(&self, release: &str, namespace: &str) -> Result<String, String> {
        let mut helm = helm_on(self.helm, &self.control_plane);
        output(helm.args(["uninstall", release, "--namespace", namespace]))
    }

    /// A plan as it is when the operator has bought for it: with the finalizer.
    fn create_plan(&self) {
        self.kubectl(&format!("wait --for=condition=Established {CRD} --timeout=60s")).unwrap();
        let sample = repository().join("deploy/samples/buy.yaml");
        self.kubectl(&format!("create -f {}", sample.display())).unwrap();
        self.kubectl(
            "patch psplan buy --type=merge --patch {\"metadata\":{\"finalizers\":[\"fic.ntt.com/contract\"]}}",
        )
        .unwrap();
    }

    fn has_plan(&self) -> bool {
        self.kubectl("get psplan buy").is_ok()
    }

    /// The API server reads the roles a moment after they have changed.
    #[track_caller]
    fn wait_until_operator_may_patch_plans(&self, namespace: &str, expected: bool) {
        let account = format!("--as=system:serviceaccount:{namespace}:fic-support-operator");
        let may = || self.kubectl(&format!("auth can-i patch psplan --all-namespaces {account}"));
        let deadline = Instant::now() + Duration::from_secs(30);
        while may().is_ok() != expected {
            assert!(Instant::now() < deadline, "timed out: {:?}", may());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn the_plans_survive_every_step_from_install_to_uninstall() {
    for helm in &TOOLS.helm {
        let cluster = Installation::new(helm);
        let notes = cluster.install("first", NAMESPACE, "").unwrap();
        assert!(notes.contains("helm uninstall first --namespace fic-support-operator"), "{notes}");
        cluster.wait_until_operator_may_patch_plans(NAMESPACE, true);
        cluster.create_plan();

        // A second installation would reconcile the same plans.
        for namespace in [NAMESPACE, "elsewhere"] {
            let error = cluster.install("second", namespace, "").unwrap_err();
            assert!(error.contains("invalid ownership metadata"), "{error}");
        }
        let overlapping = cluster.install("second", "elsewhere", "--set shard=east").unwrap_err();
        assert!(overlapping.contains("shard is set, so operator.labelSelector"), "{overlapping}");

        // A shard is another release beside it.
        let shard = "--set shard=east --set operator.labelSelector=shard=east";
        cluster.install("east", "east", shard).unwrap();
        cluster.wait_until_operator_may_patch_plans("east", true);
        cluster.uninstall("east", "east").unwrap();
        cluster.wait_until_operator_may_patch_plans("east", false);
        cluster.wait_until_operator_may_patch_plans(NAMESPACE, true);

        // A value changes the object that exists.
        cluster.upgrade("first", "--set guard.record=Deny").unwrap();
        let binding = "get validatingadmissionpolicybinding fic-support-operator-record";
        let actions = cluster.kubectl(&format!("{binding} --output=jsonpath={{.spec.validationActions}}")).unwrap();
        assert_eq!(actions, "[\"Deny\"]");
        // What the chart does not know is refused, and the release stays as it is.
        let error = cluster.upgrade("first", "--set operator.pollIntervall=3s").unwrap_err();
        assert!(error.contains("pollIntervall"), "{error}");
        cluster.wait_until_operator_may_patch_plans(NAMESPACE, true);

        cluster.uninstall("first", NAMESPACE).unwrap();
        cluster.wait_until_operator_may_patch_plans(NAMESPACE, false);
        assert!(cluster.has_plan());

        // The CRD remains with the name of the old release.
        let error = cluster.install("renamed", NAMESPACE, "").unwrap_err();
        assert!(error.contains("invalid ownership metadata"), "{error}");
        cluster.install("renamed", NAMESPACE, "--take-ownership").unwrap();
        cluster.wait_until_operator_may_patch_plans(NAMESPACE, true);
        assert!(cluster.has_plan());
    }
}

/// From kubectl to helm, with the plans.
#[test]
fn a_release_takes_over_what_kubectl_has_installed() {
    // helm 4 applies objects on the server, where kubectl owns fields.
    for (helm, flags) in TOOLS.helm.iter().zip(["--take-ownership --force-conflicts", "--take-ownership"]) {
        let cluster = Installation::new(helm);
        let apply = |flag: &str, folder: &str| {
            let path = repository().join(folder);
            cluster.kubectl(&format!("apply {flag} {}", path.display())).unwrap();
        };
        apply("-f", "crds");
        apply("-k", "deploy/guard/crd");
        apply("-k", "deploy");
        cluster.create_plan();
        let error = cluster.install("fic", NAMESPACE, "").unwrap_err();
        assert!(error.contains("invalid ownership metadata"), "{error}");
        cluster.install("fic", NAMESPACE, flags).unwrap();
        cluster.wait_until_operator_may_patch_plans(NAMESPACE, true);
        cluster.uninstall("fic", NAMESPACE).unwrap();
        cluster.wait_until_operator_may_patch_plans(NAMESPACE, false);
        assert!(cluster.has_plan());
    }
}

/// Without `crds.keep`, the CRD waits for its plans, and an operator can still let them go.
#[test]
fn a_crd_that_is_not_kept_waits_for_the_plans() {
    for helm in &TOOLS.helm {
        let cluster = Installation::new(helm);
        let notes = cluster.install("first", NAMESPACE, "--set crds.keep=false --set guard.crd=false").unwrap();
        assert!(notes.contains("crds.keep is false"), "{notes}");
        cluster.create_plan();
        cluster.uninstall("first", NAMESPACE).unwrap();
        let deleted = cluster.kubectl(&format!("get {CRD} --output=jsonpath={{.metadata.deletionTimestamp}}")).unwrap();
        assert!(!deleted.is_empty());
        assert!(cluster.has_plan());
    }
}
