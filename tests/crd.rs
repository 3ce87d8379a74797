//! The committed definition is the one that the types give.

#[test]
fn the_committed_definition_is_up_to_date() {
    let committed = include_str!("../crds/premiumsupportplans.fic.ntt.com.yaml");
    let generated = fic_support_operator::api::crd::yaml().expect("the definition can be written");
    assert!(
        committed == generated,
        "crds/premiumsupportplans.fic.ntt.com.yaml is not what src/plan.rs gives; mend it with `make crd`"
    );
}
