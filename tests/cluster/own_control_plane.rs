//! An environment for a test that changes the CRD or the installation.

use std::sync::Arc;

use crate::support::TestEnvironment;
use crate::support::cluster::Cluster;

impl TestEnvironment {
    /// A namespace and a simulator on a control plane of its own, with a Secret and a running operator.
    pub async fn with_own_control_plane() -> Self {
        let mut env = Self::without_operator_on_own_control_plane().await;
        env.create_secret().await;
        env.start_operator().await;
        env
    }

    /// The same without a Secret and without an operator.
    pub async fn without_operator_on_own_control_plane() -> Self {
        // The start of a control plane blocks its thread.
        let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
        Self::on(Arc::new(cluster)).await
    }
}
