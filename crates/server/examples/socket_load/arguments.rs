//! What one can say on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) struct Arguments {
    pub(crate) address: SocketAddr,
    pub(crate) clients: usize,
    /// How many of them never read.
    pub(crate) stalled: usize,
    /// How long is measured once all are there.
    pub(crate) seconds: Duration,
    /// How many come in a second.
    pub(crate) per_second: u32,
    pub(crate) lateness: Duration,
    /// Where a line is written for each cells message: when it came and its watermark, in milliseconds.
    pub(crate) cells: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let address = words.next().ok_or("say the address of the server, such as 127.0.0.1:8080")?;
        let mut arguments = Self {
            address: address.parse().map_err(|error| format!("{address}: {error}"))?,
            clients: 1,
            stalled: 0,
            seconds: Duration::from_secs(10),
            per_second: 500,
            lateness: Duration::from_secs(10),
            cells: None,
        };
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number = || value.parse::<u32>().map_err(|error| format!("{name} {value}: {error}"));
            match name.as_str() {
                "--clients" => arguments.clients = number()? as usize,
                "--stalled" => arguments.stalled = number()? as usize,
                "--seconds" => arguments.seconds = Duration::from_secs(number()?.into()),
                "--per-second" => arguments.per_second = number()?,
                "--cells" => arguments.cells = Some(PathBuf::from(&value)),
                "--lateness" => arguments.lateness = Duration::from_millis(number()?.into()),
                _ => return Err(format!("{name} is not known")),
            }
        }
        Ok(arguments)
    }

    /// How many clients read.
    pub(crate) fn reading(&self) -> usize {
        self.clients - self.stalled.min(self.clients)
    }
}
