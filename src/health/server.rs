//! Serves HTTP within limits, so that no client keeps the probes of the kubelet from an answer: a connection carries
//! one request, ends after a time, and gives way to newer ones.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

/// The port of the default address.
const DEFAULT_PORT: u16 = 8080;
/// How many connections may wait to be accepted.
const BACKLOG: i32 = 128;
/// How long to wait after the listener failed, for example because the process has no file descriptor left.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);
/// The largest request line and header. hyper answers 431 to a larger one.
const MAX_HEADER_SIZE: usize = 16 * 1024;

/// The limits of the connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long the header of the request may take.
    pub(super) header_timeout: Duration,
    /// How long the connection as a whole may take, also when the client does not read the response.
    pub(super) connection_timeout: Duration,
    /// How many connections are open at the same time. One more closes the oldest.
    pub(super) connections: usize,
}

/// Binds the address, or the default address: every address of the machine, over IPv6 and IPv4, or only over IPv4 if
/// the machine has no IPv6.
pub(super) fn bind(address: Option<SocketAddr>) -> io::Result<TcpListener> {
    address.map_or_else(|| bind_default(listen), listen)
}

fn bind_default<T>(listen: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let dual_stack = SocketAddr::from((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT));
    listen(dual_stack).or_else(|error| {
        if error.kind() == io::ErrorKind::AddrInUse {
            return Err(error);
        }
        let ipv4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT));
        warn!(%error, "cannot bind {dual_stack}, binding {ipv4} instead: this machine has no IPv6");
        listen(ipv4)
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Otherwise `[::]` excludes IPv4 where the kernel is configured so.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves until it is dropped. Connections in progress continue.
pub(super) async fn serve(listener: TcpListener, router: Router, limits: Limits) -> Infallible {
    let mut connections: VecDeque<JoinHandle<()>> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                debug!(%error, "cannot accept a connection");
                sleep(PAUSE_AFTER_ERROR).await;
                continue;
            }
        };
        connections.retain(|connection| !connection.is_finished());
        if connections.len() >= limits.connections
            && let Some(oldest) = connections.pop_front()
        {
            oldest.abort();
        }
        connections.push_back(tokio::spawn(answer(stream, router.clone(), limits)));
    }
}

/// Answers the request of one connection.
async fn answer(stream: TcpStream, router: Router, limits: Limits) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_HEADER_SIZE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(limits.connection_timeout, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a connection failed"),
        Err(_) => debug!("a connection took too long"),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Instant;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_mins(10);
    /// After this a test fails.
    const WAIT: Duration = Duration::from_secs(20);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    fn local(address: &str) -> TcpListener {
        listen(address.parse().expect("an address")).expect("a free port")
    }

    /// Starts a server on a loopback address. Returns its address.
    fn start(limits: Limits) -> SocketAddr {
        let listener = local("127.0.0.1:0");
        let address = listener.local_addr().expect("it is bound");
        // More than the buffers of the sockets hold, so that the response ends only if the client reads it.
        let router =
            Router::new().route("/", get(|| async { "ok" })).route("/large", get(|| async { vec![0; 1 << 26] }));
        tokio::spawn(serve(listener, router, limits));
        address
    }

    async fn connect(address: SocketAddr, sent: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        stream.write_all(sent).await.expect("the server reads");
        stream
    }

    /// What the server sends until it closes the connection.
    async fn response(mut stream: TcpStream) -> String {
        let mut received = Vec::new();
        // A connection that is reset has no more to say either, so an error is an end too.
        let closed = timeout(WAIT, stream.read_to_end(&mut received)).await;
        assert!(closed.is_ok(), "the server does not close the connection");
        String::from_utf8_lossy(&received).into_owned()
    }

    #[tokio::test]
    async fn client_that_does_not_complete_its_header_is_cut_off() {
        let address = start(Limits { header_timeout: SHORT, connection_timeout: LONG, connections: 8 });
        let mut drip = connect(address, b"GET / HTTP/1.1\r\n").await;
        let began = Instant::now();
        let mut byte = [0];
        let closed = async {
            loop {
                tokio::select! {
                    closed = drip.read(&mut byte) => break closed,
                    () = sleep(SHORT / 10) => { let _ = drip.write_all(b"a").await; }
                }
            }
        };
        let closed = timeout(WAIT, closed).await.expect("the server closes the connection");
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
        assert!(began.elapsed() >= SHORT / 2, "the client had time: {:?}", began.elapsed());
        assert!(response(connect(address, REQUEST).await).await.ends_with("ok"));
    }

    #[tokio::test]
    async fn client_that_does_not_read_the_response_is_cut_off() {
        let address = start(Limits { header_timeout: LONG, connection_timeout: SHORT, connections: 8 });
        let mut stream = connect(address, b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;
        stream.readable().await.expect("the response begins");
        // Writing fails once the server has closed the connection.
        let closed = async {
            while stream.write_all(b"a").await.is_ok() {
                sleep(SHORT / 10).await;
            }
        };
        timeout(WAIT, closed).await.expect("the server closes the connection");
        assert!(response(stream).await.len() < 1 << 26, "the response is not complete");
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_are_answered_while_others_hang() {
        let address = start(Limits { header_timeout: LONG, connection_timeout: LONG, connections: 4 });
        let mut hanging = vec![];
        for _ in 0..20 {
            hanging.push(connect(address, b"GET / HTTP/1.1\r\n").await);
        }
        assert!(response(connect(address, REQUEST).await).await.ends_with("ok"));
        assert_eq!(response(hanging.remove(0)).await, "", "the oldest connection is closed");
    }

    #[tokio::test]
    async fn header_that_is_too_large_is_refused() {
        let address = start(Limits { header_timeout: LONG, connection_timeout: LONG, connections: 8 });
        let request = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(2 * MAX_HEADER_SIZE));
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        // The server may close the connection before it has received everything.
        let _ = stream.write_all(request.as_bytes()).await;
        assert!(!response(stream).await.ends_with("ok"));
    }

    #[tokio::test]
    async fn one_listener_serves_ipv4_and_ipv6() {
        let listener = local("[::]:0");
        let port = listener.local_addr().expect("it is bound").port();
        tokio::spawn(serve(listener, Router::new().route("/", get(|| async { "ok" })), super::super::LIMITS));
        for address in [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), (Ipv6Addr::LOCALHOST, port).into()] {
            assert!(response(connect(address, REQUEST).await).await.ends_with("ok"), "{address}");
        }
    }

    #[test]
    fn default_address_is_ipv4_only_if_the_machine_has_no_ipv6() {
        let bind = |result: fn(&SocketAddr) -> io::Result<()>| {
            let tried = RefCell::new(vec![]);
            let bound = bind_default(|address| {
                tried.borrow_mut().push(address.to_string());
                result(&address)
            });
            (bound.is_ok(), tried.into_inner())
        };
        let without_ipv6 = |address: &SocketAddr| {
            if address.is_ipv4() { Ok(()) } else { Err(io::ErrorKind::AddrNotAvailable.into()) }
        };
        assert_eq!(bind(|_| Ok(())), (true, vec!["[::]:8080".into()]));
        assert_eq!(bind(without_ipv6), (true, vec!["[::]:8080".into(), "0.0.0.0:8080".into()]));
        assert_eq!(bind(|_| Err(io::ErrorKind::AddrInUse.into())), (false, vec!["[::]:8080".into()]));
    }
}
