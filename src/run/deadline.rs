//! A client of the API server whose requests end in time.
//!
//! The read timeout of kube starts again with each byte, and a connection that hangs would be used for the next request
//! too: a load balancer may forget a connection without a word. So a request has one limit from the connection to the
//! last byte of its response, and after one that took longer, no connection from before is used any more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use kube::Client;
use kube::client::Body;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use tower::BoxError;
use tracing::{debug, warn};

use crate::text;

/// The request took too long. A write may have taken effect.
#[derive(Debug, Error)]
#[error("the API server has not answered within {} s", .0.as_secs())]
struct TimedOut(Duration);

/// The client that is used now.
struct Current {
    client: Client,
    /// How many clients there were before it.
    number: u64,
}

struct Deadline<C> {
    limit: Duration,
    connect: C,
    current: Mutex<Current>,
}

/// A client that ends each request after `limit`. Do not watch with it. `connect` returns a client with connections of
/// its own.
///
/// # Errors
/// When `connect` fails.
pub(super) fn client_with_deadline<C>(limit: Duration, connect: C) -> Result<Client, kube::Error>
where
    C: Fn() -> Result<Client, kube::Error> + Send + Sync + 'static,
{
    let client = connect()?;
    let namespace = client.default_namespace().to_owned();
    let current = Mutex::new(Current { client, number: 0 });
    let deadline = Arc::new(Deadline { limit, connect, current });
    let service = tower::service_fn(move |request| {
        let deadline = Arc::clone(&deadline);
        deadline.send(request)
    });
    Ok(Client::new(service, namespace))
}

impl<C: Fn() -> Result<Client, kube::Error>> Deadline<C> {
    async fn send(self: Arc<Self>, request: Request<Body>) -> Result<Response<UnsyncBoxBody<Bytes, BoxError>>, BoxError>
    where
        C: Send + Sync + 'static,
    {
        let deadline = Instant::now() + self.limit;
        let (client, number) = {
            let current = self.lock();
            (current.client.clone(), current.number)
        };
        let (head, body) = match timeout_at(deadline, client.send(request)).await {
            Ok(response) => response?.into_parts(),
            Err(_) => return Err(self.time_out(number).into()),
        };
        // Not the whole body at once: a list of many large objects is read one by one.
        let frames = stream::unfold(Some((self, body)), move |rest| async move {
            let (this, mut body) = rest?;
            match timeout_at(deadline, body.frame()).await {
                Ok(None) => None,
                Ok(Some(Ok(frame))) => Some((Ok(frame), Some((this, body)))),
                Ok(Some(Err(error))) => Some((Err(error.into()), None)),
                Err(_) => Some((Err(this.time_out(number).into()), None)),
            }
        });
        Ok(Response::from_parts(head, BodyExt::boxed_unsync(StreamBody::new(frames))))
    }

    fn time_out(&self, number: u64) -> TimedOut {
        self.reconnect(number);
        TimedOut(self.limit)
    }

    /// Replaces the client, unless another request has replaced it already.
    fn reconnect(&self, number: u64) {
        let mut current = self.lock();
        if current.number != number {
            return;
        }
        match (self.connect)() {
            Ok(client) => {
                debug!("the API server has not answered in time, using new connections");
                *current = Current { client, number: number + 1 };
            }
            Err(error) => warn!(error = %text::error_chain(&error), "cannot use new connections to the API server"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU32, Ordering};

    use hyper::body::Frame;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::reconcile;

    const LIMIT: Duration = Duration::from_secs(15);

    /// What the first client sends. All others answer.
    #[derive(Clone, Copy)]
    enum First {
        Nothing,
        AByteASecond,
        Everything,
    }

    /// A client, and the number of times that it has connected.
    fn client(first: First) -> (Client, Arc<AtomicU32>) {
        let connections = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&connections);
        let connect = move || {
            let is_first = counter.fetch_add(1, Ordering::Relaxed) == 0;
            let service = tower::service_fn(move |_: Request<Body>| async move {
                let (count, pause) = match first {
                    First::Nothing if is_first => std::future::pending().await,
                    First::AByteASecond if is_first => (1000, Duration::from_secs(1)),
                    First::Nothing | First::AByteASecond | First::Everything => (5, Duration::ZERO),
                };
                let bytes = stream::unfold(count, move |left: u32| async move {
                    sleep(pause).await;
                    Some((Ok::<_, Infallible>(Frame::data(Bytes::from("1"))), left.checked_sub(1)?))
                });
                Ok::<_, Infallible>(Response::new(BodyExt::boxed_unsync(StreamBody::new(bytes))))
            });
            Ok(Client::new(service, "team"))
        };
        (client_with_deadline(LIMIT, connect).expect("it connects"), connections)
    }

    async fn get(client: &Client) -> Result<String, kube::Error> {
        let request = client.request_text(Request::get("/version").body(Vec::new()).expect("a valid request"));
        timeout(Duration::from_hours(1), request).await.expect("it waits without a limit")
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_hangs_ends_in_time_and_the_next_one_uses_a_new_connection() {
        for first in [First::Nothing, First::AByteASecond] {
            let (client, connections) = client(first);
            let started = Instant::now();
            let error = get(&client).await.expect_err("it hangs");
            assert!(started.elapsed() <= LIMIT + Duration::from_secs(1), "{:?}", started.elapsed());
            assert!(text::error_chain(&error).contains("has not answered within 15 s"), "{error}");
            assert!(reconcile::error::Error::from(error).leaves_in_doubt(), "a write may have taken effect");
            assert_eq!(get(&client).await.expect("it is answered"), "11111");
            assert_eq!(connections.load(Ordering::Relaxed), 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_hang_at_the_same_time_connect_once() {
        let (client, connections) = client(First::Nothing);
        let results = futures::future::join_all([get(&client), get(&client), get(&client)]).await;
        assert!(results.iter().all(Result::is_err));
        assert_eq!(connections.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_are_answered_keep_their_connection() {
        let (client, connections) = client(First::Everything);
        for _ in 0..3 {
            assert_eq!(get(&client).await.expect("it is answered"), "11111");
        }
        assert_eq!((connections.load(Ordering::Relaxed), client.default_namespace()), (1, "team"));
    }
}
