//! A real Apache Kafka for the tests: started in a folder of its own, ended with them.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A single-node broker on loopback. Dropping it closes its standard input, which ends it.
pub(crate) struct Kafka {
    folder: PathBuf,
    port: u16,
    process: Child,
}

impl Kafka {
    /// Starts a broker with an empty folder called `name`, and waits until it takes connections.
    pub(crate) fn start(name: &str) -> Self {
        // Below `target`: nobody drops what all tests share, so the folder of the last time goes now.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kafka-{name}"));
        let _ = std::fs::remove_dir_all(&folder);
        let port = free_pair_of_ports();
        let process = launch(&folder, port);
        let broker = Self { folder, port, process };
        broker.wait_until_it_answers();
        broker
    }

    /// `host:port`.
    pub(crate) fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills the broker as a power cut would: its log stays.
    pub(crate) fn kill(&mut self) {
        let pid = std::fs::read_to_string(self.folder.join("pid")).expect("the broker's pid");
        let status = Command::new("kill").args(["-9", pid.trim()]).status().expect("kill runs");
        assert!(status.success(), "the broker {pid} could not be killed");
        let _ = self.process.wait();
    }

    /// Brings a killed broker back on the same port, with its log.
    pub(crate) fn start_again(&mut self) {
        self.process = launch(&self.folder, self.port);
        self.wait_until_it_answers();
    }

    fn wait_until_it_answers(&self) {
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begin.elapsed() < Duration::from_mins(2), "the broker did not come up within 120 s");
            sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn launch(folder: &Path, port: u16) -> Child {
    let start = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/kafka/start");
    Command::new(start)
        .arg(folder)
        .arg(port.to_string())
        .arg("--while-stdin-open")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("fixtures/kafka/start runs: it needs Java 17 and Maven, which `make test` installs")
}

/// A port whose successor is free too: the controller listens there.
fn free_pair_of_ports() -> u16 {
    loop {
        let port = free_port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let probe = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    probe.local_addr().expect("its address").port()
}
