//! The line to FIC and Keystone: the simulator without its sockets, and what goes wrong on the way.

use std::time::Duration;

use bytes::Bytes;
use fic_simulator::log::Call;
use fic_support_operator::fic::http::{HttpClient, TransportError};
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::Full;
use reqwest::{Request, Response};
use tokio::sync::oneshot;

use crate::api_server::wait;
use crate::oracle::{Accepted, Asking};
use crate::world::{Life, Shared, World};

/// The line of one process.
pub struct Line {
    pub world: Shared,
    pub life: Life,
}

impl HttpClient for Line {
    fn execute(&self, request: Request) -> BoxFuture<'static, Result<Response, TransportError>> {
        let (world, life) = (self.world.clone(), self.life);
        async move {
            let request = plain(&request);
            let asked = asking(&world.lock(), life, &request);
            let key = asked.tenant.clone().unwrap_or_default();
            let (there, within, back) = {
                let mut world = world.lock();
                let (now, elects) = (world.now(), world.elects);
                world.oracle.leaves(now, &asked, elects);
                let mut chance = world.chance((life, request.method().as_str(), request.uri().path(), &key));
                // Now and then a request is slow on its way, and arrives though its sender has given up or died.
                let slow = if chance.u32(0..40) == 0 { 700 } else { 30 };
                let mut milliseconds = |most: u64| Duration::from_micros(chance.u64(500..=most * 1000));
                (milliseconds(30), milliseconds(slow), milliseconds(30))
            };
            wait(&world, there, &key).await;
            let (reply, replied) = oneshot::channel();
            let (sender, tenant) = (world.clone(), key.clone());
            tokio::spawn(async move {
                wait(&world, within, &key).await;
                if let Some(answer) = serve(&world, life, request).await {
                    let _ = reply.send(answer);
                } else {
                    std::future::pending::<()>().await;
                }
            });
            let (answer, accepted) = replied.await.map_err(|_| TransportError::Lost("connection lost".into()))?;
            wait(&sender, back, &tenant).await;
            let mut world = sender.lock();
            let now = world.now();
            if let Some(accepted) = accepted {
                world.oracle.heard(now, life, accepted);
            }
            if let Some(pause) = answer.as_ref().ok().and_then(pause) {
                world.oracle.asked_to_wait(life, &asked, now + pause);
            }
            answer
        }
        .boxed()
    }
}

/// How long FIC asks to be left alone.
fn pause(answer: &Response) -> Option<Duration> {
    answer.headers().get(http::header::RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

fn plain(request: &Request) -> http::Request<Bytes> {
    let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
    let mut plain = http::Request::new(Bytes::copy_from_slice(body));
    *plain.method_mut() = request.method().clone();
    *plain.uri_mut() = request.url().as_str().parse().unwrap();
    *plain.headers_mut() = request.headers().clone();
    plain
}

type Answer = (Result<Response, TransportError>, Option<Accepted>);

/// None: its sender dies of it.
async fn serve(shared: &Shared, life: Life, request: http::Request<Bytes>) -> Option<Answer> {
    let (first, answer, accepted) = {
        let mut world = shared.lock();
        let asking = asking(&world, life, &request);
        let changes = matches!(asking.call, Call::Create | Call::Delete);
        let death = if changes { world.fate() } else { None };
        if death.is_some_and(|death| !death.after) {
            world.kill(life);
            return None;
        }
        let mishap = world.mishap(name(asking.call), asking.tenant.as_deref());
        let troubled = mishap.as_ref().map(fic_simulator::faults::Kind::name);
        if let Some(mishap) = mishap {
            world.strike(mishap);
        }
        let fic = world.fic.clone();
        let mut answer = Box::pin(async move { fic.answer(request.map(Full::new)).await });
        // What it does is done by then; what remains is how long the answer takes.
        let first = (&mut answer).now_or_never();
        let accepted = arrived(&mut world, &asking, troubled);
        if death.is_some() {
            world.kill(life);
            return None;
        }
        (first, answer, accepted)
    };
    let answer = match first {
        Some(ready) => ready,
        None => answer.await,
    };
    let answer = match answer {
        Err(_) => Err(TransportError::Lost("connection closed".into())),
        Ok(answer) => Ok(Response::from(answer.map(reqwest::Body::wrap))),
    };
    Some((answer, accepted))
}

fn asking(world: &World, life: Life, request: &http::Request<Bytes>) -> Asking {
    let path = request.uri().path();
    let token = request.headers().get("x-auth-token").and_then(|value| value.to_str().ok());
    let last = path.rsplit('/').next().unwrap_or_default();
    let of_collection = last == "premium-professional-support-services";
    let call = match request.method().as_str() {
        _ if path.contains("/keystone/") => Call::SignIn,
        _ if path.contains("/operations") => Call::ListOperations,
        "POST" => Call::Create,
        "DELETE" => Call::Delete,
        _ if of_collection => Call::List,
        _ => Call::Show,
    };
    let tenant = match call {
        Call::SignIn => {
            let body = serde_json::from_slice(request.body()).unwrap_or_default();
            fic_simulator::keystone::scope(&body).map(str::to_owned)
        }
        _ => token.and_then(|token| world.fic.lock().tenant_of(token).map(str::to_owned)),
    };
    let before = tenant.as_deref().and_then(|tenant| world.fic.lock().contract(tenant));
    Asking { life, call, tenant, id: last.to_owned(), before }
}

fn arrived(world: &mut World, asking: &Asking, troubled: Option<&'static str>) -> Option<Accepted> {
    world.calls += 1;
    let after = asking.tenant.as_deref().and_then(|tenant| world.fic.lock().contract(tenant));
    let (status, effect) =
        world.fic.lock().log.entries().last().map_or((None, false), |entry| (entry.status, entry.effect));
    world.tell(|| {
        let Asking { life, call, tenant, before, .. } = asking;
        let tenant = tenant.as_deref().map_or("?", |tenant| &tenant[..4]);
        let contract = |contract: &Option<fic_simulator::world::Contract>| {
            contract.as_ref().map_or("nothing".to_owned(), |held| format!("{} {}", held.id, held.operation_status))
        };
        let now = if *before == after { String::new() } else { format!(", now {}", contract(&after)) };
        let status = status.map_or("no answer".to_owned(), |status| status.to_string());
        let troubled = troubled.map(|name| format!(", {name}")).unwrap_or_default();
        format!("{}{}  {call:?} for {tenant}… ({}{now}) → {status}{troubled}", life.0, life.1, contract(before))
    });
    let now = world.now();
    let refused = status.is_some_and(|status| matches!(status, 400 | 401 | 403 | 409 | 429));
    let World { oracle, store, .. } = world;
    oracle.fic_asked(now, store, asking, after.as_ref().filter(|_| effect), troubled.is_some() && !refused)
}

fn name(call: Call) -> &'static str {
    match call {
        Call::SignIn => "SignIn",
        Call::List => "List",
        Call::Create => "Create",
        Call::Show => "Show",
        Call::Delete => "Delete",
        Call::ListOperations | Call::ShowOperation => "Operations",
        Call::Other => "Other",
    }
}
