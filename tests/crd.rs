//! The committed CRD is the one that the types generate.

#[test]
fn the_committed_crd_is_up_to_date() {
    let committed = include_str!("../crds/premiumsupportplans.fic.ntt.com.yaml");
    let generated = fic_support_operator::api::crd::yaml().expect("the CRD is serialized");
    assert!(
        committed == generated,
        "crds/premiumsupportplans.fic.ntt.com.yaml differs from src/api/plan.rs; run `make crd`"
    );
}
