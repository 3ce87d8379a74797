//! Runs the commands in the documents, on a real API server with a simulator of FIC.
//!
//! - Each `sh` block of a page is a part of one bash script, which ends at the first command that fails.
//! - Each `console` block has commands (`$ …`) and what they print. `…` stands for any text, or alone in a line for any lines.
//! - `<!-- scene: NAME -->` gives what follows in the page a cluster of its own, see `scene.rs`. A page without it shares a
//!   cluster with others, and changes nothing that they need.
//! - `<!-- file: NAME -->` before a block of another kind writes the block to that file first.
//! - `<!-- not run: REASON -->` before a block says why it cannot run. `README.md` here counts both.

#![allow(clippy::unwrap_used, reason = "a test panics at the first unexpected result")]

mod blocks;
mod count;
#[path = "../support/daemon.rs"]
mod daemon;
mod deployments;
#[path = "../support/generated.rs"]
mod generated;
#[path = "../support/make.rs"]
mod make;
mod output;
#[path = "../support/pages.rs"]
mod pages;
mod scene;
mod script;
#[path = "../support/texts.rs"]
mod texts;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use blocks::Segment;
use scene::{Cluster, Scene};

/// How many clusters run at the same time.
const CLUSTERS: usize = 2;

/// The segments with a cluster of their own each, and those that share one.
fn by_cluster() -> Vec<(Scene, Vec<Segment>)> {
    let only = std::env::var("PAGE").unwrap_or_default();
    let segments = blocks::pages().into_iter().filter(|page| page.file.contains(&only)).flat_map(|page| page.segments);
    let (shared, own) = segments
        .filter(|segment| segment.blocks.iter().any(|block| block.not_run.is_none()))
        .partition::<Vec<_>, _>(|segment| segment.scene == Scene::Shared);
    let own = own.into_iter().map(|segment| (segment.scene, vec![segment]));
    own.chain((!shared.is_empty()).then_some((Scene::Shared, shared))).collect()
}

/// Runs segments one after the other on one cluster. Returns what failed.
async fn run(scene: Scene, segments: Vec<Segment>) -> Vec<String> {
    let cluster = match Cluster::start(scene).await {
        Ok(cluster) => cluster,
        Err(failure) => return vec![failure],
    };
    let mut failures = Vec::new();
    for segment in segments {
        let began = std::time::Instant::now();
        let result = script::run(&segment, &cluster).await;
        println!("{:>5.1} s  {}:{}", began.elapsed().as_secs_f64(), segment.file, segment.line);
        failures.extend(result.err());
    }
    cluster.stop().await;
    failures
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_in_the_documents_do_what_the_documents_say() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let places = Arc::new(Semaphore::new(CLUSTERS));
    let mut running = JoinSet::new();
    for (scene, segments) in by_cluster() {
        let places = Arc::clone(&places);
        running.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            run(scene, segments).await
        });
    }
    let failures = running.join_all().await.concat();
    print!("{}", count::table(&blocks::pages()));
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
