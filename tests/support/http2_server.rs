//! A TLS server that speaks HTTP/2 and ends requests in every way that a client may take for a reason to send them again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, Request, Response};
use tokio_rustls::TlsAcceptor;

/// How a create request ends.
#[derive(Clone, Copy, Debug)]
pub enum Ending {
    /// It is answered.
    Answer,
    /// The stream is reset, and the server says that it has not processed the request.
    Refuse,
    /// The stream is reset.
    Cancel,
    /// The server wants to close the connection, and says that it has not processed the request.
    GoAway,
    /// The connection ends without a word.
    Disconnect,
}

/// The server.
pub struct Http2Server {
    pub port: u16,
    pub root: reqwest::Certificate,
    creates: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Http2Server {
    /// Starts a server whose create requests end like this.
    pub async fn start(ending: Ending) -> Self {
        let (mut config, root) = super::tls::server_config();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Self { port, root, creates: Arc::default(), connections: Arc::default() };
        let (creates, connections) = (Arc::clone(&server.creates), Arc::clone(&server.connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, creates) = (acceptor.clone(), Arc::clone(&creates));
                connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await.unwrap();
                    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        if request.uri().path().ends_with("services") && request.method() == Method::POST {
                            creates.fetch_add(1, Ordering::Relaxed);
                            match ending {
                                Ending::Answer => {}
                                Ending::Refuse => {
                                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                                    continue;
                                }
                                Ending::Cancel => {
                                    respond.send_reset(h2::Reason::CANCEL);
                                    continue;
                                }
                                Ending::GoAway => {
                                    connection.abrupt_shutdown(h2::Reason::NO_ERROR);
                                    continue;
                                }
                                Ending::Disconnect => return,
                            }
                        }
                        let (response, body) = answer(&request);
                        let mut stream = respond.send_response(response, false).unwrap();
                        stream.send_data(body.into(), true).unwrap();
                    }
                });
            }
        });
        server
    }

    /// How many create requests have arrived.
    pub fn creates(&self) -> usize {
        self.creates.load(Ordering::Relaxed)
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

fn answer<T>(request: &Request<T>) -> (Response<()>, &'static str) {
    let response = Response::builder();
    if request.uri().path().ends_with("/auth/tokens") {
        let body = r#"{"token":{"expires_at":"2999-01-01T00:00:00.000000Z"}}"#;
        return (response.status(201).header("x-subject-token", "token").body(()).unwrap(), body);
    }
    if request.method() == Method::POST {
        let body = r#"{"professionalSupportService":{"id":"F520000000001","tenantId":"db8b0e40743f460685040c46167cf19e","operationStatus":"Processing"}}"#;
        return (response.status(202).body(()).unwrap(), body);
    }
    (response.status(200).body(()).unwrap(), r#"{"premiumProfessionalSupportServices":[]}"#)
}
