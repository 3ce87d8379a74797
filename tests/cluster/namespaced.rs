//! The operator for some namespaces only.

use crate::support::TestEnvironment;
use crate::support::cluster::OPERATOR;

const NAMESPACED_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/namespaced");

#[tokio::test(flavor = "multi_thread")]
async fn namespaced_operator_has_no_right_on_secrets_and_plans_elsewhere() {
    let env = TestEnvironment::without_operator_on_own_control_plane().await;
    env.cluster.kubectl(&["create", "namespace", "network-team"]);
    env.cluster.kubectl(&["apply", "-k", NAMESPACED_FOLDER]);
    // What remains of `deploy/` then is what `deploy/namespaced` has too.
    env.cluster.kubectl(&["delete", "clusterrolebinding", OPERATOR]);
    let account = format!("--as=system:serviceaccount:{OPERATOR}:{OPERATOR}");
    let may = |verb: &str, resource: &str, place: &str| {
        let arguments = ["auth", "can-i", verb, resource, place, &account];
        env.cluster.control_plane.kubectl().args(arguments).output().unwrap().status.success()
    };
    let rights =
        [("list", "secrets"), ("watch", "secrets"), ("patch", "secrets"), ("list", "psplan"), ("patch", "psplan")];
    env.wait_until("the binding to be gone", || async { !may("list", "secrets", "--namespace=default") }).await;
    for (verb, resource) in rights {
        assert!(may(verb, resource, "--namespace=network-team"), "{verb} {resource}");
        for place in
            ["--namespace=default", "--namespace=kube-system", &format!("--namespace={OPERATOR}"), "--all-namespaces"]
        {
            assert!(!may(verb, resource, place), "{verb} {resource} {place}");
        }
    }
    assert!(may("get", "crd/premiumsupportplans.fic.ntt.com", "--all-namespaces"));
    assert!(!may("get", "crd/others.example.com", "--all-namespaces"));
}
