//! Tests of a whole cluster: many plans at once while operators crash or freeze, FIC, etcd and the API server fail, the
//! CRD changes, and the user uninstalls the operator.
//!
//! These tests run one at a time. A test that changes the CRD or the installation starts a control plane of its own.

#![allow(clippy::unwrap_used, reason = "a test panics at the first unexpected result")]
#![allow(unreachable_pub, reason = "the public items of the shared modules are public within one test binary")]

mod alerts;
mod api_versions;
mod crashes;
mod flux;
mod leaders;
mod lease;
mod many_plans;
mod neighbours;
mod outages;
mod overlays;
mod own_control_plane;
mod prometheus;
mod restore;
mod schema_change;
mod shards;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the end-to-end tests use all of this module; these tests use a part")]
mod support;
mod two_clusters;
mod uninstall;
