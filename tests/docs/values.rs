//! The values of the Helm chart: helm-docs writes them to the README of the chart, and the reference has the same table.

use crate::generated::{check, read};

#[test]
fn the_table_of_values_is_up_to_date() {
    let readme = read("deploy/chart/README.md");
    let values = readme.lines().filter(|line| line.starts_with('|')).skip_while(|line| !line.starts_with("| Key |"));
    let table = values.fold(String::new(), |table, line| table + line + "\n");
    assert!(table.lines().count() > 20, "the README of the chart has a table of values");
    check("docs/reference/values.md", &[("values", table)]);
}
