//! The table of alerts: from the alerts, and what their pages say.

use serde_json::Value;

use crate::generated::{check, read, table};

#[test]
fn the_table_of_alerts_is_up_to_date() {
    let manifest = serde_saphyr::from_str::<Value>(&read("deploy/monitoring/alerts.yaml")).expect("YAML");
    let groups = manifest["spec"]["groups"].as_array().expect("groups");
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules"));
    let rows = rules.map(|rule| {
        let name = rule["alert"].as_str().expect("a name");
        let severity = rule["labels"]["severity"].as_str().expect("a severity");
        let page = read(&format!("docs/reference/alerts/{name}.md"));
        let meaning = page.split("## Meaning\n").nth(1).and_then(|rest| rest.split("## ").next());
        let meaning = meaning.expect("the page says what the alert means").trim();
        [format!("[{name}](alerts/{name}.md)"), severity.into(), meaning.into()]
    });
    check("docs/reference/alerts.md", &[("alerts", table(["alert", "severity", "meaning"], rows))]);
}
