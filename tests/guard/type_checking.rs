//! The expressions of the policies have the types that the API server expects.
//!
//! An expression with a wrong field is accepted and fails at each request. The controller that checks the types says so
//! in the status of the policy, for validations and messages. It checks neither match conditions nor variables that
//! no validation uses, so the test adds them to a copy of each policy as validations.

use serde_json::{Value, json};

use crate::environment::{Namespace, Outcome, POLICIES, wait_until};

const WRONG_FIELD: &str = "object.metadata.namspace";

fn policy(name: &str) -> Value {
    let policy = format!("validatingadmissionpolicy/{name}");
    serde_json::from_str(&Namespace::older().kubectl(&["get", &policy, "--output=json"]).unwrap()).unwrap()
}

/// The warnings of the type checker.
fn warnings(name: &str) -> Vec<Value> {
    let is_checked = |policy: &Value| policy["status"]["observedGeneration"] == policy["metadata"]["generation"];
    let outcome = || Ok(policy(name).to_string());
    let parse = |outcome: &Outcome| serde_json::from_str::<Value>(outcome.as_ref().unwrap()).unwrap();
    let checked = wait_until("the types to be checked", outcome, |outcome| is_checked(&parse(outcome)));
    let status = &parse(&checked)["status"];
    assert!(status["typeChecking"].is_object(), "the types of {name} were not checked: {status}");
    status["typeChecking"]["expressionWarnings"].as_array().cloned().unwrap_or_default()
}

/// Creates a policy without a binding, which therefore refuses nothing. Returns its warnings.
fn warnings_of_copy(original: &Value, name: &str, spec: &Value) -> Vec<Value> {
    let copy = json!({
        "apiVersion": original["apiVersion"], "kind": original["kind"], "metadata": { "name": name }, "spec": spec,
    });
    Namespace::older().kubectl_with("create", &copy, &[]).unwrap();
    warnings(name)
}

/// The spec with its match conditions and variables as validations.
fn with_all_expressions_as_validations(original: &Value) -> Value {
    let mut spec = original["spec"].clone();
    let conditions = spec["matchConditions"].as_array().cloned().unwrap_or_default();
    let variables = spec["variables"].as_array().cloned().unwrap_or_default();
    let conditions = conditions.iter().map(|condition| condition["expression"].as_str().unwrap().to_owned());
    let variables =
        variables.iter().map(|variable| format!("[dyn({})] != []", variable["expression"].as_str().unwrap()));
    let added = conditions.chain(variables).map(|expression| json!({ "expression": expression }));
    let added = added.collect::<Vec<_>>();
    spec["validations"].as_array_mut().unwrap().extend(added);
    spec
}

#[test]
fn every_expression_has_the_right_types() {
    for name in POLICIES {
        assert_eq!(warnings(&format!("fic-support-operator-{name}")), [] as [Value; 0], "{name}");
        let original = policy(&format!("fic-support-operator-{name}"));
        let spec = with_all_expressions_as_validations(&original);
        assert_eq!(warnings_of_copy(&original, &format!("all-{name}"), &spec), [] as [Value; 0], "{name}");
    }
}

/// The test above can fail: a wrong field is found wherever it is.
#[test]
fn wrong_field_is_found() {
    for name in POLICIES {
        let original = policy(&format!("fic-support-operator-{name}"));
        let break_expression = |part: &str, broken: &mut dyn FnMut(&mut Value)| {
            let mut wrong = original.clone();
            broken(&mut wrong["spec"]);
            let spec = with_all_expressions_as_validations(&wrong);
            let warnings = warnings_of_copy(&original, &format!("wrong-{part}-{name}"), &spec);
            let text = json!(warnings).to_string();
            assert!(text.contains("undefined field"), "{name}: the wrong {part} is not found: {text}");
        };
        let wrong = || json!(format!("{WRONG_FIELD} == ''"));
        break_expression("validation", &mut |spec| spec["validations"][0]["expression"] = wrong());
        break_expression("message", &mut |spec| {
            spec["validations"][0]["messageExpression"] = json!(format!("'' + {WRONG_FIELD}"));
        });
        break_expression("condition", &mut |spec| {
            let conditions = json!([{ "name": "wrong", "expression": wrong() }]);
            spec["matchConditions"] = conditions;
        });
        break_expression("variable", &mut |spec| {
            let mut variables = spec["variables"].as_array().cloned().unwrap_or_default();
            variables.push(json!({ "name": "wrong", "expression": wrong() }));
            spec["variables"] = json!(variables);
        });
    }
}
