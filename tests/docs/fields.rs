//! The tables of fields: from the CRD.

use fic_support_operator::api::crd::crd;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinitionVersion, JSONSchemaProps, JSONSchemaPropsOrArray,
};

use crate::generated::{check, table};

type Row = [String; 4];

/// The type of a field, with what limits it.
fn type_of(field: &JSONSchemaProps) -> String {
    let mut text = match (&field.enum_, &field.items) {
        (Some(values), _) => values
            .iter()
            .map(|value| format!("`{}`", value.0.as_str().unwrap_or("null")))
            .collect::<Vec<_>>()
            .join(", "),
        (None, Some(JSONSchemaPropsOrArray::Schema(item))) => format!("list of {}", type_of(item)),
        (None, _) => field.type_.clone().unwrap_or_else(|| "any".into()),
    };
    if let Some(format) = &field.format {
        text = format!("{text} ({format})");
    }
    if let Some(pattern) = &field.pattern {
        text = format!("{text} `{pattern}`");
    }
    text
}

fn rows(path: &str, object: &JSONSchemaProps, rows_so_far: &mut Vec<Row>) {
    let required = object.required.clone().unwrap_or_default();
    for (name, field) in object.properties.iter().flatten() {
        let own = format!("{path}.{name}");
        let default = match &field.default {
            Some(default) => format!("`{}`", default.0.to_string().trim_matches('"')),
            None if required.contains(name) => "required".into(),
            None => String::new(),
        };
        let mut description = field.description.clone().unwrap_or_default();
        for rule in field.x_kubernetes_validations.iter().flatten() {
            description =
                format!("{description} Refused otherwise: \"{}\".", rule.message.as_deref().unwrap_or(&rule.rule));
        }
        rows_so_far.push([format!("`{own}`"), type_of(field), default, description]);
        match &field.items {
            Some(JSONSchemaPropsOrArray::Schema(item)) => rows(&format!("{own}[]"), item, rows_so_far),
            _ => rows(&own, field, rows_so_far),
        }
    }
}

fn stored_version() -> CustomResourceDefinitionVersion {
    crd().spec.versions.into_iter().find(|version| version.storage).expect("a version is stored")
}

/// The fields of the stored version.
fn fields(part: &str) -> String {
    let version = stored_version();
    let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref()).expect("a schema");
    let object = &schema.properties.as_ref().expect("properties")[part];
    let mut fields = Vec::new();
    rows(part, object, &mut fields);
    let rules = object.x_kubernetes_validations.iter().flatten();
    let rules = rules.map(|rule| format!("\nRefused: \"{}\".\n", rule.message.as_deref().unwrap_or(&rule.rule)));
    table(["field", "type", "default", "meaning"], fields) + &rules.collect::<String>()
}

/// The columns that `kubectl get` shows.
fn columns() -> String {
    let version = stored_version();
    let columns = version.additional_printer_columns.iter().flatten().map(|column| {
        let wide = if column.priority.unwrap_or_default() > 0 { "`-o wide`" } else { "" };
        [column.name.clone(), format!("`{}`", column.json_path), wide.into()]
    });
    table(["column", "from", "only with"], columns)
}

#[test]
fn the_tables_of_fields_are_up_to_date() {
    let sections = [("spec", fields("spec")), ("status", fields("status")), ("columns", columns())];
    check("docs/reference/fields.md", &sections);
}
