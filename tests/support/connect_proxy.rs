//! An HTTP proxy that records the addresses of the CONNECT requests that it receives.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A proxy that runs until the runtime of the test ends.
pub struct ConnectProxy {
    port: u16,
    addresses: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let addresses = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&addresses);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(tunnel(client, Arc::clone(&log)));
            }
        });
        Self { port, addresses }
    }

    /// The URL of the proxy. It names the host, so that `NO_PROXY` with the address of a server does not name the proxy.
    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// The host and port of each CONNECT request, in order.
    pub fn addresses(&self) -> Vec<String> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn tunnel(mut client: TcpStream, log: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head);
    let Some(address) = head.strip_prefix("CONNECT ").and_then(|rest| rest.split_whitespace().next()) else { return };
    log.lock().unwrap_or_else(PoisonError::into_inner).push(address.to_owned());
    let Ok(mut server) = TcpStream::connect(address).await else { return };
    if client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok() {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}
