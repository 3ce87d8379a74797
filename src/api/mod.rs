//! What users write and read: the custom resource, its conditions, and the credentials Secret.

mod any_value;
pub mod condition;
pub mod crd;
pub mod credentials;
pub mod key;
#[allow(unreachable_pub, reason = "the derive of the schema repeats the struct where it is not reached")]
#[allow(clippy::doc_markdown, reason = "its comments are for kubectl explain, which shows back-ticks as they are")]
pub mod plan;
pub mod trim;
