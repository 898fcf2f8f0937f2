//! What is produced while processes die: a recording, piece by piece, in its order.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::process::path;
use crate::stand::Stand;

/// Records of one piece, and how many times faster than they happened they are sent.
const PIECE: usize = 1_000;
const SPEED: &str = "12";
/// Simulated records a second.
const RATE: usize = 50;

/// A recording in pieces.
pub(super) struct Feed<'stand> {
    stand: &'stand Stand,
    pieces: std::vec::IntoIter<PathBuf>,
    running: Option<Child>,
    /// The timestamp at which the piece begins that was sent last: a press then is a little late at most, and moves no
    /// clock ahead of what is still being sent.
    time: i64,
    button: String,
}

impl<'stand> Feed<'stand> {
    /// Simulates enough for `kills` deaths.
    pub(super) fn start(stand: &'stand Stand, kills: u32) -> Self {
        let records = PIECE * (usize::try_from(kills).unwrap() * 2 + 10);
        let rate = RATE.to_string();
        let events = stand.simulate(&["--seed", "23", "--rate", &rate, "--events", &records.to_string()]);
        let pieces = split(&events, &stand.file("pieces"));
        let devices =
            std::fs::read_to_string(crate::stand::site_beside(&events).join("devices.csv")).unwrap();
        let is_button = |line: &&str| line.split(',').nth(1) == Some("panic");
        let button =
            devices.lines().find(is_button).and_then(|line| line.split(',').next()).expect("a button");
        let time = timestamp_of(&first_line(&pieces[0]));
        Self { stand, pieces: pieces.into_iter(), running: None, time, button: button.to_owned() }
    }

    /// Goes on with the next piece, where the last one is out.
    pub(super) fn go_on(&mut self) {
        if let Some(running) = &mut self.running {
            let Some(status) = running.try_wait().unwrap() else { return };
            assert!(status.success(), "a piece of the recording was not sent");
        }
        // On a slow machine the last lives may have to do with their presses.
        let Some(piece) = self.pieces.next() else { return };
        self.time = timestamp_of(&first_line(&piece));
        let replay = self.stand.command_on_kafka(&["replay", "--speed", SPEED, "--file", path(&piece)]);
        self.running = Some(silent(replay).spawn().unwrap());
    }

    /// A press of a button, with an id of its own; returns when Kafka has it.
    pub(super) fn press(&self, id: &str) {
        let value = json!({
            "id": id, "source": "kills", "time": self.time, "button": self.button, "kind": "panic",
        });
        let record = json!({"topic": "panic", "key": self.button, "timestamp": self.time, "value": value});
        let file = self.stand.file("press.ndjson");
        std::fs::write(&file, format!("{record}\n")).unwrap();
        self.send(&file);
    }

    /// Sends all pieces that are left at once.
    pub(super) fn send_the_rest(&mut self) {
        if let Some(mut running) = self.running.take() {
            assert!(running.wait().unwrap().success(), "a piece of the recording was not sent");
        }
        for piece in self.pieces.by_ref().collect::<Vec<_>>() {
            self.send(&piece);
        }
    }

    fn send(&self, file: &Path) {
        self.stand.replay(file);
    }
}

fn silent(mut command: std::process::Command) -> std::process::Command {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn split(events: &Path, folder: &Path) -> Vec<PathBuf> {
    std::fs::create_dir(folder).unwrap();
    let lines: Vec<String> =
        BufReader::new(File::open(events).unwrap()).lines().map(Result::unwrap).collect();
    let mut pieces = Vec::new();
    for (number, piece) in lines.chunks(PIECE).enumerate() {
        let path = folder.join(format!("{number:04}.ndjson"));
        let mut file = File::create(&path).unwrap();
        for line in piece {
            writeln!(file, "{line}").unwrap();
        }
        pieces.push(path);
    }
    pieces
}

fn first_line(piece: &Path) -> String {
    std::fs::read_to_string(piece).unwrap().lines().next().unwrap().to_owned()
}

fn timestamp_of(line: &str) -> i64 {
    let record: Value = serde_json::from_str(line).unwrap();
    record["timestamp"].as_i64().unwrap()
}
