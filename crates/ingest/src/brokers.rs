//! Which brokers, and how to speak to them. librdkafka's defaults are made for programs that may skip or
//! repeat records; every property that matters is set here on purpose.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hexwatch_contract::{Classified, Fault};
use rdkafka::ClientConfig;

/// Properties that hexwatch's promises rest on; a user who sets one is told, not overruled in silence.
const RESERVED: &[&str] = &[
    "bootstrap.servers",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "enable.partition.eof",
    "enable.idempotence",
    "check.crcs",
    "statistics.interval.ms",
    "group.protocol",
    "group.instance.id",
    "partition.assignment.strategy",
];

/// A property that is not the user's to set.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("setting the Kafka property `{0}`: hexwatch relies on its own value; remove it")]
pub struct ReservedProperty(pub String);

impl Classified for ReservedProperty {
    fn fault(&self) -> Fault {
        Fault::Input
    }
}

/// Where the brokers are, with any librdkafka property besides (`security.protocol`, `sasl.*`, `ssl.*`, ...).
#[derive(Clone, PartialEq, Eq)]
pub struct Brokers {
    bootstrap: String,
    properties: BTreeMap<String, String>,
}

impl Brokers {
    /// Plain brokers at `host:port,host:port`.
    #[must_use]
    pub fn at(bootstrap: impl Into<String>) -> Self {
        Self { bootstrap: bootstrap.into(), properties: BTreeMap::new() }
    }

    /// Adds properties.
    ///
    /// # Errors
    /// Where one of them is hexwatch's own to set.
    pub fn with_properties(
        mut self,
        properties: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ReservedProperty> {
        for (name, value) in properties {
            if RESERVED.contains(&name.as_str()) {
                return Err(ReservedProperty(name));
            }
            self.properties.insert(name, value);
        }
        Ok(self)
    }

    /// The bootstrap list.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    fn common(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", "hexwatch")
            // The default of 60 s is how long a broker that has stopped answering goes unnoticed.
            .set("socket.timeout.ms", "10000")
            // Must not outlast the socket's timeout; the default is 30 s.
            .set("socket.connection.setup.timeout.ms", "8000")
            // A broker that was away is back within two seconds of its return, not ten.
            .set("reconnect.backoff.max.ms", "2000")
            // Small packets at once: an alarm waits for nobody.
            .set("socket.nagle.disable", "true")
            // A rolling restart of the brokers takes away one connection after the other; that is no news.
            .set("log.connection.close", "false");
        config
    }

    /// For reading on behalf of `group`.
    pub(crate) fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.common();
        config
            .set("group.id", group)
            // The history's commit says what is done; offsets in Kafka are written by us, for monitoring.
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // `largest`, the default, skips records in silence when an offset is gone. It must be an error.
            .set("auto.offset.reset", "error")
            // The classic group protocol: the new one has stalled in the field with this librdkafka.
            .set("group.protocol", "classic")
            // Off by default; a flipped bit would otherwise be a record of its own.
            .set("check.crcs", "true")
            // The default waits a whole second before fetching on, once the local queue was full.
            .set("fetch.queue.backoff.ms", "10")
            // How long the broker may hold a fetch back for want of data: no alarm waits longer than this.
            .set("fetch.wait.max.ms", "100")
            .set("fetch.min.bytes", "1")
            // Memory: the local queue holds 16 MiB for all partitions together (64 MiB by default), a fetch 4 MiB and of
            // one partition 1 MiB. What a fetch brings is held as long as one of its records waits. Larger ones cost a
            // fifth more memory and are not faster; a record that is larger than all that comes alone. Where fewer
            // messages wait than are decoded in 20 ms, the next fetch is asked for: it takes half of that to come, and
            // all partitions count together, because they are led to one queue.
            .set("queued.max.messages.kbytes", "16384")
            .set("queued.min.messages", "20000")
            .set("fetch.max.bytes", "4194304")
            .set("fetch.message.max.bytes", "1048576")
            .set("receive.message.max.bytes", "16777216")
            // Partitions are assigned by us, not by a group, so that nobody is waiting for our next poll; back-
            // pressure may hold the reader longer than the default of five minutes.
            .set("max.poll.interval.ms", "86400000")
            .set("session.timeout.ms", "10000")
            // Statistics tell where partitions end. A message for it would count as a record where a partition is paused:
            // fetched on from then is what lies one further, and one record is never read.
            .set("enable.partition.eof", "false")
            // Brokers' states and partitions' ends, once a second.
            .set("statistics.interval.ms", "1000");
        self.apply(&mut config);
        config
    }

    /// For membership in `group` as `name`: nothing is fetched.
    pub(crate) fn member(
        &self,
        group: &str,
        name: &str,
        session_timeout: Duration,
        discover_every: Duration,
    ) -> ClientConfig {
        let millis = |duration: Duration| duration.as_millis().to_string();
        let mut config = self.common();
        config
            .set("group.id", group)
            .set("group.instance.id", name)
            .set("group.protocol", "classic")
            // Only partitions that change hands are taken away from anybody.
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", millis(session_timeout))
            .set("heartbeat.interval.ms", millis(session_timeout / 4))
            .set("max.poll.interval.ms", millis(session_timeout.max(Duration::from_mins(5))))
            .set("topic.metadata.refresh.interval.ms", millis(discover_every))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error");
        self.apply(&mut config);
        config
    }

    /// For writing.
    pub(crate) fn producer(&self) -> ClientConfig {
        let mut config = self.common();
        config
            // A retry never writes a row twice, nor out of order.
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // Bounds on what waits for the broker; beyond them the caller feels it.
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "65536")
            // Alarms first: rows wait at most this long for company.
            .set("linger.ms", "5")
            // Rows that the broker has not taken by then have failed, and are counted as such.
            .set("message.timeout.ms", "120000")
            // A dead letter carries a record of up to 2 MB in base64.
            .set("message.max.bytes", "4194304")
            .set("compression.type", "lz4");
        self.apply(&mut config);
        config
    }

    /// For writing what comes by the hundred thousand and is waited for by nobody. Each batch is a request, and costs the
    /// broker as much as some hundred records do: here it gets the time to fill.
    pub(crate) fn bulk_producer(&self) -> ClientConfig {
        let mut config = self.producer();
        if !self.properties.contains_key("linger.ms") {
            config.set("linger.ms", "40");
        }
        config
    }

    /// For setting up topics.
    pub(crate) fn admin(&self) -> ClientConfig {
        let mut config = self.common();
        self.apply(&mut config);
        config
    }

    fn apply(&self, config: &mut ClientConfig) {
        for (name, value) in &self.properties {
            config.set(name, value);
        }
    }
}

impl fmt::Debug for Brokers {
    /// Leaves the values of properties out: some are secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Brokers")
            .field("bootstrap", &self.bootstrap)
            .field("properties", &self.properties.keys())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_that_promises_rest_on_is_refused() {
        let reset = ("auto.offset.reset".to_owned(), "latest".to_owned());
        assert!(Brokers::at("localhost:9092").with_properties([reset]).is_err());
    }

    #[test]
    fn what_goes_in_bulk_waits_longer_unless_the_user_says_how_long() {
        let lingers = |brokers: &Brokers| {
            [brokers.producer(), brokers.bulk_producer()]
                .map(|config| config.get("linger.ms").and_then(|millis| millis.parse::<u32>().ok()))
        };
        let [soon, in_bulk] = lingers(&Brokers::at("localhost:9092"));
        assert!(soon < in_bulk, "{soon:?}, {in_bulk:?}");
        let linger = ("linger.ms".to_owned(), "1".to_owned());
        let brokers = Brokers::at("localhost:9092").with_properties([linger]).unwrap();
        assert_eq!(lingers(&brokers), [Some(1), Some(1)]);
    }

    #[test]
    fn a_password_is_not_shown() {
        let password = ("sasl.password".to_owned(), "hunter2".to_owned());
        let brokers = Brokers::at("localhost:9092").with_properties([password]).unwrap();
        assert!(!format!("{brokers:?}").contains("hunter2"));
    }
}
