//! The `CustomResourceDefinition` that is installed, compared with that of this operator.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, JSONSchemaProps, JSONSchemaPropsOrArray,
    JSONSchemaPropsOrBool,
};
use kube::{Api, Client};
use tracing::{info, warn};

use super::{CheckError, not_checked};
use crate::api::crd;

/// What the check of the CRD says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrdCheck {
    /// It is the one of this version.
    Current,
    /// It is another one, which has all that is needed.
    Outdated,
    /// It cannot be read.
    NotChecked,
}

/// Checks that the CRD has all that is needed.
pub(crate) async fn check(client: &Client) -> Result<CrdCheck, CheckError> {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    let installed = match api.get_opt(crd::NAME).await {
        Ok(installed) => installed.ok_or(CheckError::NoCrd)?,
        Err(kube::Error::Api(status)) if status.code == 403 => {
            info!(crd = crd::NAME, "not allowed to read the CustomResourceDefinition, so it is not checked");
            return Ok(CrdCheck::NotChecked);
        }
        Err(error) => {
            not_checked("the CustomResourceDefinition", &error);
            return Ok(CrdCheck::NotChecked);
        }
    };
    let needed = crd::crd();
    let missing = missing(&needed, &installed);
    if !missing.is_empty() {
        return Err(CheckError::OldCrd(missing.join(", ").into()));
    }
    let is_outdated = schema_hash(&installed) != schema_hash(&needed);
    if is_outdated {
        warn!(
            crd = crd::NAME,
            "the CustomResourceDefinition is not the one of this version of the operator; run kubectl apply -f crds/"
        );
    }
    Ok(if is_outdated { CrdCheck::Outdated } else { CrdCheck::Current })
}

fn schema_hash(crd: &CustomResourceDefinition) -> Option<&String> {
    crd.metadata.annotations.as_ref()?.get(crd::SCHEMA_HASH)
}

/// What the installed CRD lacks of the version that the operator uses. Other versions, and what it has in addition, do
/// not matter.
fn missing(needed: &CustomResourceDefinition, installed: &CustomResourceDefinition) -> Vec<String> {
    let used = crd::version();
    let find = |crd: &CustomResourceDefinition| {
        crd.spec.versions.iter().find(|version| version.served && version.name == used).cloned()
    };
    let Some(needed) = find(needed) else { return vec![] };
    let Some(served) = find(installed) else { return vec![format!("version {used}")] };
    let mut missing = missing_in_version(&needed, &served);
    // The API server also drops what the schema of the stored version lacks.
    if let Some(stored) = installed.spec.versions.iter().find(|version| version.storage && version.name != used) {
        let fields = missing_properties(&needed, stored).into_iter();
        missing.extend(fields.map(|field| format!("{field} in the stored version {}", stored.name)));
    }
    missing
}

fn missing_in_version(
    needed: &CustomResourceDefinitionVersion,
    installed: &CustomResourceDefinitionVersion,
) -> Vec<String> {
    let mut missing = Vec::new();
    let has_status = |version: &CustomResourceDefinitionVersion| {
        version.subresources.as_ref().is_some_and(|subresources| subresources.status.is_some())
    };
    if has_status(needed) && !has_status(installed) {
        missing.push("the subresource status".into());
    }
    for field in needed.selectable_fields.iter().flatten() {
        if !installed.selectable_fields.iter().flatten().any(|known| known.json_path == field.json_path) {
            missing.push(format!("the selectable field {}", field.json_path));
        }
    }
    missing.extend(missing_properties(needed, installed));
    missing
}

fn missing_properties(
    needed: &CustomResourceDefinitionVersion,
    installed: &CustomResourceDefinitionVersion,
) -> Vec<String> {
    let schema = |version: &CustomResourceDefinitionVersion| version.schema.clone()?.open_api_v3_schema;
    let mut missing = Vec::new();
    match (schema(needed), schema(installed)) {
        (Some(needed), Some(installed)) => add_missing_properties("", &needed, &installed, &mut missing),
        (Some(_), None) => missing.push("a schema".into()),
        (None, _) => {}
    }
    missing
}

/// Adds each property of the needed schema that the installed one does not have. Without it the API server would drop the
/// value.
fn add_missing_properties(
    path: &str,
    needed: &JSONSchemaProps,
    installed: &JSONSchemaProps,
    missing: &mut Vec<String>,
) {
    if installed.x_kubernetes_preserve_unknown_fields == Some(true) {
        return;
    }
    for (name, needed) in needed.properties.iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match installed.properties.as_ref().and_then(|properties| properties.get(name)) {
            Some(installed) => add_missing_properties(&path, needed, installed, missing),
            None => missing.push(format!("the field {path}")),
        }
    }
    if let (Some(JSONSchemaPropsOrArray::Schema(needed)), Some(JSONSchemaPropsOrArray::Schema(installed))) =
        (&needed.items, &installed.items)
    {
        add_missing_properties(&format!("{path}[]"), needed, installed, missing);
    }
    if let (Some(JSONSchemaPropsOrBool::Schema(needed)), Some(JSONSchemaPropsOrBool::Schema(installed))) =
        (&needed.additional_properties, &installed.additional_properties)
    {
        add_missing_properties(&format!("{path}{{}}"), needed, installed, missing);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fake;
    use super::*;

    const VERSION: &str = "/spec/versions/0";
    const PROPERTIES: &str = "/spec/versions/0/schema/openAPIV3Schema/properties";

    /// What a CRD lacks that differs from the needed one in the value at this path. `None`: it is removed.
    fn missing_after(path: &str, value: Option<Value>) -> Vec<String> {
        let mut installed = json!(crd::crd());
        let (parent, name) = path.rsplit_once('/').expect("a path");
        let parent = installed.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
        match value {
            Some(value) => parent.insert(name.into(), value),
            None => Some(parent.remove(name).expect("it is there")),
        };
        missing(&crd::crd(), &serde_json::from_value(installed).expect("a CRD"))
    }

    #[test]
    fn the_crd_of_this_operator_lacks_nothing() {
        assert_eq!(missing(&crd::crd(), &crd::crd()), Vec::<String>::new());
    }

    /// An earlier CRD, from before the version that the operator uses.
    #[test]
    fn only_the_version_that_is_used_must_be_served() {
        let with = |versions: &[usize]| {
            let mut installed = json!(crd::crd());
            let all = installed["spec"]["versions"].take();
            installed["spec"]["versions"] = versions.iter().map(|index| all[index].clone()).collect();
            missing(&crd::crd(), &serde_json::from_value(installed).expect("a CRD"))
        };
        assert_eq!(with(&[1]), ["version v1beta1"]);
        assert_eq!(with(&[0]), Vec::<String>::new());
    }

    #[test]
    fn the_stored_version_must_have_each_field_too() {
        let mut installed = json!(crd::crd());
        installed["spec"]["versions"][0]["storage"] = json!(false);
        let stored = &mut installed["spec"]["versions"][1];
        stored["storage"] = json!(true);
        let without =
            |installed: &Value| missing(&crd::crd(), &serde_json::from_value(installed.clone()).expect("a CRD"));
        let status = "/spec/versions/1/schema/openAPIV3Schema/properties/status/properties";
        let mut old = installed.clone();
        old.pointer_mut(status).and_then(Value::as_object_mut).expect("the status").remove("ownerUID");
        assert_eq!(without(&old), ["the field status.ownerUID in the stored version v1alpha1"]);
        assert_eq!(without(&installed), Vec::<String>::new());
    }

    #[test]
    fn what_a_newer_crd_has_in_addition_does_not_matter() {
        let more = |path: &str| missing_after(&format!("{PROPERTIES}/{path}"), Some(json!({ "type": "string" })));
        assert_eq!([more("more"), more("status/properties/more")].concat(), Vec::<String>::new());
    }

    #[test]
    fn each_missing_part_is_named() {
        for (path, expected) in [
            (format!("{VERSION}/selectableFields"), "the selectable field .spec.tenantID"),
            (format!("{VERSION}/subresources"), "the subresource status"),
            (format!("{PROPERTIES}/spec/properties/suspend"), "the field spec.suspend"),
            (format!("{PROPERTIES}/status/properties/ownerUID"), "the field status.ownerUID"),
            (
                format!("{PROPERTIES}/spec/properties/credentialsSecretRef/properties/name"),
                "the field spec.credentialsSecretRef.name",
            ),
            (
                format!("{PROPERTIES}/status/properties/menus/items/properties/menuStartDate"),
                "the field status.menus[].menuStartDate",
            ),
        ] {
            assert_eq!(missing_after(&path, None), [expected]);
        }
        assert_eq!(missing_after(&format!("{VERSION}/served"), Some(json!(false))), ["version v1beta1"]);
        assert_eq!(missing_after(&format!("{VERSION}/name"), Some(json!("v2"))), ["version v1beta1"]);
    }

    #[test]
    fn a_schema_that_preserves_unknown_fields_lacks_no_property() {
        let open = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        assert_eq!(missing_after(&format!("{PROPERTIES}/status"), Some(open)), Vec::<String>::new());
    }

    #[tokio::test]
    async fn only_a_crd_that_is_certainly_missing_or_old_ends_the_start() {
        let check = async |answer: (u16, Value)| {
            check(&fake::client(move |_| answer.clone())).await.map_err(|error| error.to_string())
        };
        assert_eq!(check((200, json!(crd::crd()))).await, Ok(CrdCheck::Current));
        let mut other = json!(crd::crd());
        other["metadata"]["annotations"][crd::SCHEMA_HASH] = json!("0123456789abcdef");
        assert_eq!(check((200, other)).await, Ok(CrdCheck::Outdated));
        for code in [403, 500] {
            assert_eq!(check(fake::failure(code)).await, Ok(CrdCheck::NotChecked), "{code}");
        }
        let error = check(fake::failure(404)).await.expect_err("it is not installed");
        assert!(error.contains("is not installed; run kubectl apply -f crds/"), "{error}");
        let mut old = json!(crd::crd());
        old["spec"]["versions"][0]["selectableFields"] = json!([]);
        let error = check((200, old)).await.expect_err("it is old");
        assert!(error.contains("it lacks the selectable field .spec.tenantID; run kubectl apply"), "{error}");
    }
}
