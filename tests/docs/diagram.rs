//! The state diagram: the model check writes it to ARCHITECTURE.md, and a page for readers outside of the project has the same one.

use crate::generated::{check, read};

#[test]
fn the_copy_of_the_state_diagram_is_up_to_date() {
    let architecture = read("ARCHITECTURE.md");
    let (_, rest) = architecture.split_once("<!-- state diagram: generated").expect("ARCHITECTURE.md has the diagram");
    let (_, rest) = rest.split_once("-->\n").expect("the line ends");
    let (diagram, _) = rest.split_once("<!-- end of state diagram -->").expect("the diagram ends");
    check("docs/know/exactly-once.md", &[("state diagram", diagram.into())]);
}
