//! What a student runs with `cargo test -p tcp`. The grader asks more than this.
//!
//! The same file tests the reference solution. Every server listens on a port that the system picks, so these tests
//! run beside each other and beside whatever else the machine does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use assert_cmd::Command;
use predicates::prelude::*;
use rstest::rstest;

/// Far more than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The path of a program of this package: the student's, or the solution's of the same name.
macro_rules! program {
    ($name:literal) => {
        option_env!(concat!("CARGO_BIN_EXE_", $name))
            .or(option_env!(concat!("CARGO_BIN_EXE_", $name, "-solution")))
            .expect("cargo builds the programs before the tests")
    };
}

/// A running server, ended with the test.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts `program` on a port of the system's choice and reads from its output which one that is.
    fn start(program: &str, count: u32) -> Self {
        let mut process = std::process::Command::new(program)
            .args(["--host", "127.0.0.1", "--port", "0", "--count", &count.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = process.stdout.take().expect("stdout is piped");
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(stdout).read_line(&mut line);
            let _ = sender.send(line);
        });
        let line = receiver.recv_timeout(PATIENCE).unwrap_or_default();
        let address = line.strip_prefix("Listening on ").and_then(|address| address.trim_end().parse().ok());
        let Some(address) = address else {
            let _ = process.kill();
            let _ = process.wait();
            panic!("with --port 0 the server prints `Listening on ADDR:PORT` first, but it printed {line:?}");
        };
        Self { process, address }
    }

    fn connect(&self) -> TcpStream {
        patient(TcpStream::connect_timeout(&self.address, PATIENCE).expect("the server accepts a connection"))
    }

    /// Waits for the server's end, on a thread so that a server that never ends fails the test.
    fn wait(mut self) -> ExitStatus {
        let (sender, receiver) = mpsc::channel();
        let process = self.process.id();
        thread::scope(|scope| {
            scope.spawn(|| sender.send(self.process.wait()));
            let status = receiver.recv_timeout(PATIENCE);
            if status.is_err() {
                // The waiting thread holds the Child, so end the process by its number.
                let _ = std::process::Command::new("kill").args(["-KILL", &process.to_string()]).status();
            }
            status.expect("the server ends by itself").expect("the server can be waited for")
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The same connection, on which nothing waits for ever.
fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn read_exactly<const N: usize>(mut stream: &TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).expect("the answer comes");
    bytes
}

fn read_to_end(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the connection ends without an error");
    bytes
}

/// A server of our own for one connection: it takes the listener's place until `serve` is done.
fn serve_once<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, thread::spawn(move || serve(patient(listener.accept().unwrap().0))))
}

fn client(program: &str, address: SocketAddr) -> Command {
    let mut command = Command::new(program);
    command.args(["--host", "127.0.0.1", "--port", &address.port().to_string()]).timeout(PATIENCE);
    command
}

#[test]
fn server_answers_each_message_until_the_end() {
    let server = Server::start(program!("tcp-server"), 1);
    let mut connection = server.connect();
    for message in ["Hello!", "Is anybody there?"] {
        connection.write_all(message.as_bytes()).unwrap();
        assert_eq!(&read_exactly::<3>(&connection), b"Hi!");
    }
    connection.shutdown(Shutdown::Write).unwrap();
    assert!(read_to_end(&connection).is_empty(), "nothing comes after the last answer");
    assert!(server.wait().success());
}

#[test]
fn server_takes_one_connection_after_another() {
    let server = Server::start(program!("tcp-server"), 3);
    let connections = [server.connect(), server.connect(), server.connect()];
    for mut connection in connections {
        connection.write_all(b"Hello!").unwrap();
        assert_eq!(&read_exactly::<3>(&connection), b"Hi!");
    }
    assert!(server.wait().success());
}

#[rstest]
#[case::whole(&["Hi!"])]
#[case::in_pieces(&["H", "i!"])]
fn client_prints_the_answer(#[case] pieces: &'static [&'static str]) {
    let (address, server) = serve_once(move |mut connection| {
        let message = read_exactly::<6>(&connection);
        connection.set_nodelay(true).unwrap();
        for piece in pieces {
            connection.write_all(piece.as_bytes()).unwrap();
        }
        (message, read_to_end(&connection))
    });
    client(program!("tcp-client"), address).assert().success().stdout("Received: Hi!\n");
    assert_eq!(server.join().unwrap(), (*b"Hello!", Vec::new()));
}

#[test]
fn client_reports_an_answer_cut_short() {
    let (address, server) = serve_once(|mut connection| {
        let _ = read_exactly::<6>(&connection);
        connection.write_all(b"Hi").unwrap();
    });
    client(program!("tcp-client"), address)
        .assert()
        .code(1)
        .stdout("")
        .stderr(predicate::str::is_empty().not());
    server.join().unwrap();
}

#[rstest]
#[case::tcp(program!("tcp-client"))]
#[case::upload(program!("upload-client"))]
fn client_names_the_address_where_nobody_listens(#[case] program: &str) {
    // A port that was free a moment ago: the listener is closed again at once.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let names_it =
        predicate::str::contains("127.0.0.1").and(predicate::str::contains(address.port().to_string()));
    client(program, address).assert().code(1).stdout("").stderr(names_it);
}

#[rstest]
#[case::nothing(&[], "000000000000000000000000")]
#[case::text(b"abc", "000000000000000300000126")]
#[case::large(&[0xff; 300_000], "00000000000493e0048f4c20")]
fn upload_server_answers_with_the_receipt_after_the_end(#[case] data: &[u8], #[case] receipt: &str) {
    let server = Server::start(program!("upload-server"), 1);
    let mut connection = server.connect();
    connection.write_all(data).unwrap();
    connection.shutdown(Shutdown::Write).unwrap();
    let answer: String = read_to_end(&connection).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(answer, receipt);
    assert!(server.wait().success());
}

#[test]
fn upload_client_ends_its_data_and_prints_the_receipt() {
    let (address, server) = serve_once(|mut connection| {
        let data = read_to_end(&connection);
        connection.write_all(&[0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 1, 0x26]).unwrap();
        data
    });
    client(program!("upload-client"), address)
        .write_stdin("abc")
        .assert()
        .success()
        .stdout("Sent 3 bytes, server counted 3, checksum 0x00000126\n");
    assert_eq!(server.join().unwrap(), b"abc");
}

#[test]
fn upload_client_and_server_agree() {
    let server = Server::start(program!("upload-server"), 1);
    let data: Vec<u8> = (0..1_000_000u32).map(|index| (index % 251) as u8).collect();
    let sum: u32 = data.iter().map(|&byte| u32::from(byte)).sum();
    client(program!("upload-client"), server.address)
        .write_stdin(data)
        .assert()
        .success()
        .stdout(format!("Sent 1000000 bytes, server counted 1000000, checksum 0x{sum:08x}\n"));
    assert!(server.wait().success());
}

#[rstest]
#[case::no_number(program!("tcp-server"), &["--count", "many"])]
#[case::count_of_none(program!("upload-server"), &["--count", "0"])]
#[case::port_of_nobody(program!("tcp-client"), &["--port", "0"])]
#[case::unknown(program!("upload-client"), &["--speed", "9"])]
fn malformed_options_end_with_status_2(#[case] program: &str, #[case] options: &[&str]) {
    let usage = predicate::str::contains("usage: ");
    Command::new(program).args(options).timeout(PATIENCE).assert().code(2).stdout("").stderr(usage);
}
