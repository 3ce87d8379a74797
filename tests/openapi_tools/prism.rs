//! The mock: prism answers each request as the description says, and reports each request that is not as described.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use crate::fic_calls::DESCRIPTION;
use crate::make;

/// The path of a request that marks the end of the log.
const END: &str = "/end";

/// A mock. It ends with this value.
pub(crate) struct Prism {
    process: Child,
    pub(crate) url: String,
    /// The lines that it prints.
    log: Receiver<String>,
}

impl Prism {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(make::tool("prism"));
        let command = command.args(["mock", "--host", "127.0.0.1", "--port", "0", DESCRIPTION]);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let (sender, log) = mpsc::channel();
        // It ends with the process, or with the receiver.
        std::thread::spawn(move || lines.map(|line| sender.send(line)).find(Result::is_err));
        let url = log.iter().find_map(|line| Some(line.split_once("listening on ")?.1.trim().to_owned())).unwrap();
        Self { process, url, log }
    }

    /// Ends the mock. Returns the number of requests that it has received, and what was wrong with them.
    pub(crate) fn end(self) -> (usize, Vec<String>) {
        // What it has printed before about the other requests is complete then.
        let address = self.url.strip_prefix("http://").unwrap();
        let mut connection = TcpStream::connect(address).unwrap();
        write!(connection, "GET {END} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
        connection.read_to_end(&mut Vec::new()).unwrap();
        let log = self.log.iter().take_while(|line| !line.contains(END)).collect::<Vec<_>>();
        let count = log.iter().filter(|line| line.contains("Request received")).count();
        let errors = log.into_iter().filter(|line| line.contains('✖') || line.contains("Violation"));
        (count, errors.collect())
    }
}

impl Drop for Prism {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
