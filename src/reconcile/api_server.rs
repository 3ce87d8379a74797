//! The requests of reconciles to the API server. So many are sent at once: each costs a connection, and memory for a
//! response that may be large. Namespaces take turns.
//!
//! A request waits for its turn before the lease is checked, and the wait does not count for its time limit. Nobody waits for a
//! turn, or for another plan, while it has one.

use kube::{Api, Client};

use crate::api::key::ObjectKey;
use crate::api::plan::PremiumSupportPlan;
use crate::reconcile::queue::{Permit, Queue};
use crate::reconcile::snapshot::PlanSnapshot;
use crate::reconcile::ticket::Ticket;

/// How many requests are sent at once.
const CONCURRENCY: u16 = 16;

/// The client of the API server, and the requests that wait.
pub struct ApiServer {
    client: Client,
    queue: Queue,
}

/// The right to send one request.
pub(super) struct Turn {
    /// The client to send it with.
    pub(super) client: Client,
    _permit: Option<Permit>,
}

impl ApiServer {
    /// Nothing waits.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, queue: Queue::new(CONCURRENCY) }
    }

    /// Waits for the turn of a request of this plan.
    pub(super) async fn turn(&self, snapshot: &PlanSnapshot) -> Turn {
        self.wait(&snapshot.key.namespace, snapshot.ticket).await
    }

    async fn wait(&self, namespace: &str, ticket: Ticket) -> Turn {
        let permit = self.queue.acquire(namespace, ticket).await;
        Turn { client: self.client.clone(), _permit: permit }
    }
}

impl Turn {
    /// The plans of the namespace of this one.
    pub(super) fn plans(&self, plan: &ObjectKey) -> Api<PremiumSupportPlan> {
        Api::namespaced(self.client.clone(), &plan.namespace)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;
    use http::{Request, Response};
    use kube::client::Body;
    use tokio::time::{Instant, sleep};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn api_server() -> ApiServer {
        let service = tower::service_fn(async |_: Request<Body>| Ok::<_, std::io::Error>(Response::new(Body::empty())));
        ApiServer::new(Client::new(service, "default"))
    }

    /// Sends a request that takes a second.
    async fn send(api_server: &ApiServer, namespace: &str) {
        let _turn = api_server.wait(namespace, Ticket::next()).await;
        sleep(SECOND).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_limited_number_of_requests_is_sent_at_once() {
        let api_server = api_server();
        let began = Instant::now();
        join_all((0..40).map(|_| send(&api_server, "full"))).await;
        assert_eq!(began.elapsed(), SECOND * 3, "16 at once");
        assert_eq!(api_server.queue.free(), 16, "each turn ends");
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_with_many_requests_delays_another_one_by_one_request() {
        let api_server = api_server();
        let began = Instant::now();
        let full = join_all((0..90).map(|_| send(&api_server, "full")));
        let other = async {
            sleep(SECOND / 2).await;
            send(&api_server, "other").await;
            began.elapsed()
        };
        let (_, other) = tokio::join!(full, other);
        assert_eq!(other, SECOND * 2, "it waited for those that were under way");
    }
}
