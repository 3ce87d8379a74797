//! The documents: what is generated is up to date, each reason has a page, and each link leads somewhere. And the workflows.
//!
//! `UPDATE=1 cargo test --test docs` regenerates what is generated.

#[path = "docs/alerts.rs"]
mod alerts;
#[path = "docs/diagram.rs"]
mod diagram;
#[path = "docs/events.rs"]
mod events;
#[path = "docs/examples.rs"]
mod examples;
#[path = "docs/fields.rs"]
mod fields;
#[path = "docs/flags.rs"]
mod flags;
#[path = "support/generated.rs"]
mod generated;
#[path = "docs/links.rs"]
mod links;
#[path = "docs/markdown.rs"]
mod markdown;
#[path = "docs/metrics.rs"]
mod metrics;
#[path = "support/pages.rs"]
mod pages;
#[path = "docs/paths.rs"]
mod paths;
#[path = "docs/permissions.rs"]
mod permissions;
#[path = "docs/reasons.rs"]
mod reasons;
#[path = "docs/values.rs"]
mod values;
#[path = "docs/workflows.rs"]
mod workflows;
